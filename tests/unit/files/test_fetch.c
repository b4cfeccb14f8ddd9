/* Names of things to fetch, and what servers say about ranges. */
#include "test.h"

#include "fetch/fetch.h"

static void test_names(void **state)
{
    fetch_name n;
    (void)state;
    assert_true(fetch_is_name("hf:a/b") && fetch_is_name("https://h/x.gguf") && fetch_is_name("HTTP://h/x"));
    assert_false(fetch_is_name("model.gguf") || fetch_is_name("./hf:a") || fetch_is_name("ftp://h/x"));
    assert_int_equal(fetch_parse("hf:an-owner/a.repo_1@v1.2:sub/file-Q4.gguf", &n), KVASIR_OK);
    assert_string_equal(n.owner, "an-owner");
    assert_string_equal(n.repo, "a.repo_1");
    assert_string_equal(n.revision, "v1.2");
    assert_string_equal(n.what, "sub/file-Q4.gguf");
    assert_int_equal(fetch_parse("hf:o/r@refs/pr/1:a/b", &n), KVASIR_OK);
    assert_string_equal(n.repo, "r");
    assert_string_equal(n.revision, "refs%2Fpr%2F1");
    assert_string_equal(n.what, "a/b");
    assert_int_equal(fetch_parse("hf:o/r", &n), KVASIR_OK);
    assert_string_equal(n.revision, "main");
    assert_string_equal(n.what, "");
    assert_int_equal(fetch_parse("hf:o/r:a folder/m+\u00e9%.gguf", &n), KVASIR_OK);
    assert_string_equal(n.what, "a folder/m+\u00e9%.gguf");
    static const char *const wrong[] = {"hf:o/r:a/../b", "hf:o/r:a/",   "hf:o/r:a\\b", "hf:o/r:a\nb",  "hf:o/r:a?b",
                                        "hf:",           "hf:o",        "hf:o/",       "hf:/r",        "hf:../r",
                                        "hf:o/..",       "hf:o/r:../x", "hf:o/r:a//b", "hf:o/r:",      "hf:o/r@",
                                        "hf:o/r:/a",     "hf:o/r:a/.b", "hf:o/-r",     "hf:o o/r",     "hf:o/r/s",
                                        "hf:o/r@a//b",   "hf:o/r@/a",   "hf:o/r@a/",   "hf:o/r@a/../b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(fetch_parse(wrong[i], &n), KVASIR_E_ARGUMENT);
    char longest[2 * FETCH_NAME_BYTES];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "hf:", 3);
    longest[5] = '/';
    assert_int_equal(fetch_parse(longest, &n), KVASIR_E_ARGUMENT);
    memcpy(longest, "hf:o/r@", 7);
    for (size_t i = 8; i + 1 < sizeof longest; i += 2) longest[i] = '/';
    assert_int_equal(fetch_parse(longest, &n), KVASIR_E_ARGUMENT);
}

static void test_same_host(void **state)
{
    (void)state;
    assert_true(fetch_same_host("https://hub.example/a/b?c", "https://HUB.example:443"));
    assert_true(fetch_same_host("http://127.0.0.1:8080/a", "http://127.0.0.1:8080"));
    static const char *const other[] = {"https://hub.example.evil.org/a", "https://hub.example@evil.org/a",
                                        "https://hub.example:8443/a",     "http://hub.example/a",
                                        "https://evil.org/hub.example",   "hub.example",
                                        "https://hub.example:x/",         ""};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(fetch_same_host(other[i], "https://hub.example"));
}

static void test_links(void **state)
{
    char to[40];
    (void)state;
    assert_true(
        fetch_link_next(" <https://h/a?b,c>; rel=\"prev\", <https://h/d?e=f>; rel=\"next\"\r\n", to, sizeof to));
    assert_string_equal(to, "https://h/d?e=f");
    assert_true(fetch_link_next("<x>;title=\"t\"; REL=\"NEXT\", <y>; rel=\"last\"", to, sizeof to));
    assert_string_equal(to, "x");
    static const char *const none[] = {"",
                                       "<",
                                       "<x",
                                       "<x>",
                                       "<x; rel=\"next\"",
                                       "<x>; rel=\"last\"",
                                       "rel=\"next\"",
                                       "<0123456789012345678901234567890123456789>; rel=\"next\""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_false(fetch_link_next(none[i], to, sizeof to));
}

static void test_splits(void **state)
{
    int part, n;
    size_t at;
    (void)state;
    assert_true(fetch_split("dir/m-00002-of-00013.gguf", &part, &n, &at));
    assert_int_equal(part, 2);
    assert_int_equal(n, 13);
    assert_int_equal(at, strlen("dir/m"));
    static const char *const none[] = {"m.gguf",
                                       "m-00000-of-00003.gguf",
                                       "m-00004-of-00003.gguf",
                                       "m-0001-of-00003.gguf",
                                       "m-00001-of-99999.gguf",
                                       "-00001-of-00003.gguf",
                                       "m-00001_of-00003.gguf",
                                       ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_false(fetch_split(none[i], &part, &n, &at));
}

static void test_content_range(void **state)
{
    uint64_t from, to, total;
    (void)state;
    assert_true(fetch_content_range(" bytes 5-9/20\r\n", &from, &to, &total));
    assert_true(from == 5 && to == 9 && total == 20);
    static const char *const none[] = {"bytes 5-9/*",   "bytes */20",
                                       "bytes 9-5/20",  "bytes 5-20/20",
                                       "bytes -1-5/20", "5-9/20",
                                       "bytes 5-9",     "bytes 99999999999999999999-5/20",
                                       "bytes 0-0/0",   ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(fetch_content_range(none[i], &from, &to, &total));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_same_host),
                                       cmocka_unit_test(test_links), cmocka_unit_test(test_splits),
                                       cmocka_unit_test(test_content_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
