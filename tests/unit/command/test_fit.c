/* cli/common/fit: progress lines in terminals of any width. */
#include "test.h"

#include "cli/common/fit.h"

static const fit_parts whole = {.label = "q8, depth 4,096, filling:",
                                .done = "1,024 of 4,096 tokens",
                                .percent = "25%",
                                .speed = "512.3 tokens/s",
                                .left = "6 s left",
                                .extra = "whole sweep: 3 min 5 s left"};

static void test_columns(void **state)
{
    (void)state;
    assert_int_equal(text_columns(""), 0);
    assert_int_equal(text_columns("abc"), 3);
    assert_int_equal(text_columns("\xc3\xa9"), 1);                 /* e acute */
    assert_int_equal(text_columns("e\xcc\x81x"), 2);               /* e, combining acute, x */
    assert_int_equal(text_columns("\xe6\x97\xa5\xe6\x9c\xac"), 4); /* two Han characters */
    assert_int_equal(text_columns("\xf0\x9f\x98\x80"), 2);         /* a face */
    assert_int_equal(text_columns("\xe2\x80\xae\xe2\x81\xa6"), 2); /* overrides of direction: shown as question marks */
    assert_int_equal(text_columns("\xff\x1b\n"), 3);               /* none of them a character */
}

static void test_order(void **state)
{
    (void)state;
    static const struct {
        int columns;
        const char *line;
    } cases[] = {
        {200, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%), 512.3 tokens/s, 6 s left, whole sweep: 3 min 5 s "
              "left"},
        {109, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%), 512.3 tokens/s, 6 s left, whole sweep: 3 min 5 s "
              "left"},
        {108, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%), 6 s left, whole sweep: 3 min 5 s left"},
        {93, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%), 6 s left, whole sweep: 3 min 5 s left"},
        {92, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%), whole sweep: 3 min 5 s left"},
        {83, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%), whole sweep: 3 min 5 s left"},
        {82, "q8, depth 4,096, filling: 1,024 of 4,096 tokens (25%)"},
        {53, "q8, depth 4,096, filling: 25%"},
        {40, "q8, depth 4,096, filling: 25%"},
        {30, "q8, depth 4,096, filling: 25%"},
        {29, "q8, depth 4,096, fill... 25%"},
        {20, "q8, depth 4,... 25%"},
        {9, "q... 25%"},
        {8, "25%"},
        {4, "25%"},
        {3, ""},
        {1, ""},
        {0, ""},
        {-5, ""},
    };
    char line[FIT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fit_line(&whole, cases[i].columns, line);
        if (strcmp(line, cases[i].line) != 0) print_error("at %d columns\n", cases[i].columns);
        assert_string_equal(line, cases[i].line);
    }
}

static void test_missing_parts(void **state)
{
    (void)state;
    char line[FIT_BYTES];
    fit_line(&(fit_parts){.label = "x", .percent = "5%"}, 80, line);
    assert_string_equal(line, "x 5%");
    fit_line(&(fit_parts){.label = "x", .percent = "5%", .done = "1 of 20", .extra = "more"}, 80, line);
    assert_string_equal(line, "x 1 of 20 (5%), more");
}

/* Whatever the label: never wider than the terminal, valid, and nothing that a terminal would obey. */
static void test_labels(void **state)
{
    (void)state;
    static const char *const labels[] = {
        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe3\x83\xa2\xe3\x83\x87\xe3\x83\xab.gguf",
        "e\xcc\x81"
        "e\xcc\x81"
        "e\xcc\x81"
        "e\xcc\x81"
        "e\xcc\x81",
        "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80",
        "a\x1b[2Jb\rc\nd\te\x7f",
        "\xc2\x9b[2J", /* the one-byte form of ESC [, in UTF-8 */
        "\xff\xfe\xe6\x97",
        "",
    };
    char line[FIT_BYTES];
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        fit_parts p = whole;
        p.label = labels[i];
        for (int columns = 0; columns < 150; columns++) {
            fit_line(&p, columns, line);
            assert_true(text_columns(line) <= (columns > 0 ? columns - 1 : 0));
            assert_true(columns < 4 || strstr(line, "25%"));
            for (const char *c = line; *c; c++) assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
            assert_null(strstr(line, "\xc2\x9b"));
            assert_null(strchr(line, '\xff'));
        }
    }
    /* A wide character is there whole or not. */
    fit_parts p = whole;
    p.label = labels[0];
    fit_line(&p, 12, line);
    assert_string_equal(line, "\xe6\x97\xa5\xe6\x9c\xac... 25%");
    fit_line(&p, 13, line);
    assert_string_equal(line, "\xe6\x97\xa5\xe6\x9c\xac... 25%");
}

static void test_long_label(void **state)
{
    (void)state;
    static char longest[5000];
    char line[FIT_BYTES];
    memset(longest, 'x', sizeof longest - 1);
    fit_parts p = whole;
    p.label = longest;
    for (int columns = 1; columns < 6000; columns += 7) {
        fit_line(&p, columns, line);
        assert_true(strlen(line) < FIT_BYTES && text_columns(line) < columns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_order),      cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_labels),  cmocka_unit_test(test_long_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
