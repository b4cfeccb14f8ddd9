/* kvasir_bench: every row is there, beside its limit. No speed is asserted: the machine may be busy. */
#include "test.h"

#include "kernels/linear.h"

#include <math.h>

enum { MAX_ROWS = 128 };

typedef struct seen {
    char name[64], unit[16];
    double value, limit;
    int threads;
} seen;

typedef struct table {
    seen row[MAX_ROWS];
    int n;
} table;

static void keep(void *user, const kvasir_bench_row *row)
{
    table *t = user;
    assert_true(t->n < MAX_ROWS);
    seen *s = &t->row[t->n++];
    *s = (seen){.value = row->value, .limit = row->limit, .threads = row->threads};
    (void)snprintf(s->name, sizeof s->name, "%s", row->name);
    (void)snprintf(s->unit, sizeof s->unit, "%s", row->unit);
}

/* The one row of this name and number of threads. */
static const seen *find(const table *t, const char *name, int threads)
{
    const seen *found = NULL;
    for (int i = 0; i < t->n; i++) {
        if (strcmp(t->row[i].name, name) != 0 || t->row[i].threads != threads) continue;
        assert_null(found);
        found = &t->row[i];
    }
    if (!found) print_error("no row \"%s\" with %d threads\n", name, threads);
    assert_non_null(found);
    return found;
}

static void measure(table *t, int threads)
{
    const kvasir_engine_options o = {.n_threads = threads};
    t->n = 0;
    assert_ok(kvasir_bench(&o, 0.3, keep, t));
    int n_limits = 0;
    for (int i = 0; i < t->n; i++) {
        const seen *s = &t->row[i];
        assert_true(isfinite(s->value) && s->value > 0);
        assert_true(isfinite(s->limit) && s->limit >= 0);
        assert_true(s->threads == 1 || s->threads == threads);
        assert_true(s->unit[0] != 0);
        if (s->limit == 0) assert_int_equal(n_limits++, i); /* limits come first */
    }
    assert_int_equal(n_limits, threads == 1 ? 4 : 8);
}

static void check_kernels(const table *t, int threads)
{
    static const char *const verbs[] = {"gemv", "gemm", "pack"};
    static const char *const small[] = {"quantise", "rmsnorm", "silu_mul", "gelu_mul", "softmax", "rope"};
    double read = fmax(find(t, "read", 1)->value, find(t, "read", threads)->value);
    double int8 = fmax(find(t, "int8 dot", 1)->value, find(t, "int8 dot", threads)->value);
    double f32 = fmax(find(t, "f32 fma", 1)->value, find(t, "f32 fma", threads)->value);
    for (int kind = 0; kind < PANEL_KINDS; kind++) {
        for (int i = 0; i < 3; i++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s %s", verbs[i], panel_kind_name((panel_kind)kind));
            bool floats = panel_kind_is_float((panel_kind)kind);
            double limit = i != 1 ? read : floats ? f32 : int8;
            assert_true(fabs(find(t, name, threads)->limit / limit - 1) < 1e-9);
        }
    }
    assert_true(fabs(find(t, "attention decode f16", threads)->limit / read - 1) < 1e-9);
    assert_true(fabs(find(t, "attention prefill f16", threads)->limit / f32 - 1) < 1e-9);
    double cached = threads * find(t, "read cached", 1)->value;
    assert_true(fabs(find(t, "attention decode q4 d64 cached", threads)->limit / cached - 1) < 1e-9);
    assert_true(fabs(find(t, "attention decode q8 d64", threads)->limit / read - 1) < 1e-9);
    assert_true(fabs(find(t, "attention prefill q8 d64 q64", threads)->limit / int8 - 1) < 1e-9);
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        assert_true(fabs(find(t, small[i], 1)->limit / find(t, "read cached", 1)->value - 1) < 1e-9);
}

static void test_two_threads(void **state)
{
    static table t;
    (void)state;
    measure(&t, 2);
    (void)find(&t, "barrier", 2);
    check_kernels(&t, 2);
    assert_int_equal(t.n, 8 + 3 * PANEL_KINDS + 3 * 7 + 6);
}

/* With one thread, a limit of all threads would say the same again, and nobody waits at a barrier. */
static void test_one_thread(void **state)
{
    static table t;
    (void)state;
    measure(&t, 1);
    check_kernels(&t, 1);
    for (int i = 0; i < t.n; i++) assert_string_not_equal(t.row[i].name, "barrier");
}

static void test_read_bandwidth(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        double rate = 0;
        assert_ok(kvasir_read_bandwidth(&(kvasir_engine_options){.n_threads = threads}, 0.05, &rate));
        assert_true(isfinite(rate) && rate > 1e6);
    }
    double rate = 1;
    assert_ok(kvasir_read_bandwidth(NULL, 0.02, &rate));
    assert_int_equal(kvasir_read_bandwidth(NULL, 0.1, NULL), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_read_bandwidth(NULL, 0, &rate), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_read_bandwidth(&(kvasir_engine_options){.cpu = "6502"}, 0.1, &rate), KVASIR_E_ARGUMENT);
}

static void test_refusals(void **state)
{
    static table t;
    (void)state;
    assert_int_equal(kvasir_bench(NULL, 0.3, NULL, NULL), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_bench(NULL, 0, keep, &t), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_bench(NULL, (double)NAN, keep, &t), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_bench(&(kvasir_engine_options){.n_threads = -1}, 0.3, keep, &t), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_bench(&(kvasir_engine_options){.cpu = "6502"}, 0.3, keep, &t), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_bench(&(kvasir_engine_options){.n_threads = 2000}, 0.3, keep, &t), KVASIR_E_ARGUMENT);
    assert_int_equal(t.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_read_bandwidth),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
