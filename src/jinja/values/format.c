/* format(v, spec): values written as the mini language of Python's specifications says. */
#include "jinja/values/format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PRECISION = 600, NUMBER_BYTES = 1024 };

/* ---- padding ------------------------------------------------------------------------------------------ */

static kvasir_status emit_fill(jrun *r, const spec *p, size_t n)
{
    if (p->n_fill == 1) return j_emit_repeat(r, *p->fill, n);
    for (size_t i = 0; i < n; i++) TRY(j_emit(r, p->fill, p->n_fill));
    return KVASIR_OK;
}

kvasir_status emit_padded(jrun *r, const spec *p, char align, const char *head, const char *s, size_t n)
{
    size_t chars = strlen(head) + j_count(s, n), room = p->width > chars ? p->width - chars : 0;
    size_t left = align == '>' ? room : align == '^' ? room / 2 : 0;
    TRY(emit_fill(r, p, left));
    TRY(j_emit_text(r, head));
    if (align == '=') TRY(emit_fill(r, p, room));
    TRY(j_emit(r, s, n));
    return align == '=' ? KVASIR_OK : emit_fill(r, p, room - left);
}

kvasir_status emit_text(jrun *r, const spec *p, const jstr *s)
{
    size_t n = p->precision >= 0 ? j_offset(s, (size_t)p->precision) : s->n;
    return emit_padded(r, p, p->align ? p->align : '<', "", s->s, n);
}

/* ---- numbers ------------------------------------------------------------------------------------------ */

/* printf writes the locale's decimal point; this puts a point there. */
static void plain_point(char *s)
{
    char *to = s;
    bool point = false;
    for (; *s; s++) {
        bool known =
            (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '+' || *s == '-';
        if (known || !point) *to++ = known ? *s : '.';
        point |= !known;
    }
    *to = '\0';
}

/* The digits before the point, with separators between groups; zeros before them fill up the width. */
static kvasir_status emit_grouped(jrun *r, const spec *p, const char *head, const char *digits)
{
    size_t whole = strspn(digits, p->type == 'x' || p->type == 'X' ? "0123456789abcdefABCDEF" : "0123456789");
    size_t every = p->type == 'x' || p->type == 'X' || p->type == 'b' || p->type == 'o' ? 4 : 3;
    size_t tail = strlen(digits + whole), count = whole, mark = j_mark(r);
    jval text;
    if (p->zero && !p->align)
        while (strlen(head) + count + (count - 1) / every + tail < p->width) count++;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % every == 0) TRY(j_emit(r, &p->group, 1));
        TRY(j_emit(r, i + whole >= count ? &digits[i + whole - count] : "0", 1));
    }
    TRY(j_emit_text(r, digits + whole));
    TRY(j_cut(r, mark, &text));
    return emit_padded(r, p, p->align ? p->align : '>', head, text.s->s, text.s->n);
}

kvasir_status emit_number(jrun *r, const spec *p, bool minus, const char *prefix, const char *digits)
{
    char head[8];
    const char *sign = minus ? "-" : p->sign == '+' ? "+" : p->sign == ' ' ? " " : "";
    (void)snprintf(head, sizeof head, "%s%s", sign, prefix);
    if (p->group && digits[0] >= '0' && digits[0] <= '9') return emit_grouped(r, p, head, digits);
    if (p->zero && !p->align) {
        spec zeros = *p;
        zeros.fill = "0";
        zeros.n_fill = 1;
        return emit_padded(r, &zeros, '=', head, digits, strlen(digits));
    }
    return emit_padded(r, p, p->align ? p->align : '>', head, digits, strlen(digits));
}

void upper_ascii(char *s)
{
    for (; *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s - 32);
}

kvasir_status emit_integer(jrun *r, const spec *p, jint i)
{
    char text[J_INT_DIGITS + 1];
    unsigned base = p->type == 'b' ? 2 : p->type == 'o' ? 8 : p->type == 'x' || p->type == 'X' ? 16 : 10;
    char prefix[3] = {'0', p->type, 0};
    if (p->type == 'c') {
        char c[4];
        if (i < 0 || i > 0x10ffff) return j_fail(r, "%%c takes a character's number");
        return emit_padded(r, p, p->align ? p->align : '<', "", c, j_encode((uint32_t)i, c));
    }
    char *digits = j_int_digits(i, base, text);
    if (p->type == 'X') upper_ascii(digits);
    return emit_number(r, p, i < 0, p->alternate && base != 10 ? prefix : "", digits);
}

/* Removes zeros at the end of the fraction, before the exponent. */
static void drop_zeros(char *s)
{
    char *e = strchr(s, 'e'), *to = e;
    while (to > s && to[-1] == '0') to--;
    if (to > s && to[-1] == '.') to--;
    memmove(to, e, strlen(e) + 1);
}

/* What format() writes when no type is given: repr()'s digits, or with a precision those of %g, but always with a
   fraction or an exponent. */
static kvasir_status general_digits(jrun *r, const spec *p, double f, char *to)
{
    int precision = p->precision > 0 ? (int)p->precision : 1, exponent = 0;
    jval text;
    size_t mark = j_mark(r);
    if (p->precision < 0) {
        TRY(j_emit_float(r, f));
        TRY(j_emit(r, "", 1));
        TRY(j_cut(r, mark, &text));
        (void)snprintf(to, NUMBER_BYTES, "%s", text.s->s);
        return KVASIR_OK;
    }
    (void)snprintf(to, NUMBER_BYTES, "%.*e", precision - 1, f);
    plain_point(to);
    exponent = atoi(strchr(to, 'e') + 1);
    if (exponent < -4 || exponent >= (precision > 1 ? precision - 1 : 1)) {
        if (precision > 1) drop_zeros(to);
        return KVASIR_OK;
    }
    (void)snprintf(to, NUMBER_BYTES, "%.*g", precision, f);
    plain_point(to);
    if (!strchr(to, '.')) strcat(to, ".0");
    return KVASIR_OK;
}

kvasir_status emit_real(jrun *r, const spec *p, double f)
{
    char digits[NUMBER_BYTES], how[8] = "%.*f";
    bool minus = signbit(f) && !isnan(f);
    char type = p->type == 'n' ? 'g' : p->type;
    long precision = p->precision < 0 ? 6 : p->precision;
    if (precision > MAX_PRECISION) return j_fail(r, "a precision of more than %d is not supported", MAX_PRECISION);
    f = fabs(f);
    if (isnan(f) || isinf(f)) {
        (void)snprintf(digits, sizeof digits, "%s", isnan(f) ? "nan" : "inf");
        if (type == '%') strcat(digits, "%");
        if (type >= 'A' && type <= 'Z') upper_ascii(digits);
        return emit_number(r, p, minus, "", digits);
    }
    if (type == '\0') {
        TRY(general_digits(r, p, f, digits));
        return emit_number(r, p, minus, "", digits);
    }
    (void)snprintf(how, sizeof how, p->alternate ? "%%#.*%c" : "%%.*%c", type == '%' ? 'f' : type);
    (void)snprintf(digits, sizeof digits - 1, how, (int)precision, type == '%' ? f * 100 : f);
    plain_point(digits);
    if (type == '%') strcat(digits, "%");
    return emit_number(r, p, minus, "", digits);
}

/* ---- format specifications ---------------------------------------------------------------------------- */

bool read_width(const jstr *s, size_t *i, size_t *out)
{
    *out = 0;
    for (; *i < s->n && s->s[*i] >= '0' && s->s[*i] <= '9'; (*i)++) {
        *out = *out * 10 + (size_t)(s->s[*i] - '0');
        if (*out > 100000000) return false;
    }
    return true;
}

static bool is_align(const jstr *s, size_t i)
{
    return i < s->n && s->s[i] && strchr("<>^=", s->s[i]);
}

/* [[fill]align][sign][#][0][width][group][.precision][type] */
static kvasir_status read_spec(jrun *r, const jstr *s, spec *p)
{
    size_t i = 0, first = 0, number;
    *p = (spec){.fill = " ", .n_fill = 1, .sign = '-', .precision = -1};
    if (s->n > 0) (void)j_decode(s->s, &first);
    if (is_align(s, first)) {
        p->fill = s->s;
        p->n_fill = first;
        p->align = s->s[first];
        i = first + 1;
    } else if (is_align(s, 0)) {
        p->align = s->s[i++];
    }
    if (i < s->n && s->s[i] && strchr("+- ", s->s[i])) p->sign = s->s[i++];
    if (i < s->n && s->s[i] == '#') p->alternate = i++ < s->n;
    if (i < s->n && s->s[i] == '0') p->zero = i++ < s->n;
    if (!read_width(s, &i, &p->width)) return j_fail(r, "a format's width is too large");
    if (i < s->n && (s->s[i] == ',' || s->s[i] == '_')) p->group = s->s[i++];
    if (i < s->n && s->s[i] == '.') {
        size_t from = ++i;
        if (!read_width(s, &i, &number) || i == from) return j_fail(r, "a format's precision is missing or too large");
        p->precision = (long)number;
    }
    if (i < s->n) p->type = s->s[i++];
    if (i < s->n) return j_fail(r, "invalid format specifier '%s'", quoted(s->s, s->n));
    if (p->zero && p->align) { /* then the zero is the fill character, unless one is given */
        if (p->n_fill == 1 && *p->fill == ' ') p->fill = "0";
        p->zero = false;
    }
    return KVASIR_OK;
}

static kvasir_status bad_code(jrun *r, const spec *p, jval v)
{
    return j_fail(r, "format code '%s' does not go with a value of type %s", quoted(&p->type, 1), j_type_name(v));
}

kvasir_status j_format_value(jrun *r, jval v, const jstr *text)
{
    spec p;
    if (text->n == 0) return j_emit_str(r, v);
    if (v.kind != J_STRING && !j_is_number(v)) return j_fail(r, "%s has no format specifications", j_type_name(v));
    TRY(read_spec(r, text, &p));
    if (v.kind == J_STRING) {
        if ((p.type && p.type != 's') || p.align == '=' || p.sign != '-' || p.alternate || p.group)
            return bad_code(r, &p, v);
        if (p.zero) p.fill = "0";
        return emit_text(r, &p, v.s);
    }
    bool real = p.type && strchr("eEfFgG%", p.type);
    if (v.kind != J_FLOAT && (!p.type || strchr("bcdoxXn", p.type))) {
        if (p.precision >= 0 || (p.type == 'c' && (p.sign != '-' || p.alternate))) return bad_code(r, &p, v);
        if (p.group == ',' && p.type && strchr("bcoxXn", p.type)) return bad_code(r, &p, v);
        return emit_integer(r, &p, j_integer(v));
    }
    if (!real && p.type && p.type != 'n') return bad_code(r, &p, v);
    if (p.group && p.type == 'n') return bad_code(r, &p, v);
    return emit_real(r, &p, j_double(v));
}
