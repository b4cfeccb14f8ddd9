/* kvasir_probe: a whole profile. No speed is asserted: the machine may be busy. */
#include "test.h"

#include "base/cpu.h"
#include "kernels/linear.h"

#include <math.h>
#include <unistd.h>

static int n_steps, last_total;

static int count_steps(void *user, const char *what, int done, int total)
{
    assert_true(what && what[0]);
    assert_true(done >= 0 && done < total);
    n_steps++;
    last_total = total;
    return user && n_steps >= *(int *)user;
}

static bool positive(double x)
{
    return isfinite(x) && x > 0;
}

static const kvasir_machine_kernel *kernel(const kvasir_machine *m, const char *name)
{
    const kvasir_machine_kernel *found = NULL;
    for (int i = 0; i < m->n_kernels; i++)
        if (strcmp(m->kernel[i].name, name) == 0) {
            assert_null(found);
            found = &m->kernel[i];
        }
    if (!found) print_error("no kernel \"%s\"\n", name);
    assert_non_null(found);
    return found;
}

static void check_teams(const kvasir_machine *m, const int *threads, int n)
{
    const char *best = cpu_level_name(cpu_best());
    int n_levels = 0;
    for (int i = 0; i < CPU_LEVELS; i++) n_levels += cpu_has((cpu_level)i);
    assert_int_equal(m->n_teams, n + (n_levels - 1) * (threads[n - 1] > 1 ? 2 : 1));
    for (int i = 0; i < m->n_teams; i++) {
        const kvasir_machine_team *t = &m->team[i];
        assert_true(positive(t->int8_ops_per_s) && positive(t->f32_ops_per_s));
        assert_int_equal(strcmp(t->level, best) == 0, i < n);
        if (i < n) assert_int_equal(t->threads, threads[i]);
        assert_true(i < n ? positive(t->read_bytes_per_s) : t->read_bytes_per_s == 0);
        assert_true(i < n && t->threads > 1 ? positive(t->barrier_s) : t->barrier_s == 0);
    }
}

static void check_kernels(const kvasir_machine *m, int threads)
{
    static const char *const verbs[] = {"gemv", "gemm", "pack"}, *const formats[] = {"f16", "q8", "q4"};
    static const char *const rows[] = {"attention decode %s",         "attention decode %s cached",
                                       "attention decode %s d64",     "attention decode %s d64 cached",
                                       "attention prefill %s",        "attention prefill %s q64",
                                       "attention prefill %s d64 q64"};
    char name[64];
    for (int kind = 0; kind < PANEL_KINDS; kind++)
        for (int i = 0; i < 3; i++) {
            (void)snprintf(name, sizeof name, "%s %s", verbs[i], panel_kind_name((panel_kind)kind));
            const kvasir_machine_kernel *k = kernel(m, name);
            const char *unit = i != 1 ? "B/s" : panel_kind_is_float((panel_kind)kind) ? "FLOP/s" : "op/s";
            assert_string_equal(k->unit, unit);
            assert_true(k->threads == threads && k->rate > 1e6);
        }
    for (int f = 0; f < 3; f++)
        for (int i = 0; i < 7; i++) {
            (void)snprintf(name, sizeof name, rows[i], formats[f]);
            assert_true(kernel(m, name)->rate > 1e6);
        }
    assert_string_equal(kernel(m, "quantise")->unit, "B/s");
    assert_int_equal(kernel(m, "rmsnorm")->threads, 1);
    assert_int_equal(m->n_kernels, 1 + 3 * PANEL_KINDS + 3 * 7 + 6);
    for (int i = 0; i < m->n_kernels; i++) assert_string_equal(m->kernel[i].level, cpu_level_name(cpu_best()));
}

static void measure(int threads, const int *sizes, int n)
{
    static kvasir_machine m;
    const kvasir_probe_options o = {.n_threads = threads, .seconds = 0.5, .on_step = count_steps};
    n_steps = 0;
    assert_ok(kvasir_probe(&o, &m));
    assert_true(n_steps > m.n_kernels && n_steps <= last_total);
    check_teams(&m, sizes, n);
    check_kernels(&m, threads);
    assert_true(m.name[0] && m.cpu[0] && strlen(m.date) == 20);
    assert_true(m.n_cores >= 1 && m.n_numa_nodes >= 1 && m.memory_bytes > 1 << 20);
    assert_true(m.available_bytes <= m.memory_bytes && m.swap_free_bytes <= m.swap_bytes);
    assert_true(m.disk_bytes_per_s == 0 && m.page_cache_bytes_per_s == 0);
}

static void test_one_thread(void **state)
{
    (void)state;
    measure(1, (const int[]){1}, 1);
}

static void test_teams_between(void **state)
{
    (void)state;
    measure(3, (const int[]){1, 2, 3}, 3);
}

static void test_cancelled(void **state)
{
    static kvasir_machine m;
    (void)state;
    for (int at = 1; at <= 91; at += 45) {
        n_steps = 0;
        const kvasir_probe_options o = {.n_threads = 2, .seconds = 0.5, .on_step = count_steps, .step_user = &at};
        assert_int_equal(kvasir_probe(&o, &m), KVASIR_E_CANCELLED);
        assert_int_equal(n_steps, at);
    }
}

static void test_refusals(void **state)
{
    static kvasir_machine m;
    (void)state;
    assert_int_equal(kvasir_probe(NULL, NULL), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_probe(&(kvasir_probe_options){.seconds = -1}, &m), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_probe(&(kvasir_probe_options){.seconds = (double)NAN}, &m), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_probe(&(kvasir_probe_options){.n_threads = -1}, &m), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_probe(&(kvasir_probe_options){.n_threads = 5000}, &m), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_probe(&(kvasir_probe_options){.cpu = "6502"}, &m), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_probe(&(kvasir_probe_options){.folder = "/nonexistent"}, &m), KVASIR_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_teams_between),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
