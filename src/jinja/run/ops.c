/* Operators and subscripts. */
#include "jinja/run/run.h"

#include <math.h>
#include <string.h>

static kvasir_status unsupported(jrun *r, const char *op, jval a, jval b)
{
    return j_fail(r, "unsupported operand types for %s: '%s' and '%s'", op, j_type_name(a), j_type_name(b));
}

static kvasir_status too_large(jrun *r)
{
    return j_fail(r, "an integer is too large");
}

/* ---- sequences ---------------------------------------------------------------------------------------- */

static kvasir_status emit_side(jrun *r, const jstr *s, bool escape)
{
    return escape && !s->markup ? j_emit_escaped(r, s) : j_emit(r, s->s, s->n);
}

static kvasir_status add_text(jrun *r, const jstr *a, const jstr *b, jval *out)
{
    bool markup = a->markup || b->markup;
    size_t mark = j_mark(r);
    TRY(emit_side(r, a, markup));
    TRY(emit_side(r, b, markup));
    TRY(j_cut(r, mark, out));
    if (markup) j_set_markup(*out);
    return KVASIR_OK;
}

static kvasir_status add_lists(jrun *r, jval a, jval b, jval *out)
{
    TRY(j_new_list(r, a.kind, a.list->n + b.list->n, out));
    if (a.list->n) memcpy(out->list->v, a.list->v, a.list->n * sizeof(jval));
    if (b.list->n) memcpy(out->list->v + a.list->n, b.list->v, b.list->n * sizeof(jval));
    return j_step(r, out->list->n / 16);
}

static kvasir_status repeat(jrun *r, jval v, jint times, jval *out)
{
    size_t n = v.kind == J_STRING ? v.s->n : v.list->n, mark = j_mark(r);
    if (times < 0 || n == 0) times = 0;
    if (times > 0 && times > (jint)(r->limits.output / n)) return j_fail(r, "a repeated value is too long");
    TRY(j_step(r, n * (size_t)times / 16));
    if (v.kind == J_STRING) {
        for (jint i = 0; i < times; i++) TRY(j_emit(r, v.s->s, n));
        TRY(j_cut(r, mark, out));
        if (v.s->markup) j_set_markup(*out);
        return KVASIR_OK;
    }
    TRY(j_new_list(r, v.kind, n * (size_t)times, out));
    for (size_t i = 0; n > 0 && i < out->list->n; i++) out->list->v[i] = v.list->v[i % n];
    return KVASIR_OK;
}

static bool is_row(jval v)
{
    return v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE;
}

/* ---- numbers ------------------------------------------------------------------------------------------ */

static jint floor_div(jint a, jint b)
{
    jint q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

/* Python's // and % of floats agree with each other, since both are computed from the remainder. */
static void float_divmod(double a, double b, double *div, double *mod)
{
    double m = fmod(a, b), d = (a - m) / b;
    if (m != 0) {
        if ((b < 0) != (m < 0)) {
            m += b;
            d -= 1;
        }
    } else {
        m = copysign(0.0, b);
    }
    if (d != 0) {
        double f = floor(d);
        *div = d - f > 0.5 ? f + 1 : f;
    } else {
        *div = copysign(0.0, a / b);
    }
    *mod = m;
}

static kvasir_status power(jrun *r, jval a, jval b, jval *out)
{
    if (j_is_integral(a) && j_is_integral(b) && j_integer(b) >= 0) {
        jint base = j_integer(a), n = j_integer(b), result = 1;
        while (n > 0) {
            if (n & 1 && __builtin_mul_overflow(result, base, &result)) return too_large(r);
            n >>= 1;
            if (n > 0 && __builtin_mul_overflow(base, base, &base)) return too_large(r);
        }
        *out = j_int(result);
        return KVASIR_OK;
    }
    double x = j_double(a), y = j_double(b), z = pow(x, y);
    if (x == 0 && y < 0) return j_fail(r, "0.0 cannot be raised to a negative power");
    if (x < 0 && isfinite(x) && isfinite(y) && y != floor(y)) return j_fail(r, "the power would be a complex number");
    if (isinf(z) && isfinite(x) && isfinite(y)) return j_fail(r, "the result of a power is too large");
    *out = j_float(z);
    return KVASIR_OK;
}

static kvasir_status integers(jrun *r, jnode_type op, jint a, jint b, jval *out)
{
    jint i = 0;
    bool over = false;
    if ((op == N_DIV || op == N_FLOORDIV || op == N_MOD) && b == 0) return j_fail(r, "division by zero");
    switch (op) {
    case N_ADD:
        over = __builtin_add_overflow(a, b, &i);
        break;
    case N_SUB:
        over = __builtin_sub_overflow(a, b, &i);
        break;
    case N_MUL:
        over = __builtin_mul_overflow(a, b, &i);
        break;
    case N_DIV:
        *out = j_float((double)a / (double)b);
        return KVASIR_OK;
    default:
        if (b == -1) { /* the smallest integer has no positive counterpart */
            over = __builtin_sub_overflow((jint)0, a, &i);
            if (op == N_MOD) i = 0;
        } else {
            i = floor_div(a, b);
            if (op == N_MOD) i = a - i * b;
        }
    }
    *out = j_int(i);
    return over ? too_large(r) : KVASIR_OK;
}

static kvasir_status floats(jrun *r, jnode_type op, double a, double b, jval *out)
{
    double div, mod;
    if ((op == N_DIV || op == N_FLOORDIV || op == N_MOD) && b == 0) return j_fail(r, "division by zero");
    switch (op) {
    case N_ADD:
        *out = j_float(a + b);
        return KVASIR_OK;
    case N_SUB:
        *out = j_float(a - b);
        return KVASIR_OK;
    case N_MUL:
        *out = j_float(a * b);
        return KVASIR_OK;
    case N_DIV:
        *out = j_float(a / b);
        return KVASIR_OK;
    default:
        float_divmod(a, b, &div, &mod);
        *out = j_float(op == N_MOD ? mod : div);
        return KVASIR_OK;
    }
}

kvasir_status j_binary(jrun *r, jnode_type op, jval a, jval b, jval *out)
{
    static const char *const signs[] = {
        [N_ADD] = "+", [N_SUB] = "-", [N_MUL] = "*", [N_DIV] = "/", [N_FLOORDIV] = "//", [N_MOD] = "%", [N_POW] = "**"};
    if (op == N_MOD && a.kind == J_STRING) return j_printf(r, a.s, b, out);
    if (a.kind == J_UNDEFINED) return j_use_undefined(r, a);
    if (b.kind == J_UNDEFINED) return j_use_undefined(r, b);
    if (j_is_number(a) && j_is_number(b)) {
        if (op == N_POW) return power(r, a, b, out);
        if (a.kind == J_FLOAT || b.kind == J_FLOAT) return floats(r, op, j_double(a), j_double(b), out);
        return integers(r, op, j_integer(a), j_integer(b), out);
    }
    if (op == N_ADD && a.kind == J_STRING && b.kind == J_STRING) return add_text(r, a.s, b.s, out);
    if (op == N_ADD && j_is_sequence(a) && a.kind == b.kind) return add_lists(r, a, b, out);
    if (op == N_MUL && is_row(a) && j_is_integral(b)) return repeat(r, a, j_integer(b), out);
    if (op == N_MUL && is_row(b) && j_is_integral(a)) return repeat(r, b, j_integer(a), out);
    if (op == N_ADD && a.kind == J_STRING)
        return j_fail(r, "can only concatenate str (not \"%s\") to str", j_type_name(b));
    return unsupported(r, signs[op], a, b);
}

kvasir_status j_negate(jrun *r, bool minus, jval v, jval *out)
{
    if (v.kind == J_UNDEFINED) return j_use_undefined(r, v);
    if (!j_is_number(v)) return j_fail(r, "bad operand type for unary %c: '%s'", minus ? '-' : '+', j_type_name(v));
    if (v.kind == J_FLOAT) {
        *out = j_float(minus ? -v.f : v.f);
        return KVASIR_OK;
    }
    jint i = j_integer(v);
    if (minus && __builtin_sub_overflow((jint)0, i, &i)) return too_large(r);
    *out = j_int(i);
    return KVASIR_OK;
}

/* ---- slices ------------------------------------------------------------------------------------------- */

static kvasir_status slice_bound(jrun *r, jval v, jint otherwise, jint n, jint low, jint high, jint *out)
{
    *out = otherwise;
    if (v.kind == J_MISSING || v.kind == J_NONE) return KVASIR_OK;
    if (!j_is_integral(v)) return j_fail(r, "slice indices must be integers or None, not %s", j_type_name(v));
    jint i = j_integer(v);
    if (i < 0) i += n;
    *out = i < low ? low : i > high ? high : i;
    return KVASIR_OK;
}

/* The characters of a string from number `start` on, every `step`-th one, `count` in all. */
static kvasir_status slice_text(jrun *r, const jstr *s, jint start, jint step, size_t count, jval *out)
{
    if (step == 1 || count == 0) {
        size_t from = count ? j_offset(s, (size_t)start) : 0;
        const jstr rest = {.s = s->s + from, .n = s->n - from, .chars = s->chars - (count ? (size_t)start : 0)};
        TRY(j_step(r, s->chars == s->n ? 1 : s->n / 64));
        return j_part(r, s, from, j_offset(&rest, count), out);
    }
    size_t mark = j_mark(r), at = j_offset(s, (size_t)start);
    TRY(j_step(r, s->n / 16));
    for (size_t i = 0; i < count; i++) {
        size_t end = at;
        (void)j_decode(s->s, &end);
        TRY(j_emit(r, s->s + at, end - at));
        if (i + 1 == count) break;
        for (jint k = 0; k < step; k++) (void)j_decode(s->s, &at);
        for (jint k = 0; k > step; k--) (void)j_decode_before(s->s, &at);
    }
    return j_cut(r, mark, out);
}

static kvasir_status slice_range(jrun *r, const jrange *g, jint start, jint stop, jint step, size_t count, jval *out)
{
    jrange *made;
    TRY(j_take(r, 1, sizeof *made, &made));
    jint width;
    if (__builtin_mul_overflow(g->step, step, &width)) return too_large(r);
    *made = (jrange){g->start + start * g->step, g->start + stop * g->step, width, (jint)count};
    *out = (jval){.kind = J_RANGE, .range = made};
    return KVASIR_OK;
}

kvasir_status j_slice(jrun *r, jval v, jval start_v, jval stop_v, jval step_v, jval *out)
{
    size_t length;
    if (v.kind == J_UNDEFINED) return j_use_undefined(r, v);
    if (v.kind != J_RANGE && v.kind != J_BYTES && !is_row(v))
        return j_fail(r, "'%s' object cannot be sliced", j_type_name(v));
    (void)j_length(v, &length);
    jint n = (jint)length, step = 1, start, stop, count = 0;
    if (step_v.kind != J_MISSING && step_v.kind != J_NONE) {
        if (!j_is_integral(step_v))
            return j_fail(r, "slice indices must be integers or None, not %s", j_type_name(step_v));
        step = j_integer(step_v);
    }
    if (step == 0) return j_fail(r, "slice step cannot be zero");
    if (step > n + 1) step = n + 1; /* any larger step gives one item, too */
    if (step < -n - 1) step = -n - 1;
    TRY(slice_bound(r, start_v, step > 0 ? 0 : n - 1, n, step > 0 ? 0 : -1, step > 0 ? n : n - 1, &start));
    TRY(slice_bound(r, stop_v, step > 0 ? n : -1, n, step > 0 ? 0 : -1, step > 0 ? n : n - 1, &stop));
    if (step > 0 && start < stop) count = (stop - start - 1) / step + 1;
    if (step < 0 && start > stop) count = (start - stop - 1) / -step + 1;
    if (v.kind == J_STRING) {
        TRY(slice_text(r, v.s, start, step, (size_t)count, out));
        if (v.s->markup && out->s != v.s) j_set_markup(*out);
        return KVASIR_OK;
    }
    if (v.kind == J_RANGE) return slice_range(r, v.range, start, stop, step, (size_t)count, out);
    if (v.kind == J_BYTES) return j_fail(r, "slices of bytes are not supported");
    TRY(j_new_list(r, v.kind, (size_t)count, out));
    for (jint i = 0; i < count; i++) out->list->v[i] = v.list->v[start + i * step];
    return j_step(r, (size_t)count / 16);
}

/* ---- subscripts --------------------------------------------------------------------------------------- */

static kvasir_status index_of(jrun *r, jval v, jint i, jval *out)
{
    size_t length;
    if (!j_length(v, &length)) return KVASIR_OK;
    if (i < 0) i += (jint)length;
    if (i < 0 || i >= (jint)length) return KVASIR_OK;
    switch (v.kind) {
    case J_LIST:
    case J_TUPLE:
        *out = v.list->v[i];
        return KVASIR_OK;
    case J_RANGE:
        *out = j_int(v.range->start + i * v.range->step);
        return KVASIR_OK;
    case J_BYTES:
        *out = j_int((unsigned char)v.s->s[i]);
        return KVASIR_OK;
    case J_STRING:
        return slice_text(r, v.s, i, 1, 1, out);
    default:
        return KVASIR_OK;
    }
}

/* obj[key]; J_MISSING where Python raises LookupError or TypeError. */
static kvasir_status item_of(jrun *r, jval v, jval key, jval *out)
{
    *out = (jval){.kind = J_MISSING};
    if (v.kind == J_UNDEFINED) return j_use_undefined(r, v);
    if (v.kind == J_DICT) {
        bool is;
        TRY(j_hashable(r, key, &is));
        return is ? j_dict_get(r, v.dict, key, out) : KVASIR_OK;
    }
    return j_is_integral(key) ? index_of(r, v, j_integer(key), out) : KVASIR_OK;
}

static kvasir_status unsafe(jrun *r, jval v, const jstr *name, jval *out)
{
    size_t mark = j_mark(r);
    jval text;
    TRY(j_emit_text(r, "access to attribute '"));
    TRY(j_emit(r, name->s, name->n));
    TRY(j_emit_text(r, "' of '"));
    TRY(j_emit_text(r, j_type_name(v)));
    TRY(j_emit_text(r, "' object is unsafe"));
    TRY(j_emit(r, "", 1));
    TRY(j_cut(r, mark, &text));
    return j_new_undefined(r, text.s->s, NULL, j_str(name), out);
}

/* What Jinja's immutable sandbox hides: names that begin with an underscore, and methods that change the value. */
static bool is_unsafe(jval v, const jstr *name)
{
    static const char *const of_list[] = {"append", "reverse", "insert", "sort", "extend", "remove"};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
    if (name->n > 0 && name->s[0] == '_') return true;
    for (size_t i = 0; v.kind == J_LIST && i < sizeof of_list / sizeof *of_list; i++)
        if (j_is(name, of_list[i])) return true;
    for (size_t i = 0; v.kind == J_DICT && i < sizeof of_dict / sizeof *of_dict; i++)
        if (j_is(name, of_dict[i])) return true;
    return false;
}

/* Attributes that every Python object has. */
static bool is_dunder(const jstr *name)
{
    return name->n > 4 && memcmp(name->s, "__", 2) == 0 && memcmp(name->s + name->n - 2, "__", 2) == 0;
}

kvasir_status j_safe_attribute(jrun *r, jval v, const jstr *name, jval *out)
{
    bool hidden =
        v.kind != J_NAMESPACE &&
        (is_dunder(name) || ((v.kind == J_LIST || v.kind == J_DICT) && is_unsafe(v, name) && name->s[0] != '_'));
    *out = (jval){.kind = J_MISSING};
    if (hidden) return unsafe(r, v, name, out);
    TRY(j_attribute(r, v, name, out));
    return out->kind != J_MISSING && is_unsafe(v, name) ? unsafe(r, v, name, out) : KVASIR_OK;
}

kvasir_status j_get_item(jrun *r, jval v, jval key, jval *out)
{
    TRY(item_of(r, v, key, out));
    if (out->kind == J_MISSING && key.kind == J_STRING) TRY(j_safe_attribute(r, v, key.s, out));
    return out->kind == J_MISSING ? j_new_undefined(r, NULL, j_type_name(v), key, out) : KVASIR_OK;
}

kvasir_status j_get_attr(jrun *r, jval v, const jstr *name, jval *out)
{
    if (v.kind == J_UNDEFINED && !is_dunder(name)) return j_use_undefined(r, v);
    TRY(j_safe_attribute(r, v, name, out));
    if (out->kind == J_MISSING) TRY(item_of(r, v, j_str(name), out));
    return out->kind == J_MISSING ? j_new_undefined(r, NULL, j_type_name(v), j_str(name), out) : KVASIR_OK;
}
