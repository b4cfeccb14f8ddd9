/* base/format: sizes, counts, rates, times, ranges. */
#include "test.h"

#include "base/format.h"

#include <math.h>

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text, *up;
    } cases[] = {
        {0, "0 B", "0 B"},
        {1, "1 B", "1 B"},
        {17, "17 B", "17 B"},
        {1023, "1023 B", "1023 B"},
        {1024, "1.00 KiB", "1.00 KiB"},
        {1025, "1.00 KiB", "1.01 KiB"},
        {10234, "9.99 KiB", "10.0 KiB"}, /* 9.9941 */
        {10235, "10.0 KiB", "10.0 KiB"}, /* 9.9951: three digits, not 10.00 */
        {102348, "99.9 KiB", "100 KiB"}, /* 99.949 */
        {102349, "100 KiB", "100 KiB"},  /* 99.950 */
        {319488, "312 KiB", "312 KiB"},
        {1047552, "1023 KiB", "1023 KiB"},
        {1047553, "1023 KiB", "1.00 MiB"},
        {1048063, "1023 KiB", "1.00 MiB"},
        {1048064, "1.00 MiB", "1.00 MiB"}, /* 1023.5 */
        {1048166, "1.00 MiB", "1.00 MiB"}, /* 1023.6 */
        {1048576, "1.00 MiB", "1.00 MiB"},
        {(uint64_t)1 << 20 | 1, "1.00 MiB", "1.01 MiB"},
        {3 * ((uint64_t)1 << 29), "1.50 GiB", "1.50 GiB"},
        {3 * ((uint64_t)1 << 29) + 1, "1.50 GiB", "1.51 GiB"},
        {(uint64_t)(1.5098 * 0x1p30), "1.51 GiB", "1.51 GiB"},
        {(uint64_t)(17.7 * 0x1p30), "17.7 GiB", "17.7 GiB"},
        {(uint64_t)1 << 40, "1.00 TiB", "1.00 TiB"},
        {(uint64_t)1 << 50, "1.00 PiB", "1.00 PiB"},
        {(uint64_t)1 << 60, "1.00 EiB", "1.00 EiB"},
        {UINT64_MAX, "16.0 EiB", "16.0 EiB"},
    };
    char to[FORMAT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(format_size(cases[i].bytes, to), cases[i].text);
        assert_string_equal(format_size_up(cases[i].bytes, to), cases[i].up);
    }
}

/* The number that a size's text begins with, in bytes. */
static double read_size(const char *text)
{
    static const char units[] = "BKMGTPE";
    char *end = NULL;
    double value = strtod(text, &end);
    return ldexp(value, 10 * (int)(strchr(units, end[1]) - units));
}

static void test_sizes_keep_their_word(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    char to[FORMAT_BYTES];
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t bytes = x >> (i % 64);
        assert_true(fabs(read_size(format_size(bytes, to)) - (double)bytes) <= 0.00501 * (double)bytes);
        assert_true(strlen(to) <= 8);
        double up = read_size(format_size_up(bytes, to));
        assert_true(up >= (double)bytes * (1 - 1e-15) && up <= 1.0101 * (double)bytes);
        assert_true(strlen(to) <= 8);
    }
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {{0, "0"},
                 {7, "7"},
                 {999, "999"},
                 {1000, "1,000"},
                 {32768, "32,768"},
                 {999999, "999,999"},
                 {1000000, "1,000,000"},
                 {UINT64_MAX, "18,446,744,073,709,551,615"}};
    char to[FORMAT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(format_count(cases[i].n, to), cases[i].text);
}

static void test_rates(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0 B/s"},
                 {0.5, "0.50 B/s"},
                 {999, "999 B/s"},
                 {999.4, "999 B/s"},
                 {999.6, "1.00 kB/s"},
                 {1e3, "1.00 kB/s"},
                 {71.7e9, "71.7 GB/s"},
                 {999.6e9, "1.00 TB/s"},
                 {-71.7e9, "-71.7 GB/s"},
                 {1e21, "1000 EB/s"},
                 {1e300, "1e+282 EB/s"},
                 {(double)NAN, "unknown"},
                 {(double)INFINITY, "unknown"}};
    char to[FORMAT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(format_rate(cases[i].value, "B/s", to), cases[i].text);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {-0.0, "0 s"},
        {1e-300, "0 s"},
        {1e-9, "1.0 ns"},
        {999.6e-9, "1.0 us"},
        {2e-6, "2.0 us"},
        {999.4e-6, "999 us"},
        {999.6e-6, "1.0 ms"},
        {0.0046, "4.6 ms"},
        {0.00994, "9.9 ms"},
        {0.00996, "10 ms"},
        {0.499, "499 ms"},
        {0.4996, "0.5 s"},
        {0.8, "0.8 s"},
        {0.96, "1.0 s"},
        {1, "1 s"},
        {1.04, "1.0 s"},
        {9.94, "9.9 s"},
        {9.96, "10 s"},
        {12, "12 s"},
        {59.4, "59 s"},
        {59.5, "1 min"},
        {59.999, "1 min"},
        {60.4, "1 min"},
        {61, "1 min 1 s"},
        {185, "3 min 5 s"},
        {119.6, "2 min"},
        {3599.4, "59 min 59 s"},
        {3599.5, "1 h"},
        {3600, "1 h"},
        {6480, "1 h 48 min"},
        {7199, "2 h"},
        {86369, "23 h 59 min"},
        {86370, "1 d"},
        {86399, "1 d"},
        {183600, "2 d 3 h"},
        {86400 * 2.999, "3 d"},
        {86400 * 999999.0, "999999 d"},
        {1e300, "more than 1000000 d"},
        {-12, "-12 s"},
        {-0.0046, "-4.6 ms"},
        {-6480, "-1 h 48 min"},
        {(double)NAN, "unknown"},
        {(double)INFINITY, "unknown"},
        {-(double)INFINITY, "unknown"},
    };
    char to[FORMAT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(format_time(cases[i].seconds, to), cases[i].text);
}

/* Rounding makes no 60 s, 60 min or 24 h, anywhere. */
static void test_times_carry(void **state)
{
    (void)state;
    char to[FORMAT_BYTES];
    for (double s = 1e-9; s < 1e7; s *= 1.0003) {
        (void)format_time(s, to);
        assert_true(!strstr(to, "60 s") && !strstr(to, "60 min"));
        assert_false(strncmp(to, "24 h", 4) == 0 || strstr(to, " 24 h") || strncmp(to, "1000 ", 5) == 0);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    char to[FORMAT_BYTES], longer[200];
    assert_string_equal(format_range("272", "218", "340", to), "272 [218, 340]");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(strlen(format_range(longer, longer, longer, to)), FORMAT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),  cmocka_unit_test(test_sizes_keep_their_word),
        cmocka_unit_test(test_counts), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_times),  cmocka_unit_test(test_times_carry),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
