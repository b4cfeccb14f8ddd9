/* Words that are nearly the same (did you mean ...?). */
#include "test.h"

#include "cli/args/near.h"

static void test_distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int whole, start;
    } cases[] = {
        {"run", "run", 0, 0},
        {"RUN", "run", 0, 0},
        {"rnu", "run", 1, 1},
        {"ru", "run", 1, 0},
        {"runn", "run", 1, 1},
        {"ran", "run", 1, 1},
        {"", "run", 3, 0},
        {"run", "", 3, 3},
        {"abcd", "badc", 2, 2},
        {"ca", "abc", 3, 1},
        {"kitten", "sitting", 3, 2},
        {"smolm2", "smollm2-135m-q4_1", 11, 1},
        {"tempratur", "temperature", 2, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(near_distance(cases[i].a, cases[i].b), cases[i].whole);
        assert_int_equal(near_distance(cases[i].b, cases[i].a), cases[i].whole);
        assert_int_equal(near_start_distance(cases[i].a, cases[i].b), cases[i].start);
    }
}

static void test_long_words(void **state)
{
    (void)state;
    char longest[2 * NEAR_WORD_BYTES], *end = longest + NEAR_WORD_BYTES - 1;
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(near_distance(longest, "a"), NEAR_FAR);
    assert_int_equal(near_distance("a", longest), NEAR_FAR);
    assert_int_equal(near_start_distance("a", longest), NEAR_FAR);
    near_word n = near_begin(longest);
    near_try(&n, longest);
    assert_string_equal(n.best, "");
    *end = '\0';
    assert_int_equal(near_distance(longest, "a"), NEAR_WORD_BYTES - 2);
    n = near_begin(longest);
    near_try(&n, longest);
    assert_string_equal(n.best, longest);
}

static const char *meant(const char *typed, int start)
{
    static near_word n;
    static const char *const words[] = {"run",         "inspect", "tokenize",         "template",
                                        "temperature", "rm",      "smollm2-135m-q4_1"};
    n = near_begin(typed);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (start)
            near_try_start(&n, words[i]);
        else
            near_try(&n, words[i]);
    return n.best;
}

static void test_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(meant("rnu", 0), "run");
    assert_string_equal(meant("temperatur", 0), "temperature");
    assert_string_equal(meant("tmplate", 0), "template");
    assert_string_equal(meant("inpsect", 0), "inspect");
    assert_string_equal(meant("", 0), "");
    assert_string_equal(meant("x", 0), "");
    assert_string_equal(meant("ls", 0), "");
    assert_string_equal(meant("xyz", 0), "");
    assert_string_equal(meant("nonsense", 0), "");
    assert_string_equal(meant("smolm2", 0), "");
    assert_string_equal(meant("smolm2", 1), "smollm2-135m-q4_1");
    assert_string_equal(meant("qwen", 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
