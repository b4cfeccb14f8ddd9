/* Making values, asking them simple questions, comparing them. */
#include "jinja/run/run.h"

#include <math.h>
#include <string.h>

/* ---- making ------------------------------------------------------------------------------------------- */

static kvasir_status new_str(jrun *r, const char *s, size_t n, size_t chars, jval *out)
{
    jstr *t;
    TRY(j_take(r, 1, sizeof *t, &t));
    *t = (jstr){.s = s, .n = n, .chars = chars};
    *out = j_str(t);
    return KVASIR_OK;
}

kvasir_status j_string(jrun *r, const char *s, size_t n, jval *out)
{
    char *copy;
    TRY(j_take(r, n, 1, &copy));
    if (n) memcpy(copy, s, n);
    return new_str(r, copy, n, j_count(s, n), out);
}

kvasir_status j_text(jrun *r, const char *s, jval *out)
{
    return j_string(r, s, strlen(s), out);
}

kvasir_status j_part(jrun *r, const jstr *of, size_t at, size_t n, jval *out)
{
    if (n == of->n) {
        *out = j_str(of);
        return KVASIR_OK;
    }
    TRY(j_step(r, n / 64));
    TRY(new_str(r, of->s + at, n, of->chars == of->n ? n : j_count(of->s + at, n), out));
    if (of->markup) j_set_markup(*out);
    return KVASIR_OK;
}

void j_set_markup(jval v)
{
    ((jstr *)v.s)->markup = true; /* every string of a rendering lies in its own arena, so it may be written to */
}

kvasir_status j_new_list(jrun *r, jkind kind, size_t n, jval *out)
{
    jlist *list;
    TRY(j_take(r, 1, sizeof *list, &list));
    TRY(j_take(r, n, sizeof *list->v, &list->v));
    list->n = n;
    *out = (jval){.kind = kind, .list = list};
    return KVASIR_OK;
}

kvasir_status j_pair(jrun *r, jval a, jval b, jval *out)
{
    TRY(j_new_list(r, J_TUPLE, 2, out));
    out->list->v[0] = a;
    out->list->v[1] = b;
    return KVASIR_OK;
}

kvasir_status j_new_undefined(jrun *r, const char *hint, const char *of_type, jval name, jval *out)
{
    jundef *u;
    TRY(j_take(r, 1, sizeof *u, &u));
    *u = (jundef){.hint = hint, .of_type = of_type, .name = name};
    *out = j_undefined(u);
    return KVASIR_OK;
}

kvasir_status j_undefined_name(jrun *r, const jstr *name, jval *out)
{
    return j_new_undefined(r, NULL, NULL, j_str(name), out);
}

kvasir_status j_use_undefined(jrun *r, jval v)
{
    const jundef *u = v.undef;
    if (u->hint) return j_fail(r, "%s", u->hint);
    const jstr *name;
    TRY(j_to_str(r, u->name, &name));
    const char *text = quoted(name->s, name->n);
    if (!u->of_type) return j_fail(r, "'%s' is undefined", text);
    if (u->name.kind == J_STRING) return j_fail(r, "'%s object' has no attribute '%s'", u->of_type, text);
    return j_fail(r, "%s object has no element %s", u->of_type, text);
}

/* ---- asking ------------------------------------------------------------------------------------------- */

const char *j_type_name(jval v)
{
    switch (v.kind) {
    case J_MISSING:
    case J_UNDEFINED:
        return "Undefined";
    case J_NONE:
        return "NoneType";
    case J_BOOL:
        return "bool";
    case J_INT:
        return "int";
    case J_FLOAT:
        return "float";
    case J_STRING:
        return v.s->markup ? "Markup" : "str";
    case J_BYTES:
        return "bytes";
    case J_LIST:
        return "list";
    case J_TUPLE:
        return "tuple";
    case J_DICT:
        return "dict";
    case J_RANGE:
        return "range";
    case J_VIEW:
        return v.view->kind == VIEW_KEYS ? "dict_keys" : v.view->kind == VIEW_VALUES ? "dict_values" : "dict_items";
    case J_ITER:
        return v.iter->type;
    case J_NAMESPACE:
        return "Namespace";
    case J_MACRO:
        return "Macro";
    case J_METHOD:
        return "builtin_function_or_method";
    case J_FUNCTION:
        return "function";
    case J_LOOP:
        return "LoopContext";
    case J_CYCLER:
        return "Cycler";
    case J_JOINER:
        return "Joiner";
    }
    return "?";
}

bool j_length(jval v, size_t *n)
{
    switch (v.kind) {
    case J_UNDEFINED:
        *n = 0;
        return true;
    case J_STRING:
        *n = v.s->chars;
        return true;
    case J_BYTES:
        *n = v.s->n;
        return true;
    case J_LIST:
    case J_TUPLE:
        *n = v.list->n;
        return true;
    case J_DICT:
        *n = j_dict_size(v.dict);
        return true;
    case J_RANGE:
        *n = (size_t)v.range->n;
        return true;
    case J_VIEW:
        *n = j_dict_size(v.view->dict);
        return true;
    default:
        return false;
    }
}

bool j_truth(jval v)
{
    size_t n;
    switch (v.kind) {
    case J_MISSING:
    case J_UNDEFINED:
    case J_NONE:
        return false;
    case J_BOOL:
        return v.b;
    case J_INT:
        return v.i != 0;
    case J_FLOAT:
        return v.f != 0;
    default:
        return j_length(v, &n) ? n > 0 : true;
    }
}

bool j_is(const jstr *s, const char *text)
{
    size_t n = strlen(text);
    return s->n == n && memcmp(s->s, text, n) == 0;
}

bool j_same(jval a, jval b)
{
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case J_MISSING:
    case J_UNDEFINED:
    case J_NONE:
        return true;
    case J_BOOL:
        return a.b == b.b;
    case J_INT:
        return a.i == b.i;
    case J_FLOAT:
        return a.f == b.f;
    case J_STRING:
        return a.s->n == b.s->n && memcmp(a.s->s, b.s->s, a.s->n) == 0;
    default:
        return a.list == b.list; /* any pointer of the union will do */
    }
}

/* ---- comparing ---------------------------------------------------------------------------------------- */

/* -1, 0 or 1; 2 when one of them is NaN. Exact, also for integers that no double can hold. */
static int order_numbers(jval a, jval b)
{
    if (a.kind != J_FLOAT && b.kind != J_FLOAT) {
        jint x = j_integer(a), y = j_integer(b);
        return (x > y) - (x < y);
    }
    if (a.kind == J_FLOAT && b.kind == J_FLOAT) return isunordered(a.f, b.f) ? 2 : (a.f > b.f) - (a.f < b.f);
    if (b.kind != J_FLOAT) {
        int o = order_numbers(b, a);
        return o == 2 ? 2 : -o;
    }
    if (isnan(b.f)) return 2;
    if (b.f >= 0x1p127) return -1;
    if (b.f < -0x1p127) return 1;
    jint x = j_integer(a), y = (jint)b.f;
    if (x != y) return x > y ? 1 : -1;
    double rest = b.f - (double)y;
    return (rest < 0) - (rest > 0);
}

static int order_text(const jstr *a, const jstr *b)
{
    int o = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    return o ? o : (a->n > b->n) - (a->n < b->n);
}

static kvasir_status equal_lists(jrun *r, const jlist *a, const jlist *b, bool *out)
{
    *out = a->n == b->n;
    if (a == b) return KVASIR_OK;
    for (size_t i = 0; *out && i < a->n; i++) TRY(j_equal(r, a->v[i], b->v[i], out));
    return KVASIR_OK;
}

static kvasir_status equal_dicts(jrun *r, const jdict *a, const jdict *b, bool *out)
{
    *out = j_dict_size(a) == j_dict_size(b);
    for (size_t i = 0; *out && i < j_dict_size(a); i++) {
        jval other;
        TRY(j_dict_get(r, b, j_dict_key(a, i), &other));
        if (other.kind == J_MISSING)
            *out = false;
        else
            TRY(j_equal(r, j_dict_value(a, i), other, out));
    }
    return KVASIR_OK;
}

static bool equal_ranges(const jrange *a, const jrange *b)
{
    return a->n == b->n && (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

kvasir_status j_equal(jrun *r, jval a, jval b, bool *out)
{
    TRY(j_step(r, 1));
    *out = false;
    if (j_is_number(a) && j_is_number(b)) {
        *out = order_numbers(a, b) == 0;
        return KVASIR_OK;
    }
    if (a.kind != b.kind) return KVASIR_OK;
    kvasir_status status = KVASIR_OK;
    switch (a.kind) {
    case J_STRING:
    case J_BYTES:
        *out = a.s->n == b.s->n && order_text(a.s, b.s) == 0;
        return *out ? j_step(r, a.s->n / 64) : KVASIR_OK;
    case J_RANGE:
        *out = equal_ranges(a.range, b.range);
        return KVASIR_OK;
    case J_LIST:
    case J_TUPLE:
        TRY(j_down(r));
        status = equal_lists(r, a.list, b.list, out);
        j_up(r);
        return status;
    case J_DICT:
        TRY(j_down(r));
        status = equal_dicts(r, a.dict, b.dict, out);
        j_up(r);
        return status;
    default:
        *out = j_same(a, b);
        return KVASIR_OK;
    }
}

static bool decide(jcompare op, int order)
{
    if (order == 2) return false;
    return op == CMP_LT ? order < 0 : op == CMP_LE ? order <= 0 : op == CMP_GT ? order > 0 : order >= 0;
}

/* Lists compare as their first members that differ. */
static kvasir_status compare_lists(jrun *r, jcompare op, const jlist *a, const jlist *b, bool *out)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        TRY(j_equal(r, a->v[i], b->v[i], &same));
        if (!same) return j_compare(r, op, a->v[i], b->v[i], out);
    }
    *out = decide(op, (a->n > b->n) - (a->n < b->n));
    return KVASIR_OK;
}

kvasir_status j_compare(jrun *r, jcompare op, jval a, jval b, bool *out)
{
    if (op == CMP_IN || op == CMP_NOT_IN) {
        TRY(j_contains(r, b, a, out));
        *out ^= op == CMP_NOT_IN;
        return KVASIR_OK;
    }
    if (op == CMP_EQ || op == CMP_NE) {
        TRY(j_equal(r, a, b, out));
        *out ^= op == CMP_NE;
        return KVASIR_OK;
    }
    if (a.kind == J_UNDEFINED) return j_use_undefined(r, a);
    if (b.kind == J_UNDEFINED) return j_use_undefined(r, b);
    if (j_is_number(a) && j_is_number(b)) {
        *out = decide(op, order_numbers(a, b));
        return KVASIR_OK;
    }
    if (a.kind == b.kind && (a.kind == J_STRING || a.kind == J_BYTES)) {
        int o = order_text(a.s, b.s);
        *out = decide(op, (o > 0) - (o < 0));
        return j_step(r, 1);
    }
    if (a.kind == b.kind && j_is_sequence(a)) {
        TRY(j_down(r));
        kvasir_status status = compare_lists(r, op, a.list, b.list, out);
        j_up(r);
        return status;
    }
    return j_fail(r, "%s and %s cannot be ordered", j_type_name(a), j_type_name(b));
}

static kvasir_status contains_item(jrun *r, jval in, jval what, bool *out)
{
    jiter *it;
    *out = false;
    TRY(j_iterate(r, in, &it));
    while (!*out) {
        jval item;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING) break;
        TRY(j_equal(r, item, what, out));
    }
    return KVASIR_OK;
}

kvasir_status j_contains(jrun *r, jval in, jval what, bool *out)
{
    if (in.kind == J_STRING) {
        if (what.kind != J_STRING)
            return j_fail(r, "'in <string>' needs a string on the left, not %s", j_type_name(what));
        *out = j_find_text(in.s, 0, what.s) != SIZE_MAX;
        return j_step(r, in.s->n / 64);
    }
    if (in.kind == J_DICT || (in.kind == J_VIEW && in.view->kind == VIEW_KEYS)) {
        jval found;
        TRY(j_dict_get(r, in.kind == J_DICT ? in.dict : in.view->dict, what, &found));
        *out = found.kind != J_MISSING;
        return KVASIR_OK;
    }
    return contains_item(r, in, what, out);
}
