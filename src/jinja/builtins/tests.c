/* What may stand after `is`. */
#include "jinja/builtins/builtins.h"
#include "jinja/run/run.h"

static kvasir_status remainder_is(jrun *r, jval v, jval by, jint rest, jval *out)
{
    jval left;
    bool same;
    TRY(j_binary(r, N_MOD, v, by, &left));
    TRY(j_equal(r, left, j_int(rest), &same));
    *out = j_bool(same);
    return KVASIR_OK;
}

static kvasir_status is_odd(jrun *r, jval self, const jargs *a, jval *out)
{
    return remainder_is(r, self, j_int(2), 1, out);
}

static kvasir_status is_even(jrun *r, jval self, const jargs *a, jval *out)
{
    return remainder_is(r, self, j_int(2), 0, out);
}

static kvasir_status is_divisible(jrun *r, jval self, const jargs *a, jval *out)
{
    return remainder_is(r, self, a->v[0], 0, out);
}

/* A test that needs only the value itself. */
#define SIMPLE(name, answer)                                                                                           \
    static kvasir_status name(jrun *r, jval self, const jargs *a, jval *out)                                           \
    {                                                                                                                  \
        *out = j_bool(answer);                                                                                         \
        return KVASIR_OK;                                                                                              \
    }
SIMPLE(is_defined, self.kind != J_UNDEFINED)
SIMPLE(is_undefined, self.kind == J_UNDEFINED)
SIMPLE(is_none, self.kind == J_NONE)
SIMPLE(is_boolean, self.kind == J_BOOL)
SIMPLE(is_true, self.kind == J_BOOL && self.b)
SIMPLE(is_false, self.kind == J_BOOL && !self.b)
SIMPLE(is_integer, self.kind == J_INT)
SIMPLE(is_float, self.kind == J_FLOAT)
SIMPLE(is_number, j_is_number(self))
SIMPLE(is_string, self.kind == J_STRING)
SIMPLE(is_mapping, self.kind == J_DICT)
SIMPLE(is_iterable, j_iterable(self) || self.kind == J_LOOP)
SIMPLE(is_escaped, self.kind == J_STRING && self.s->markup)
SIMPLE(is_same, j_same(self, a->v[0]))
SIMPLE(is_sequence, self.kind == J_STRING || self.kind == J_BYTES || j_is_sequence(self) || self.kind == J_DICT ||
                        self.kind == J_RANGE || self.kind == J_UNDEFINED)
SIMPLE(is_callable, self.kind == J_FUNCTION || self.kind == J_METHOD || self.kind == J_MACRO || self.kind == J_LOOP ||
                        self.kind == J_JOINER || self.kind == J_UNDEFINED)

/* Whether the value is the name of a filter (or of a test). */
static kvasir_status name_is(jrun *r, jval v, const jfunction *(*find)(const jstr *name), jval *out)
{
    bool is;
    TRY(j_hashable(r, v, &is));
    if (!is) return j_fail(r, "unhashable type: '%s'", j_type_name(v));
    *out = j_bool(v.kind == J_STRING && find(v.s));
    return KVASIR_OK;
}

static kvasir_status is_filter(jrun *r, jval self, const jargs *a, jval *out)
{
    return name_is(r, self, j_find_filter, out);
}

static kvasir_status is_test(jrun *r, jval self, const jargs *a, jval *out)
{
    return name_is(r, self, j_find_test, out);
}

static kvasir_status text_is(jrun *r, jval self, jclass c, jval *out)
{
    const jstr *s;
    TRY(j_to_str(r, self, &s));
    *out = j_bool(j_class(c, s));
    return j_step(r, s->n / 16);
}

static kvasir_status is_lower(jrun *r, jval self, const jargs *a, jval *out)
{
    return text_is(r, self, CLASS_LOWER, out);
}

static kvasir_status is_upper(jrun *r, jval self, const jargs *a, jval *out)
{
    return text_is(r, self, CLASS_UPPER, out);
}

#define COMPARE(name, op)                                                                                              \
    static kvasir_status name(jrun *r, jval self, const jargs *a, jval *out)                                           \
    {                                                                                                                  \
        bool is;                                                                                                       \
        TRY(j_compare(r, op, self, a->v[0], &is));                                                                     \
        *out = j_bool(is);                                                                                             \
        return KVASIR_OK;                                                                                              \
    }
COMPARE(is_eq, CMP_EQ)
COMPARE(is_ne, CMP_NE)
COMPARE(is_lt, CMP_LT)
COMPARE(is_le, CMP_LE)
COMPARE(is_gt, CMP_GT)
COMPARE(is_ge, CMP_GE)
COMPARE(is_in, CMP_IN)

const jfunction *j_find_test(const jstr *name)
{
    static const jfunction all[] = {{"odd", is_odd, 0, ""},
                                    {"even", is_even, 0, ""},
                                    {"divisibleby", is_divisible, 1, "num"},
                                    {"defined", is_defined, 0, ""},
                                    {"undefined", is_undefined, 0, ""},
                                    {"filter", is_filter, 0, ""},
                                    {"test", is_test, 0, ""},
                                    {"none", is_none, 0, ""},
                                    {"boolean", is_boolean, 0, ""},
                                    {"false", is_false, 0, ""},
                                    {"true", is_true, 0, ""},
                                    {"integer", is_integer, 0, ""},
                                    {"float", is_float, 0, ""},
                                    {"lower", is_lower, 0, ""},
                                    {"upper", is_upper, 0, ""},
                                    {"string", is_string, 0, ""},
                                    {"mapping", is_mapping, 0, ""},
                                    {"number", is_number, 0, ""},
                                    {"sequence", is_sequence, 0, ""},
                                    {"iterable", is_iterable, 0, ""},
                                    {"callable", is_callable, 0, ""},
                                    {"sameas", is_same, 1, "other"},
                                    {"escaped", is_escaped, 0, ""},
                                    {"in", is_in, 1, "seq"},
                                    {"==", is_eq, 1, "_"},
                                    {"eq", is_eq, 1, "_"},
                                    {"equalto", is_eq, 1, "_"},
                                    {"!=", is_ne, 1, "_"},
                                    {"ne", is_ne, 1, "_"},
                                    {">", is_gt, 1, "_"},
                                    {"gt", is_gt, 1, "_"},
                                    {"greaterthan", is_gt, 1, "_"},
                                    {">=", is_ge, 1, "_"},
                                    {"ge", is_ge, 1, "_"},
                                    {"<", is_lt, 1, "_"},
                                    {"lt", is_lt, 1, "_"},
                                    {"lessthan", is_lt, 1, "_"},
                                    {"<=", is_le, 1, "_"},
                                    {"le", is_le, 1, "_"}};
    return j_find(all, sizeof all / sizeof *all, name);
}

kvasir_status j_run_test(jrun *r, const jfunction *test, jval v, const jargs *a, bool *out)
{
    jval answer;
    TRY(j_call_builtin(r, test, v, a, &answer));
    *out = j_truth(answer);
    return KVASIR_OK;
}
