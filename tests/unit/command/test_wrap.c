/* Answers at a terminal: where lines end, what is left alone, and that pieces do not matter. */
#include "test.h"

#include "cli/session/wrap.h"

typedef struct written {
    char text[1 << 14];
    size_t n;
} written;

static void take(void *user, const char *text, size_t n)
{
    written *to = user;
    assert_true(to->n + n < sizeof to->text);
    memcpy(to->text + to->n, text, n);
    to->n += n;
    to->text[to->n] = 0;
}

/* The text in one piece. */
static const char *wrapped(int width, const char *text)
{
    static written to;
    to.n = 0;
    to.text[0] = 0;
    wrap w = {.out = take, .user = &to, .width = width};
    wrap_feed(&w, text, strlen(text));
    wrap_end(&w);
    return to.text;
}

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(wrapped(20, "one two three four five six"), "one two three four\nfive six");
    assert_string_equal(wrapped(20, "one two three fourfiv end"), "one two three\nfourfiv end");
    assert_string_equal(wrapped(20, "exactly twenty chars"), "exactly twenty chars");
    assert_string_equal(wrapped(20, "exactly twenty chars more"), "exactly twenty chars\nmore");
    assert_string_equal(wrapped(20, "exactly twenty chars\nmore"), "exactly twenty chars\nmore");
    assert_string_equal(wrapped(20, "two spaces  behind.   And three"), "two spaces  behind.\nAnd three");
    assert_string_equal(wrapped(20, "a\n\n  indented by two and further"), "a\n\n  indented by two\nand further");
    assert_string_equal(wrapped(20, "trailing  \nspaces  "), "trailing  \nspaces  ");
    assert_string_equal(wrapped(20, "nineteen characters     \nx"), "nineteen characters\nx");
    assert_string_equal(wrapped(0, "no width at all, so nothing is done"), "no width at all, so nothing is done");
    assert_string_equal(wrapped(WRAP_LEAST - 1, "too narrow to be wrapped"), "too narrow to be wrapped");
    assert_string_equal(wrapped(20, "tab\tstops\tare for its columns"), "tab\tstops\tare\nfor its columns");
}

/* What has no space is never broken. */
static void test_long_words(void **state)
{
    (void)state;
    const char *url = "https://example.org/a/path/that/is/longer/than/a/line";
    char text[256], expected[256];
    (void)snprintf(text, sizeof text, "see %s for more of it", url);
    (void)snprintf(expected, sizeof expected, "see\n%s for\nmore of it", url);
    assert_string_equal(wrapped(20, text), expected); /* its last line has 13 of the 20 columns */
    assert_string_equal(wrapped(20, url), url);
}

static void test_columns(void **state)
{
    (void)state;
    /* The second character of each pair is a combining acute; it takes no column. */
    assert_string_equal(wrapped(16, "e\xcc\x81"
                                    "e\xcc\x81"
                                    "e\xcc\x81"
                                    "e\xcc\x81 12345678901"),
                        "e\xcc\x81"
                        "e\xcc\x81"
                        "e\xcc\x81"
                        "e\xcc\x81 12345678901");
    /* Four wide characters are eight columns. */
    assert_string_equal(wrapped(16, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5 12345678"),
                        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5\n12345678");
    assert_string_equal(wrapped(16, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5 1234567"),
                        "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5 1234567");
    /* A run of them is left to the terminal, also behind a word; the columns are followed over its lines. */
    const char *run =
        "a \xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5 "
        "1234567890123";
    assert_string_equal(wrapped(16, run), run);
    char text[128], expected[128];
    (void)snprintf(text, sizeof text, "%s 4", run);
    (void)snprintf(expected, sizeof expected, "%s\n4", run);
    assert_string_equal(wrapped(16, text), expected);
}

static void test_code(void **state)
{
    (void)state;
    const char *code = "```c\nint a_long_line(of, code, that, is, not, broken);\n  and  spaces   stay\n```\n";
    assert_string_equal(wrapped(20, code), code);
    char text[512], expected[512];
    (void)snprintf(text, sizeof text, "%sand then words again, wrapped", code);
    (void)snprintf(expected, sizeof expected, "%sand then words\nagain, wrapped", code);
    assert_string_equal(wrapped(20, text), expected);
    /* Shorter runs, others, and runs with text behind do not end it. */
    const char *nested = "  ````\n``` in here it goes on and on\n```\n~~~~\n```` x not the end of the block\n````  \n";
    assert_string_equal(wrapped(20, nested), nested);
    assert_string_equal(wrapped(20, "~~~\nleft alone as the line it is\n~~~~\nbut this is wrapped now"),
                        "~~~\nleft alone as the line it is\n~~~~\nbut this is wrapped\nnow");
    /* Two ticks are none, and three with ticks behind are code in a line. */
    assert_string_equal(wrapped(20, "``two`` ticks are not a block"), "``two`` ticks are\nnot a block");
    assert_string_equal(wrapped(20, "```x```\nthis is no block of code"), "```x```\nthis is no block of\ncode");
    assert_string_equal(wrapped(20, "not ``` at its start, so words"), "not ``` at its\nstart, so words");
}

/* Nothing acts on the terminal. */
static void test_controls(void **state)
{
    (void)state;
    assert_string_equal(wrapped(40, "\033[31mred\033]0;title\007"), "\\x1b[31mred\\x1b]0;title\\x07");
    assert_string_equal(wrapped(40, "a\bb\x7f\xc2\x9b"
                                    "2J"),
                        "a\\x08b\\x7f\\x9b2J");
    /* What turns the direction of text, and another end of a line. */
    assert_string_equal(wrapped(40, "a\xe2\x80\xae"
                                    "b\xe2\x81\xa6"
                                    "c\xe2\x80\xa8"
                                    "d"),
                        "a\\u202eb\\u2066c\\u2028d");
    assert_string_equal(wrapped(40, "dos\r\nlines\rover"), "dos\nlines\\x0dover");
    assert_string_equal(wrapped(40, "bad \xff\xc3( \xe6\x97"), "bad \xef\xbf\xbd\xef\xbf\xbd( \xef\xbf\xbd");
    assert_string_equal(wrapped(40, "\xed\xa0\x80"), "\xef\xbf\xbd"); /* a surrogate */
}

/* A word is shown as soon as it cannot be moved, and others once they end. */
static void test_streaming(void **state)
{
    (void)state;
    written to = {.n = 0};
    wrap w = {.out = take, .user = &to, .width = 20};
    wrap_feed(&w, "fir", 3);
    assert_string_equal(to.text, "fir"); /* the first of a line stays where it is */
    wrap_feed(&w, "st sec", 6);
    assert_string_equal(to.text, "first");
    wrap_feed(&w, "ond ", 4);
    assert_string_equal(to.text, "first second");
    wrap_feed(&w, "abcdefg", 7);
    assert_string_equal(to.text, "first second");
    wrap_feed(&w, "h", 1);
    assert_string_equal(to.text, "first second\nabcdefgh");
    wrap_feed(&w, "i", 1);
    assert_string_equal(to.text, "first second\nabcdefghi");
    w.width = 40; /* the terminal has become wider */
    wrap_feed(&w, " and a long line of words", 25);
    wrap_end(&w);
    assert_string_equal(to.text, "first second\nabcdefghi and a long line of words");
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Random text of all that matters, in random pieces: the same as in one, and without the line ends that were put in
   the words are the same. */
static void test_pieces(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",         "word", " ",        "  ",
                                        "\n",        "```",  "~~~",      "`",
                                        "\t",        "\r",   "\033",     "\xe6\x97\xa5",
                                        "e\xcc\x81", "\xff", "\xe6\x97", "a-rather-long-word-without-end",
                                        " and ",     "\r\n"};
    enum { N_PARTS = sizeof parts / sizeof *parts };
    uint32_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        char text[2048] = "";
        for (int i = 0; i < 60; i++) (void)strcat(text, parts[next_random(&seed) % N_PARTS]);
        int width = round % 3 == 0 ? 0 : 16 + (int)(next_random(&seed) % 30);
        const char *whole = wrapped(width, text);
        written to = {.n = 0};
        wrap w = {.out = take, .user = &to, .width = width};
        for (size_t at = 0, n = strlen(text); at < n;) {
            size_t piece = 1 + next_random(&seed) % 7;
            if (piece > n - at) piece = n - at;
            wrap_feed(&w, text + at, piece);
            at += piece;
        }
        wrap_end(&w);
        assert_string_equal(to.text, whole);
        for (size_t i = 0; i < to.n; i++)
            assert_true((unsigned char)to.text[i] >= 0x20 || to.text[i] == '\n' || to.text[i] == '\t');
        char words[2][1 << 14];
        for (int k = 0; k < 2; k++) {
            const char *from = k ? wrapped(0, text) : to.text;
            size_t used = 0;
            for (const char *s = from; *s; s++)
                if (*s != ' ' && *s != '\n') words[k][used++] = *s;
            words[k][used] = 0;
            if (k == 0) to.n = 0;
        }
        assert_string_equal(words[0], words[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),  cmocka_unit_test(test_long_words), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_code),   cmocka_unit_test(test_controls),   cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
