/* Python's two ways to format: 'a %s' % x, and 'a {}'.format(x) with the mini language of its specifications. */
#include "jinja/run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PRECISION = 600, NUMBER_BYTES = 1024 };

typedef struct spec {
    const char *fill; /* one character */
    size_t n_fill;
    char align; /* < > ^ =, 0: by type */
    char sign;  /* + - or blank */
    bool alternate, zero;
    size_t width;
    char group;     /* , or _ or 0 */
    long precision; /* -1: none */
    char type;
} spec;

/* ---- padding ------------------------------------------------------------------------------------------ */

static kvasir_status emit_fill(jrun *r, const spec *p, size_t n)
{
    if (p->n_fill == 1) return j_emit_repeat(r, *p->fill, n);
    for (size_t i = 0; i < n; i++) TRY(j_emit(r, p->fill, p->n_fill));
    return KVASIR_OK;
}

/* Head and text, padded to the width. With '=' the padding goes between them. */
static kvasir_status emit_padded(jrun *r, const spec *p, char align, const char *head, const char *s, size_t n)
{
    size_t chars = strlen(head) + j_count(s, n), room = p->width > chars ? p->width - chars : 0;
    size_t left = align == '>' ? room : align == '^' ? room / 2 : 0;
    TRY(emit_fill(r, p, left));
    TRY(j_emit_text(r, head));
    if (align == '=') TRY(emit_fill(r, p, room));
    TRY(j_emit(r, s, n));
    return align == '=' ? KVASIR_OK : emit_fill(r, p, room - left);
}

static kvasir_status emit_text(jrun *r, const spec *p, const jstr *s)
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

/* A number: sign and prefix, digits. */
static kvasir_status emit_number(jrun *r, const spec *p, bool minus, const char *prefix, const char *digits)
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

static void upper_ascii(char *s)
{
    for (; *s; s++)
        if (*s >= 'a' && *s <= 'z') *s = (char)(*s - 32);
}

static kvasir_status emit_integer(jrun *r, const spec *p, jint i)
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

static kvasir_status emit_real(jrun *r, const spec *p, double f)
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

static bool read_width(const jstr *s, size_t *i, size_t *out)
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

/* ---- str.format --------------------------------------------------------------------------------------- */

typedef struct formatter {
    jrun *r;
    const jargs *args;
    const jdict *map; /* of format_map */
    jint next;        /* number of the next field without a name; -1 once a field has had a number */
} formatter;

static kvasir_status format_text(formatter *f, const jstr *s, int depth);

static kvasir_status find_named(formatter *f, const jstr *name, jval *out)
{
    *out = (jval){.kind = J_MISSING};
    if (f->map) TRY(j_dict_get_text(f->r, f->map, name, out));
    for (size_t i = 0; i < f->args->n_named; i++)
        if (j_same(j_str(f->args->names[i]), j_str(name))) *out = f->args->named[i];
    return out->kind == J_MISSING ? j_fail(f->r, "format has no value named %s", quoted(name->s, name->n)) : KVASIR_OK;
}

static bool all_digits(const jstr *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->s[i] < '0' || s->s[i] > '9') return false;
    return s->n > 0;
}

/* The value that the first part of a field's name means: a number, a keyword, or the next argument where
   it is empty. */
static kvasir_status find_first(formatter *f, const jstr *name, jval *out)
{
    jint i;
    if (name->n > 0 && !all_digits(name)) return find_named(f, name, out);
    if (name->n == 0) {
        if (f->next < 0) return j_fail(f->r, "format cannot switch from numbered fields to automatic ones");
        i = f->next++;
    } else {
        if (f->next > 0) return j_fail(f->r, "format cannot switch from automatic fields to numbered ones");
        f->next = -1;
        if (!j_read_int(name->s, name->n, 10, &i)) i = INT32_MAX;
    }
    if (i >= (jint)f->args->n) return j_fail(f->r, "format has too few arguments");
    *out = f->args->v[i];
    return KVASIR_OK;
}

/* name.attribute[key]... */
static kvasir_status find_field(formatter *f, const jstr *name, jval *out)
{
    size_t i = 0;
    while (i < name->n && name->s[i] != '.' && name->s[i] != '[') i++;
    jval part;
    TRY(j_part(f->r, name, 0, i, &part));
    TRY(find_first(f, part.s, out));
    while (i < name->n) {
        bool item = name->s[i++] == '[';
        size_t from = i;
        while (i < name->n && (item ? name->s[i] != ']' : name->s[i] != '.' && name->s[i] != '[')) i++;
        TRY(j_part(f->r, name, from, i - from, &part));
        if (part.s->n == 0 || (item && i >= name->n))
            return j_fail(f->r, "an attribute or key of a format field is empty");
        if (!item) {
            TRY(j_get_attr(f->r, *out, part.s, out));
            continue;
        }
        jval key = part;
        if (all_digits(part.s)) {
            key.kind = J_INT;
            if (!j_read_int(part.s->s, part.s->n, 10, &key.i)) return j_fail(f->r, "an index is too large");
        }
        TRY(j_get_item(f->r, *out, key, out));
        i++;
        if (i < name->n && name->s[i] != '.' && name->s[i] != '[')
            return j_fail(f->r, "only '.' or '[' may follow ']' in a format field");
    }
    return KVASIR_OK;
}

static kvasir_status emit_ascii(jrun *r, jval v)
{
    jval text;
    size_t mark = j_mark(r);
    TRY(j_emit_repr(r, v));
    TRY(j_cut(r, mark, &text));
    for (size_t i = 0; i < text.s->n;) {
        char escape[16];
        uint32_t c = j_decode(text.s->s, &i);
        (void)snprintf(escape, sizeof escape,
                       c < 0x80      ? "%c"
                       : c < 0x100   ? "\\x%02x"
                       : c < 0x10000 ? "\\u%04x"
                                     : "\\U%08x",
                       c);
        TRY(j_emit_text(r, escape));
    }
    return KVASIR_OK;
}

static kvasir_status convert(jrun *r, char how, jval *v)
{
    size_t mark = j_mark(r);
    if (how != 'r' && how != 's' && how != 'a') return j_fail(r, "unknown conversion in a format field");
    if (how == 'r') TRY(j_emit_repr(r, *v));
    if (how == 's') TRY(j_emit_str(r, *v));
    if (how == 'a') TRY(emit_ascii(r, *v));
    return j_cut(r, mark, v);
}

/* One field; *i is behind its opening brace. */
static kvasir_status format_field(formatter *f, const jstr *s, size_t *i, int depth)
{
    size_t from = *i;
    jval name, value, spec_text;
    char how = '\0';
    while (*i < s->n && !strchr("}:!{", s->s[*i])) {
        if (s->s[*i] == '[')
            while (*i < s->n && s->s[*i] != ']') (*i)++;
        if (*i < s->n) (*i)++;
    }
    if (*i >= s->n || s->s[*i] == '{') return j_fail(f->r, "a format field is not closed");
    TRY(j_part(f->r, s, from, *i - from, &name));
    TRY(find_field(f, name.s, &value));
    if (s->s[*i] == '!') {
        if (*i + 2 >= s->n || (s->s[*i + 2] != ':' && s->s[*i + 2] != '}'))
            return j_fail(f->r, "a format field's conversion is broken");
        how = s->s[*i + 1];
        *i += 2;
    }
    TRY(j_text(f->r, "", &spec_text));
    if (s->s[*i] == ':') {
        int open = 1;
        for (from = ++*i; *i < s->n; (*i)++) {
            open += (s->s[*i] == '{') - (s->s[*i] == '}');
            if (open == 0) break;
        }
        if (*i >= s->n) return j_fail(f->r, "a format field is not closed");
        jval inner;
        size_t mark = j_mark(f->r);
        TRY(j_part(f->r, s, from, *i - from, &inner));
        TRY(format_text(f, inner.s, depth - 1));
        TRY(j_cut(f->r, mark, &spec_text));
    }
    (*i)++;
    if (how) TRY(convert(f->r, how, &value));
    return j_format_value(f->r, value, spec_text.s);
}

static kvasir_status format_text(formatter *f, const jstr *s, int depth)
{
    if (depth < 0) return j_fail(f->r, "format fields are nested too deep");
    for (size_t i = 0; i < s->n;) {
        char c = s->s[i];
        if ((c == '{' || c == '}') && i + 1 < s->n && s->s[i + 1] == c) {
            TRY(j_emit(f->r, &c, 1));
            i += 2;
        } else if (c == '{') {
            i++;
            TRY(j_step(f->r, 1));
            TRY(format_field(f, s, &i, depth));
        } else if (c == '}') {
            return j_fail(f->r, "a single '}' stands in a format");
        } else {
            size_t from = i;
            while (i < s->n && s->s[i] != '{' && s->s[i] != '}') i++;
            TRY(j_emit(f->r, s->s + from, i - from));
        }
    }
    return KVASIR_OK;
}

kvasir_status j_str_format(jrun *r, jval self, const jargs *a, jval *out)
{
    formatter f = {.r = r, .args = a};
    size_t mark = j_mark(r);
    TRY(format_text(&f, self.s, 2));
    return j_cut(r, mark, out);
}

kvasir_status j_str_format_map(jrun *r, jval self, const jargs *a, jval *out)
{
    const jargs none = {0};
    formatter f = {.r = r, .args = &none};
    size_t mark = j_mark(r);
    if (a->n != 1 || a->n_named || a->v[0].kind != J_DICT) return j_fail(r, "format_map takes one dictionary");
    f.map = a->v[0].dict;
    TRY(format_text(&f, self.s, 2));
    return j_cut(r, mark, out);
}

/* ---- % ------------------------------------------------------------------------------------------------ */

typedef struct percent {
    jrun *r;
    const jstr *s;
    size_t i;
    jval args;
    size_t used, count;
    bool mapping; /* the argument is a mapping: unused values are no error */
} percent;

static kvasir_status next_arg(percent *x, jval *out)
{
    if (x->used >= x->count) return j_fail(x->r, "not enough arguments for format string");
    *out = x->args.kind == J_TUPLE ? x->args.list->v[x->used] : x->args;
    x->used++;
    return KVASIR_OK;
}

/* %(key)s */
static kvasir_status keyed_arg(percent *x, jval *out)
{
    int open = 1;
    size_t from = ++x->i;
    if (x->args.kind != J_DICT) return j_fail(x->r, "format requires a mapping");
    for (; x->i < x->s->n; x->i++) {
        open += (x->s->s[x->i] == '(') - (x->s->s[x->i] == ')');
        if (open == 0) break;
    }
    if (x->i >= x->s->n) return j_fail(x->r, "incomplete format key");
    jval key;
    TRY(j_part(x->r, x->s, from, x->i - from, &key));
    x->i++;
    TRY(j_dict_get(x->r, x->args.dict, key, out));
    return out->kind == J_MISSING ? j_fail(x->r, "format has no value named %s", quoted(key.s->s, key.s->n))
                                  : KVASIR_OK;
}

/* A number in the format, or * for one from the arguments; -1 when there is neither. */
static kvasir_status read_number(percent *x, bool width, spec *p, long *out)
{
    size_t number, from = x->i;
    *out = width ? -1 : 0;
    if (x->i < x->s->n && x->s->s[x->i] == '*') {
        jval v;
        x->i++;
        TRY(next_arg(x, &v));
        if (!j_is_integral(v)) return j_fail(x->r, "* wants an integer");
        jint n = j_integer(v);
        if (n < 0 && width) p->align = '<';
        if (n < 0) n = width ? -n : 0;
        if (n > 100000000) return j_fail(x->r, "a format's width is too large");
        *out = (long)n;
        return KVASIR_OK;
    }
    if (!read_width(x->s, &x->i, &number)) return j_fail(x->r, "a format's width is too large");
    if (x->i > from) *out = (long)number;
    return KVASIR_OK;
}

static kvasir_status emit_char_arg(percent *x, const spec *p, jval v)
{
    if (j_is_integral(v)) return emit_integer(x->r, p, j_integer(v));
    if (v.kind != J_STRING || v.s->chars != 1) return j_fail(x->r, "%%c requires int or char");
    return emit_padded(x->r, p, p->align ? p->align : '>', "", v.s->s, v.s->n);
}

static kvasir_status emit_text_arg(percent *x, spec *p, jval v)
{
    if (!p->align) p->align = '>';
    TRY(convert(x->r, p->type, &v));
    return emit_text(x->r, p, v.s);
}

static kvasir_status emit_integer_arg(percent *x, spec *p, jval v)
{
    bool decimal = p->type == 'd' || p->type == 'i' || p->type == 'u';
    if (!j_is_integral(v) && !(decimal && v.kind == J_FLOAT))
        return j_fail(x->r, "%%%c format: an integer is required, not %s", p->type, j_type_name(v));
    if (v.kind == J_FLOAT && !(fabs(v.f) < 0x1p126)) return j_fail(x->r, "a number is too large for %%%c", p->type);
    jint i = v.kind == J_FLOAT ? (jint)v.f : j_integer(v);
    if (decimal) p->type = 'd';
    char text[J_INT_DIGITS + 1], prefix[3] = {'0', p->type, 0};
    unsigned base = decimal ? 10 : p->type == 'o' ? 8 : 16;
    char *digits = j_int_digits(i, base, text);
    size_t n = strlen(digits), mark = j_mark(x->r);
    jval padded;
    if (p->type == 'X') upper_ascii(digits);
    if (p->precision > (long)n) TRY(j_emit_repeat(x->r, '0', (size_t)p->precision - n));
    TRY(j_emit(x->r, digits, n + 1));
    TRY(j_cut(x->r, mark, &padded));
    return emit_number(x->r, p, i < 0, p->alternate && base != 10 ? prefix : "", padded.s->s);
}

static kvasir_status emit_percent(percent *x, spec *p, jval v)
{
    switch (p->type) {
    case 's':
    case 'r':
    case 'a':
        return emit_text_arg(x, p, v);
    case 'c':
        p->zero = false;
        return emit_char_arg(x, p, v);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        return emit_integer_arg(x, p, v);
    default:
        if (v.kind == J_UNDEFINED) return j_use_undefined(x->r, v);
        if (!j_is_number(v)) return j_fail(x->r, "must be real number, not %s", j_type_name(v));
        return emit_real(x->r, p, j_double(v));
    }
}

/* %[(key)][flags][width][.precision][length]type; x->i is behind the percent sign. */
static kvasir_status percent_field(percent *x)
{
    spec p = {.fill = " ", .n_fill = 1, .sign = '-', .precision = -1};
    const jstr *s = x->s;
    jval v = {.kind = J_MISSING};
    long number;
    if (x->i < s->n && s->s[x->i] == '(') TRY(keyed_arg(x, &v));
    for (; x->i < s->n && s->s[x->i] && strchr("#0- +", s->s[x->i]); x->i++) {
        char c = s->s[x->i];
        if (c == '#') p.alternate = true;
        if (c == '0') p.zero = true;
        if (c == '-') p.align = '<';
        if (c == '+' || (c == ' ' && p.sign != '+')) p.sign = c;
    }
    TRY(read_number(x, true, &p, &number));
    p.width = number > 0 ? (size_t)number : 0;
    if (x->i < s->n && s->s[x->i] == '.') {
        x->i++;
        TRY(read_number(x, false, &p, &p.precision));
    }
    if (x->i < s->n && s->s[x->i] && strchr("hlL", s->s[x->i])) x->i++;
    if (x->i >= s->n) return j_fail(x->r, "incomplete format");
    p.type = s->s[x->i++];
    if (p.type == '%') return j_emit_text(x->r, "%");
    if (!p.type || !strchr("sracdiuxXoeEfFgG", p.type))
        return j_fail(x->r, "unsupported format character %s", quoted(&p.type, 1));
    if (v.kind == J_MISSING) TRY(next_arg(x, &v));
    return emit_percent(x, &p, v);
}

kvasir_status j_printf(jrun *r, const jstr *format, jval args, jval *out)
{
    percent x = {.r = r, .s = format, .args = args, .count = args.kind == J_TUPLE ? args.list->n : 1};
    size_t mark = j_mark(r);
    x.mapping = args.kind == J_DICT || args.kind == J_LIST || args.kind == J_RANGE || args.kind == J_UNDEFINED;
    while (x.i < format->n) {
        const char *p = memchr(format->s + x.i, '%', format->n - x.i);
        size_t end = p ? (size_t)(p - format->s) : format->n;
        TRY(j_emit(r, format->s + x.i, end - x.i));
        x.i = end + 1;
        TRY(j_step(r, 1));
        if (p) TRY(percent_field(&x));
    }
    if (x.used < x.count && !x.mapping) return j_fail(r, "not all arguments converted during string formatting");
    return j_cut(r, mark, out);
}
