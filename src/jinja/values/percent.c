/* 'a %s' % x. */
#include "jinja/values/format.h"

#include <math.h>
#include <string.h>

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
