/* Stop strings against strstr, with the text cut into pieces in every way. */
#include "test.h"

#include "engine/stopper.h"

/* What must be shown of `text`: up to the beginning of the string that ends first (of the longest of those). */
static size_t expected(const char *text, const char *const *strings, int n, int *which)
{
    size_t best_end = SIZE_MAX, best_start = strlen(text);
    *which = -1;
    for (int i = 0; i < n; i++) {
        const char *at = strstr(text, strings[i]);
        if (!at) continue;
        size_t start = (size_t)(at - text), end = start + strlen(strings[i]);
        if (end < best_end || (end == best_end && start < best_start)) {
            best_end = end;
            best_start = start;
            *which = i;
        }
    }
    return best_start;
}

/* The longest end of text[0..n) that is the beginning of a string: this must be held back, and no more. */
static size_t must_hold(const char *text, size_t n, const char *const *strings, int n_strings)
{
    for (size_t hold = n; hold > 0; hold--)
        for (int i = 0; i < n_strings; i++)
            if (strncmp(strings[i], text + n - hold, hold) == 0) return hold;
    return 0;
}

/* cuts: bit i set means a cut behind byte i. */
static void feed(stopper *s, const char *text, const char *const *strings, int n_strings, uint64_t cuts)
{
    char shown[256] = "", to[256];
    size_t n = strlen(text), n_shown = 0, from = 0;
    int which, stopped = -1, want;
    size_t want_n = expected(text, strings, n_strings, &want);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && !(cuts >> i & 1)) continue;
        size_t got = stopper_next(s, text + from, i + 1 - from, to, &which);
        assert_true(got <= stopper_holds(s) + i + 1 - from);
        memcpy(shown + n_shown, to, got);
        n_shown += got;
        from = i + 1;
        if (stopped >= 0) assert_int_equal(got, 0);
        if (which < 0) assert_int_equal(n_shown, from - must_hold(text, from, strings, n_strings));
        stopped = which;
    }
    n_shown += stopper_end(s, shown + n_shown);
    assert_int_equal(stopped, want);
    assert_int_equal(n_shown, want_n);
    assert_memory_equal(shown, text, want_n);
}

static void test_every_split(void **state)
{
    (void)state;
    static const char *const strings[] = {"</s>", "User:", "aab", "ab", "abab"};
    static const char *const texts[] = {"x",      "</s>",      "hello </s", "hi </s> more", "<</s>",     "aaaab",
                                        "ababab", "UsUser: x", "aUser",     "</</s>b",      "zaaxbUser:"};
    stopper *s;
    for (int n = 0; n <= 5; n++) {
        assert_ok(stopper_create(strings, n, &s));
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            for (uint64_t cuts = 0; cuts < 1ull << (strlen(texts[t]) - 1); cuts++) feed(s, texts[t], strings, n, cuts);
        stopper_free(s);
    }
}

/* Few letters make self-overlapping strings likely. */
static void test_random(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 4000; round++) {
        char strings[4][8], text[41];
        const char *list[4];
        int n = 1 + rand() % 4;
        for (int i = 0; i < n; i++) {
            int length = 1 + rand() % 6;
            for (int j = 0; j < length; j++) strings[i][j] = (char)('a' + rand() % 2);
            strings[i][length] = 0;
            list[i] = strings[i];
        }
        for (int j = 0; j < 40; j++) text[j] = (char)("aabbccc"[rand() % 7]);
        text[40] = 0;
        stopper *s;
        assert_ok(stopper_create(list, n, &s));
        int want, which;
        feed(s, text, list, n, (uint64_t)rand() << 20 ^ (uint64_t)rand());
        (void)expected(text, list, n, &want);
        char to[64];
        (void)stopper_next(s, text, 40, to, &which);
        assert_int_equal(which, want); /* stopper_end started anew */
        stopper_free(s);
    }
}

static void test_long(void **state)
{
    (void)state;
    enum { HALF = STOPPER_MAX_BYTES, TEXT = 4 << 20 };
    char *pattern = malloc(HALF + 1), *text = malloc(TEXT), *to = malloc(TEXT + HALF);
    assert_true(pattern && text && to);
    memset(pattern, 'a', HALF);
    pattern[HALF - 1] = 'b';
    pattern[HALF] = 0;
    memset(text, 'a', TEXT);
    const char *list[] = {pattern};
    stopper *s;
    int which;
    assert_ok(stopper_create(list, 1, &s));
    /* quadratic work would be 2^38 steps here */
    assert_int_equal(stopper_next(s, text, TEXT, to, &which), TEXT - (HALF - 1));
    assert_int_equal(which, -1);
    assert_int_equal(stopper_next(s, "b", 1, to, &which), 0);
    assert_int_equal(which, 0);
    stopper_free(s);
    free(pattern);
    free(text);
    free(to);
}

static void test_arguments(void **state)
{
    (void)state;
    stopper *s;
    const char *empty[] = {"a", ""}, *null[] = {NULL};
    assert_int_equal(stopper_create(empty, 2, &s), KVASIR_E_ARGUMENT);
    assert_string_equal(kvasir_message(), "stop string 1 is empty");
    assert_null(s);
    assert_int_equal(stopper_create(null, 1, &s), KVASIR_E_ARGUMENT);
    assert_int_equal(stopper_create(NULL, STOPPER_MAX_STRINGS + 1, &s), KVASIR_E_ARGUMENT);
    assert_ok(stopper_create(NULL, 0, &s));
    char to[4];
    int which;
    assert_int_equal(stopper_next(s, "abc", 3, to, &which), 3);
    assert_int_equal(stopper_end(s, to), 0);
    stopper_free(s);
    stopper_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
