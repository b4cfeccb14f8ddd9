/* The live watch: parsers over made-up files, and when a warning is due. */
#include "test.h"

#include "system/pressure.h"
#include "cli/watch/watch.h"

static void test_parsers(void **state)
{
    (void)state;
    uint64_t n = 0;
    char path[32];
    assert_true(pressure_major_faults("7 (a b) c) S 1 7 7 0 -1 4194560 155 0 42 0 1 2\n", &n) && n == 42);
    assert_false(pressure_major_faults("7 (a) S 1 7 7 0 -1 4194560 155 0", &n));
    assert_false(pressure_major_faults("7 (a) S 1 7 7 0 -1 4194560 155 0 x42 0", &n));
    assert_false(pressure_major_faults("", &n));
    assert_true(pressure_swapped_in("pgpgin 5\nxpswpin 6\npswpin 99\npswpout 3\n", &n) && n == 99);
    assert_false(pressure_swapped_in("pswpout 3\n", &n));
    assert_false(pressure_swapped_in("pswpin 18446744073709551616\n", &n));
    assert_true(pressure_swapped_in("pswpin 18446744073709551615", &n) && n == UINT64_MAX);
    assert_true(pressure_stalled("some avg10=0.00 avg60=0.10 avg300=0.00 total=12345\nfull avg10=0.00 total=7\n", &n) &&
                n == 12345);
    assert_false(pressure_stalled("some avg10=0.00\nfull avg10=0.00 total=7\n", &n));
    uint64_t more = 0;
    const char *io = "rchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 3\n";
    assert_true(pressure_storage(io, &n, &more) && n == 4096 && more == 8192);
    assert_false(pressure_storage("read_bytes: 4096\n", &n, &more));
    assert_false(pressure_storage("read_bytes: -1\nwrite_bytes: 0\n", &n, &more));
    assert_true(pressure_cgroup("1:name=x:/y\n0::/user.slice/a\n", path, sizeof path));
    assert_string_equal(path, "/user.slice/a");
    assert_false(pressure_cgroup("1:name=x:/y\n", path, sizeof path));
    assert_false(pressure_cgroup("0::/0123456789012345678901234567890123456789\n", path, sizeof path));
    assert_false(pressure_cgroup("0::/../../etc\n", path, sizeof path));
}

/* One second, with a reading at its end. */
static int second(watch *w, double at, uint64_t faults, uint64_t swapped, uint64_t stalled, double token_s, int depth)
{
    return watch_judge(w, at, &(watch_counters){faults, swapped, stalled}, 20, token_s, depth);
}

static void test_calm(void **state)
{
    (void)state;
    watch w = {0};
    for (int i = 1; i < 200; i++) /* a few faults, a deeper context that is slower: nothing */
        assert_int_equal(second(&w, i, (uint64_t)i, 1000, 1000 * (uint64_t)i, 0.01 * (1 + i / 40.0), 100 * i), 0);
    assert_int_equal(w.n_warnings, 0);
}

static void test_one_signal_is_none(void **state)
{
    (void)state;
    watch w = {0};
    for (int i = 1; i < 100; i++) assert_int_equal(second(&w, i, 1000 * (uint64_t)i, 0, 0, 0.01, 100), 0);
    watch slow = {0};
    for (int i = 1; i < 100; i++) assert_int_equal(second(&slow, i, 0, 0, 0, i < 50 ? 0.01 : 0.05, 100), 0);
}

static void test_two_signals(void **state)
{
    (void)state;
    watch w = {0};
    assert_int_equal(second(&w, 1, 0, 0, 0, 0.01, 100), 0);
    assert_int_equal(second(&w, 2, 500, 0, 0, 0.01, 101), 0);
    assert_int_equal(second(&w, 3, 900, 0, 0, 0.02, 102), WATCH_FAULTS | WATCH_SLOW);
    for (int i = 4; i < 62; i++) assert_int_equal(second(&w, i, 900 + 500 * (uint64_t)i, 0, 0, 0.02, 102), 0);
    assert_int_equal(second(&w, 63.5, 90000, 0, 0, 0.02, 102), WATCH_FAULTS | WATCH_SLOW); /* once a minute */
    assert_int_equal(w.n_warnings, 2);
    char text[512];
    watch_text(WATCH_FAULTS | WATCH_SLOW, text, sizeof text);
    assert_non_null(strstr(text, "major faults"));
    assert_non_null(strstr(text, "80%"));
    assert_non_null(strstr(text, "--kv q8"));
    assert_null(strstr(text, "swap"));
}

static void test_swap_and_stall(void **state)
{
    (void)state;
    watch w = {0};
    assert_int_equal(second(&w, 1, 0, 10, 0, 0, 0), 0);
    assert_int_equal(second(&w, 2, 0, 400, 300000, 0, 0), WATCH_SWAP | WATCH_STALL);
}

/* Two signals that are far apart are two single ones. */
static void test_apart(void **state)
{
    (void)state;
    watch w = {0};
    assert_int_equal(second(&w, 1, 0, 0, 0, 0.01, 100), 0);
    assert_int_equal(second(&w, 2, 500, 0, 0, 0.01, 100), 0);
    assert_int_equal(second(&w, 20, 500, 0, 0, 0.05, 100), 0);
    assert_int_equal(w.n_warnings, 0);
}

/* A speed counts as slow only in comparison with the same depth, and too few tokens say nothing. */
static void test_depths(void **state)
{
    (void)state;
    watch w = {0};
    assert_int_equal(second(&w, 1, 0, 0, 0, 0.01, 100), 0);
    assert_int_equal(second(&w, 2, 500, 0, 0, 0.05, 50000), 0);
    assert_int_equal(watch_judge(&w, 3, &(watch_counters){1000, 0, 0}, 1, 0.5, 50000), 0);
    assert_int_equal(second(&w, 4, 1500, 0, 0, 0.07, 50000), WATCH_FAULTS | WATCH_SLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsers),
        cmocka_unit_test(test_calm),
        cmocka_unit_test(test_one_signal_is_none),
        cmocka_unit_test(test_two_signals),
        cmocka_unit_test(test_swap_and_stall),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_depths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
