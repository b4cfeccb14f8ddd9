/* Numbers and values as text, the way Python's str() and repr() write them. */
#include "jinja/run/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading numbers ---------------------------------------------------------------------------------- */

/* strtod expects the decimal point of the locale. So it gets the digits without a point, and an exponent that makes
   up for it. */
double j_read_double(const char *s, size_t n)
{
    char text[800];
    size_t used = 0, i = 0;
    long shift = 0, exponent = 0;
    bool point = false;
    for (; i < n && (s[i] == '.' || (s[i] >= '0' && s[i] <= '9')); i++) {
        if (s[i] == '.') {
            point = true;
        } else if (used < sizeof text - 32) { /* more digits than any double needs */
            if (used > 0 || s[i] != '0') text[used++] = s[i];
            shift -= point;
        } else {
            if (s[i] != '0') text[used - 1] |= 1; /* what lies just above a tie must stay above it */
            shift += !point;
        }
    }
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        bool minus = ++i < n && s[i] == '-';
        if (i < n && (s[i] == '-' || s[i] == '+')) i++;
        for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
            if (exponent < 100000000) exponent = exponent * 10 + (s[i] - '0');
        if (minus) exponent = -exponent;
    }
    if (used == 0) return 0;
    (void)snprintf(text + used, sizeof text - used, "e%ld", exponent + shift);
    return strtod(text, NULL);
}

bool j_read_int(const char *s, size_t n, unsigned base, jint *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        if (digit < 0 || digit >= (int)base) return false;
        if (__builtin_mul_overflow(*out, (jint)base, out) || __builtin_add_overflow(*out, (jint)digit, out))
            return false;
    }
    return n > 0;
}

/* ---- writing numbers ---------------------------------------------------------------------------------- */

char *j_int_digits(jint i, unsigned base, char to[J_INT_DIGITS + 1])
{
    __extension__ unsigned __int128 u =
        i < 0 ? -(__extension__(unsigned __int128) i) : (__extension__(unsigned __int128) i);
    char *p = to + J_INT_DIGITS;
    *p = '\0';
    do {
        *--p = "0123456789abcdef"[u % base];
        u /= base;
    } while (u);
    return p;
}

kvasir_status j_emit_int(jrun *r, jint i)
{
    char digits[J_INT_DIGITS + 1];
    if (i < 0) TRY(j_emit_text(r, "-"));
    return j_emit_text(r, j_int_digits(i, 10, digits));
}

/* Fifteen digits are enough for most numbers; the rest needs sixteen or seventeen. The decimal point that printf writes
   may be any character. */
int j_shortest(double f, char digits[24])
{
    char text[40];
    for (int precision = 14; precision <= 16; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision, f);
        char *e = strchr(text, 'e');
        size_t n = 0;
        for (const char *p = text; p < e; p++)
            if (*p >= '0' && *p <= '9') digits[n++] = *p;
        while (n > 1 && digits[n - 1] == '0') n--;
        digits[n] = '\0';
        int exponent = atoi(e + 1);
        (void)snprintf(text, sizeof text, "%se%d", digits, exponent - (int)n + 1);
        if (precision == 16 || strtod(text, NULL) == f) return exponent;
    }
    return 0;
}

kvasir_status j_emit_float(jrun *r, double f)
{
    char digits[24];
    if (isnan(f)) return j_emit_text(r, "nan");
    if (signbit(f)) TRY(j_emit_text(r, "-"));
    if (isinf(f)) return j_emit_text(r, "inf");
    f = fabs(f);
    int exponent = f == 0 ? (memcpy(digits, "0", 2), 0) : j_shortest(f, digits), n = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16) {
        char tail[16];
        TRY(j_emit(r, digits, 1));
        if (n > 1) TRY(j_emit_text(r, "."));
        TRY(j_emit_text(r, digits + 1));
        (void)snprintf(tail, sizeof tail, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return j_emit_text(r, tail);
    }
    if (exponent < 0) {
        TRY(j_emit_text(r, "0."));
        TRY(j_emit_repeat(r, '0', (size_t)(-exponent - 1)));
        return j_emit_text(r, digits);
    }
    int whole = n < exponent + 1 ? n : exponent + 1;
    TRY(j_emit(r, digits, (size_t)whole));
    TRY(j_emit_repeat(r, '0', (size_t)(exponent + 1 - whole)));
    TRY(j_emit_text(r, "."));
    return j_emit_text(r, n > whole ? digits + whole : "0");
}

/* ---- repr --------------------------------------------------------------------------------------------- */

static kvasir_status emit_hex(jrun *r, uint32_t c)
{
    char text[16];
    (void)snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    return j_emit_text(r, text);
}

static kvasir_status emit_quoted(jrun *r, const jstr *s, bool bytes)
{
    char quote = memchr(s->s, '\'', s->n) && !memchr(s->s, '"', s->n) ? '"' : '\'';
    TRY(j_emit(r, &quote, 1));
    for (size_t i = 0; i < s->n;) {
        size_t from = i;
        uint32_t c = (unsigned char)s->s[i];
        if (bytes)
            i++;
        else
            c = j_decode(s->s, &i);
        char escape[3] = {'\\', (char)(c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c), 0};
        if (c == '\n' || c == '\r' || c == '\t' || c == '\\' || c == (unsigned char)quote)
            TRY(j_emit_text(r, escape));
        else if (bytes ? c < 0x20 || c >= 0x7f : !j_printable(c))
            TRY(emit_hex(r, c));
        else
            TRY(j_emit(r, s->s + from, i - from));
    }
    return j_emit(r, &quote, 1);
}

static kvasir_status emit_items(jrun *r, const char *open, const jlist *list, const char *close)
{
    TRY(j_emit_text(r, open));
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0) TRY(j_emit_text(r, ", "));
        TRY(j_emit_repr(r, list->v[i]));
    }
    return j_emit_text(r, close);
}

static kvasir_status emit_dict(jrun *r, const jdict *d)
{
    TRY(j_emit_text(r, "{"));
    for (size_t i = 0; i < j_dict_size(d); i++) {
        if (i > 0) TRY(j_emit_text(r, ", "));
        TRY(j_emit_repr(r, j_dict_key(d, i)));
        TRY(j_emit_text(r, ": "));
        TRY(j_emit_repr(r, j_dict_value(d, i)));
    }
    return j_emit_text(r, "}");
}

static kvasir_status emit_range(jrun *r, const jrange *g)
{
    TRY(j_emit_text(r, "range("));
    TRY(j_emit_int(r, g->start));
    TRY(j_emit_text(r, ", "));
    TRY(j_emit_int(r, g->stop));
    if (g->step != 1) {
        TRY(j_emit_text(r, ", "));
        TRY(j_emit_int(r, g->step));
    }
    return j_emit_text(r, ")");
}

static kvasir_status emit_view(jrun *r, jval v)
{
    jlist *list;
    TRY(j_to_list(r, v, &list));
    TRY(j_emit_text(r, j_type_name(v)));
    return emit_items(r, "([", list, "])");
}

static kvasir_status emit_macro(jrun *r, const jmacro *m)
{
    if (!m->name) return j_emit_text(r, "<Macro anonymous>");
    TRY(j_emit_text(r, "<Macro '"));
    TRY(j_emit(r, m->name->s, m->name->n));
    return j_emit_text(r, "'>");
}

static kvasir_status emit_loop(jrun *r, jloop *loop)
{
    jval length;
    TRY(j_loop_attribute(r, loop, &(jstr){.s = "length", .n = 6, .chars = 6}, &length));
    TRY(j_emit_text(r, "<LoopContext "));
    TRY(j_emit_int(r, loop->index0 + 1));
    TRY(j_emit_text(r, "/"));
    TRY(j_emit_int(r, length.i));
    return j_emit_text(r, ">");
}

static kvasir_status emit_repr(jrun *r, jval v)
{
    switch (v.kind) {
    case J_MISSING:
    case J_UNDEFINED:
        return j_emit_text(r, "Undefined");
    case J_NONE:
        return j_emit_text(r, "None");
    case J_BOOL:
        return j_emit_text(r, v.b ? "True" : "False");
    case J_INT:
        return j_emit_int(r, v.i);
    case J_FLOAT:
        return j_emit_float(r, v.f);
    case J_STRING:
        if (!v.s->markup) return emit_quoted(r, v.s, false);
        TRY(j_emit_text(r, "Markup("));
        TRY(emit_quoted(r, v.s, false));
        return j_emit_text(r, ")");
    case J_BYTES:
        TRY(j_emit_text(r, "b"));
        return emit_quoted(r, v.s, true);
    case J_LIST:
        return emit_items(r, "[", v.list, "]");
    case J_TUPLE:
        return emit_items(r, "(", v.list, v.list->n == 1 ? ",)" : ")");
    case J_DICT:
        return emit_dict(r, v.dict);
    case J_RANGE:
        return emit_range(r, v.range);
    case J_VIEW:
        return emit_view(r, v);
    case J_NAMESPACE:
        TRY(j_emit_text(r, "<Namespace "));
        TRY(emit_dict(r, v.dict));
        return j_emit_text(r, ">");
    case J_MACRO:
        return emit_macro(r, v.macro);
    case J_LOOP:
        return emit_loop(r, v.loop);
    default: /* Python shows an address here, which no template can want */
        TRY(j_emit_text(r, "<"));
        TRY(j_emit_text(r, j_type_name(v)));
        return j_emit_text(r, " object>");
    }
}

kvasir_status j_emit_repr(jrun *r, jval v)
{
    TRY(j_step(r, 1));
    TRY(j_down(r));
    kvasir_status status = emit_repr(r, v);
    j_up(r);
    return status;
}

kvasir_status j_emit_str(jrun *r, jval v)
{
    if (v.kind == J_STRING) return j_emit(r, v.s->s, v.s->n);
    if (v.kind == J_UNDEFINED) return KVASIR_OK;
    return j_emit_repr(r, v);
}

kvasir_status j_to_str(jrun *r, jval v, const jstr **out)
{
    jval text = v;
    if (v.kind != J_STRING) {
        size_t mark = j_mark(r);
        TRY(j_emit_str(r, v));
        TRY(j_cut(r, mark, &text));
    }
    *out = text.s;
    return KVASIR_OK;
}
