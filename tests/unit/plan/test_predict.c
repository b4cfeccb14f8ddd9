/* Predicted speed: how it follows the machine's numbers, the depth and what was measured. */
#include "test.h"

#include "model_builder.h"
#include <math.h>

static kvasir_machine plain_machine(void)
{
    kvasir_machine m = {.name = "made up", .n_cores = 4, .n_teams = 2};
    m.team[0] = (kvasir_machine_team){1, "avx2", 20e9, 200e9, 50e9, 0};
    m.team[1] = (kvasir_machine_team){4, "avx2", 50e9, 800e9, 200e9, 1e-6};
    return m;
}

static void add(kvasir_machine *m, const char *name, double rate)
{
    kvasir_machine_kernel *k = &m->kernel[m->n_kernels++];
    (void)snprintf(k->name, sizeof k->name, "%s", name);
    (void)snprintf(k->level, sizeof k->level, "avx2");
    k->threads = 4;
    k->rate = rate;
}

typedef struct rig {
    tiny_file file;
    kvasir_model *m;
} rig;

static rig open_rig(void)
{
    const tiny_model t = tiny_llama();
    rig r = {.file = tiny_make(&t)};
    assert_ok(kvasir_model_open(r.file.path, NULL, &r.m));
    return r;
}

static void close_rig(rig *r)
{
    kvasir_model_close(r->m);
    tiny_remove(&r->file);
}

static kvasir_speed at(const rig *r, const kvasir_machine *m, const kvasir_predict_options *o, int depth)
{
    kvasir_speed s;
    assert_ok(kvasir_predict(r->m, m, o, depth, &s));
    assert_true(s.depth == depth && s.decode_s.low < s.decode_s.value && s.decode_s.value < s.decode_s.high);
    assert_true(isfinite(s.decode_s.value) && isfinite(s.prefill_s.value) && isfinite(s.batch_s.value) &&
                s.floor_s > 0);
    return s;
}

static void test_depth(void **state)
{
    rig r = open_rig();
    kvasir_machine m = plain_machine();
    kvasir_speed none = at(&r, &m, NULL, 0), some = at(&r, &m, NULL, 1000), more = at(&r, &m, NULL, 3000);
    (void)state;
    assert_string_equal(none.basis, "machine");
    assert_true(none.prefill_s.value == 0 && some.prefill_s.value > 0);
    assert_true(none.decode_s.value < some.decode_s.value && none.floor_s < some.floor_s);
    double a = some.decode_s.value - none.decode_s.value, b = more.decode_s.value - some.decode_s.value;
    assert_true(fabs(b - 2 * a) < 1e-6 * b);                      /* a line in the depth */
    assert_true(more.prefill_s.value > 3 * some.prefill_s.value); /* and more than one */
    assert_true(more.batch_s.value > some.batch_s.value);
    close_rig(&r);
}

static void test_machine(void **state)
{
    rig r = open_rig();
    kvasir_machine m = plain_machine(), twice = m;
    (void)state;
    for (int i = 0; i < twice.n_teams; i++) {
        kvasir_machine_team *t = &twice.team[i];
        t->read_bytes_per_s *= 2, t->int8_ops_per_s *= 2, t->f32_ops_per_s *= 2, t->barrier_s /= 2;
    }
    const kvasir_predict_options alone = {.n_threads = 1};
    kvasir_speed slow = at(&r, &m, &alone, 500), fast = at(&r, &twice, &alone, 500);
    assert_true(fabs(slow.decode_s.value / fast.decode_s.value - 2) < 1e-9);
    assert_true(fabs(slow.prefill_s.value / fast.prefill_s.value - 2) < 1e-9);
    /* What threads cost each other besides barriers is latency, and no higher rate makes that shorter. */
    slow = at(&r, &m, NULL, 500), fast = at(&r, &twice, NULL, 500);
    assert_true(slow.decode_s.value / fast.decode_s.value > 1 && slow.decode_s.value / fast.decode_s.value < 2);
    assert_true(slow.prefill_s.value / fast.prefill_s.value > 1 && slow.prefill_s.value / fast.prefill_s.value < 2);
    /* A number of threads between those of two teams gives a speed between theirs. */
    kvasir_speed one = at(&r, &m, &(kvasir_predict_options){.n_threads = 1}, 500);
    kvasir_speed two = at(&r, &m, &(kvasir_predict_options){.n_threads = 2}, 500);
    assert_true(one.floor_s > two.floor_s && two.floor_s > slow.floor_s);
    assert_true(one.prefill_s.value > two.prefill_s.value && two.prefill_s.value > slow.prefill_s.value);
    /* A measured kernel counts instead of a share of the limit. */
    add(&m, "gemv F32", 1e9);
    assert_true(at(&r, &m, NULL, 0).decode_s.value > slow.decode_s.value);
    add(&m, "gemv Q8_0", 1e9);
    add(&m, "attention prefill q8 q64", 1e9);
    kvasir_speed probed = at(&r, &m, NULL, 0);
    assert_string_equal(probed.basis, "probe");
    assert_true(probed.decode_s.high / probed.decode_s.low < slow.decode_s.high / slow.decode_s.low);
    close_rig(&r);
}

static void test_samples(void **state)
{
    rig r = open_rig();
    kvasir_machine m = plain_machine();
    kvasir_speed a = at(&r, &m, NULL, 0), b = at(&r, &m, NULL, 2048), c = at(&r, &m, NULL, 1024);
    (void)state;
    /* The flat part is twice as slow, and what grows with the depth is three times as slow. */
    double grows = b.decode_s.value - a.decode_s.value, chunk = b.batch_s.value - a.batch_s.value;
    const kvasir_speed_sample samples[] = {
        {"f16", 0, 512, 2 * a.decode_s.value, 2 * a.batch_s.value, 0},
        {"f16", 2048, 512, 2 * a.decode_s.value + 3 * grows, 2 * a.batch_s.value + 3 * chunk, 0},
    };
    kvasir_predict_options o = {.samples = samples, .n_samples = 2};
    kvasir_speed d = at(&r, &m, &o, 1024), e = at(&r, &m, &o, 2048);
    assert_string_equal(d.basis, "sweep");
    assert_true(fabs(d.decode_s.value - (2 * a.decode_s.value + 1.5 * grows)) < 1e-6 * d.decode_s.value);
    assert_true(fabs(e.batch_s.value - samples[1].prefill_s) < 0.2 * e.batch_s.value);
    assert_true(d.decode_s.high / d.decode_s.low < c.decode_s.high / c.decode_s.low);
    /* One depth: all alike. */
    o.n_samples = 1;
    assert_true(fabs(at(&r, &m, &o, 1024).decode_s.value - 2 * c.decode_s.value) < 1e-6 * c.decode_s.value);
    /* Of another type: what it says about the machine still counts. */
    o.kv = "f32";
    kvasir_speed f = at(&r, &m, &o, 1024), g = at(&r, &m, &(kvasir_predict_options){.kv = "f32"}, 1024);
    assert_true(fabs(f.decode_s.value - 2 * g.decode_s.value) < 1e-6 * f.decode_s.value);
    close_rig(&r);
}

/* Samples of two types: what does not depend on the depth is the same for both; the rest is each type's own. */
static void test_samples_of_two_types(void **state)
{
    rig r = open_rig();
    kvasir_machine m = plain_machine();
    kvasir_predict_options of[2] = {{.kv = "f16"}, {.kv = "f32"}};
    kvasir_speed_sample samples[4];
    kvasir_speed at_0[2], at_2048[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        at_0[i] = at(&r, &m, &of[i], 0), at_2048[i] = at(&r, &m, &of[i], 2048);
        double decode = 2 * at_0[i].decode_s.value, prefill = 2 * at_0[i].batch_s.value;
        double grows = (i + 1.5) * (at_2048[i].decode_s.value - at_0[i].decode_s.value);
        samples[2 * i] = (kvasir_speed_sample){of[i].kv, 0, 512, decode, prefill, 0};
        samples[2 * i + 1] = (kvasir_speed_sample){of[i].kv, 2048, 512, decode + grows, prefill, 0};
    }
    double width[2];
    for (int i = 0; i < 2; i++) {
        of[i].samples = samples, of[i].n_samples = 4;
        kvasir_estimate flat = at(&r, &m, &of[i], 0).decode_s, deep = at(&r, &m, &of[i], 2048).decode_s;
        assert_true(fabs(flat.value - samples[2 * i].decode_s) < 1e-6 * flat.value);
        assert_true(fabs(deep.value - samples[2 * i + 1].decode_s) < 1e-6 * deep.value);
        width[i] = flat.high / flat.low;
    }
    assert_true(fabs(width[0] - width[1]) < 1e-9);
    /* The first type was measured in a slow minute: the flat part lies in between, and the intervals are wider. */
    samples[0].decode_s *= 1.5, samples[1].decode_s += samples[0].decode_s / 3;
    for (int i = 0; i < 2; i++) {
        kvasir_estimate flat = at(&r, &m, &of[i], 0).decode_s;
        assert_true(flat.value > samples[2].decode_s && flat.value < samples[0].decode_s);
        assert_true(flat.high / flat.low > 1.1 * width[i]);
    }
    close_rig(&r);
}

/* Kernels that were measured, too, count beside a sweep; limits alone do not. */
static void test_samples_beside_a_probe(void **state)
{
    rig r = open_rig();
    kvasir_machine m = plain_machine();
    (void)state;
    add(&m, "gemv Q8_0", 1e9);
    add(&m, "attention prefill q8 q64", 1e9);
    kvasir_speed probed = at(&r, &m, NULL, 0);
    const kvasir_speed_sample slow = {"f16", 0, 512, 1.4 * probed.decode_s.value, probed.batch_s.value, 0};
    kvasir_speed both = at(&r, &m, &(kvasir_predict_options){.samples = &slow, .n_samples = 1}, 0);
    assert_string_equal(both.basis, "sweep");
    assert_true(both.decode_s.value > 1.2 * probed.decode_s.value &&
                both.decode_s.value < 1.39 * probed.decode_s.value);
    assert_true(fabs(both.batch_s.value - probed.batch_s.value) < 1e-6 * probed.batch_s.value);
    /* They contradict each other over decoding, not over the prompt. */
    assert_true(both.decode_s.high / both.decode_s.low > 1.01 * both.batch_s.high / both.batch_s.low);
    close_rig(&r);
}

/* The samples were measured while memory was slower than at the probe. The kernels are not to blame, and the prediction
   is for the middle one of the speeds that were seen. */
static void test_samples_of_another_hour(void **state)
{
    enum { DEPTH = 2048 };
    rig r = open_rig();
    kvasir_machine m = plain_machine(), slow = m, between = m;
    (void)state;
    slow.team[1].read_bytes_per_s = 25e9, between.team[1].read_bytes_per_s = 37.5e9;
    const double depths[] = {at(&r, &slow, NULL, 0).decode_s.value, at(&r, &slow, NULL, DEPTH).decode_s.value};
    const kvasir_speed_sample samples[] = {{"f16", 0, 0, depths[0], 0, 25e9}, {"f16", DEPTH, 0, depths[1], 0, 25e9}};
    const kvasir_speed_sample strange = {"f16", 0, 0, at(&r, &m, NULL, 0).decode_s.value, 0, 1e300};
    kvasir_predict_options o = {.samples = samples, .n_samples = 2};
    kvasir_speed one = at(&r, &m, &o, DEPTH);
    assert_true(fabs(one.decode_s.value - depths[1]) < 1e-6 * depths[1]);
    assert_true(fabs(one.floor_s - at(&r, &slow, NULL, DEPTH).floor_s) < 1e-9 * one.floor_s);
    const double width = one.decode_s.high / one.decode_s.low;
    assert_true(width > 2 && one.batch_s.high / one.batch_s.low < width); /* memory that was slow may be fast again */
    o.n_samples = 1;
    one = at(&r, &m, &o, DEPTH);
    assert_true(fabs(one.decode_s.value - at(&r, &between, NULL, DEPTH).decode_s.value) < 1e-6 * one.decode_s.value);
    o.samples = &strange;
    one = at(&r, &m, &o, DEPTH);
    assert_true(fabs(one.decode_s.value - at(&r, &m, NULL, DEPTH).decode_s.value) < 1e-6 * one.decode_s.value);
    close_rig(&r);
}

static void test_absurd_samples(void **state)
{
    static const double times[][2] = {{1e-300, 1e-300}, {1e300, 1e300}, {1e300, 1e-300}, {1e-300, 1e300}, {1, 1e-3}};
    rig r = open_rig();
    kvasir_machine m = plain_machine();
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const kvasir_speed_sample samples[] = {{"f16", 0, 512, times[i][0], times[i][0], 0},
                                               {"f16", 2048, 512, times[i][1], times[i][1], 0},
                                               {"no type", 0, 512, 1, 1, 0},
                                               {NULL, 0, 512, 1, 1, 0}};
        kvasir_predict_options o = {.samples = samples, .n_samples = 4};
        for (int depth = 0; depth <= 4096; depth += 2048) {
            kvasir_speed v = at(&r, &m, &o, depth);
            assert_true(v.decode_s.value > 0 && isfinite(v.decode_s.high) && v.decode_s.low > 0);
            assert_true(v.batch_s.value > 0 && isfinite(v.batch_s.high) && v.batch_s.low > 0);
        }
    }
    close_rig(&r);
}

static void test_refusals(void **state)
{
    rig r = open_rig();
    kvasir_machine m = plain_machine(), bare = {.name = "bare", .n_cores = 2};
    kvasir_speed s;
    (void)state;
    assert_int_equal(kvasir_predict(r.m, &bare, NULL, 0, &s), KVASIR_E_ARGUMENT);
    assert_non_null(strstr(kvasir_message(), "read_bytes_per_s"));
    assert_int_equal(kvasir_predict(r.m, &m, &(kvasir_predict_options){.cpu = "neon"}, 0, &s), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_predict(r.m, &m, &(kvasir_predict_options){.kv = "q3"}, 0, &s), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_predict(r.m, &m, NULL, -1, &s), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_predict(r.m, NULL, NULL, 0, &s), KVASIR_E_ARGUMENT);
    m.team[1].f32_ops_per_s = m.team[0].f32_ops_per_s = 0;
    assert_int_equal(kvasir_predict(r.m, &m, NULL, 0, &s), KVASIR_E_ARGUMENT);
    assert_non_null(strstr(kvasir_message(), "f32_ops_per_s"));
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_machine),
                                       cmocka_unit_test(test_samples),
                                       cmocka_unit_test(test_samples_of_two_types),
                                       cmocka_unit_test(test_samples_beside_a_probe),
                                       cmocka_unit_test(test_samples_of_another_hour),
                                       cmocka_unit_test(test_absurd_samples),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
