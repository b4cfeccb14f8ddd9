/* pretok: how the patterns of each family split, worked out by hand from the published patterns; and linearity
   on hostile text. */
#include "test.h"

#include "base/mem.h"
#include "tok/pretok.h"

typedef struct joined {
    const char *text;
    char *to;
    size_t used, end, words;
} joined;

static kvasir_status join(void *arg, size_t begin, size_t end)
{
    joined *j = arg;
    assert_int_equal(begin, j->end); /* the words are the text, in order */
    assert_true(end > begin);
    j->end = end;
    j->words++;
    if (!j->to) return KVASIR_OK;
    if (j->used) j->to[j->used++] = '~';
    memcpy(j->to + j->used, j->text + begin, end - begin);
    j->used += end - begin;
    j->to[j->used] = 0;
    return KVASIR_OK;
}

/* `words` has a ~ between two words. */
static void check(const char *pre, const char *text, const char *words)
{
    char to[512];
    size_t matches = 0;
    joined j = {.text = text, .to = to};
    pretok *p;
    assert_ok(pretok_create(pre, &p));
    assert_ok(pretok_split(p, text, strlen(text), join, &j, &matches));
    if (strcmp(to, words) != 0) print_error("%s\n", pre);
    assert_string_equal(to, words);
    pretok_free(p);
}

static void test_gpt2(void **state)
{
    check("gpt-2", "Hello  world's 123abc!?  \n x", "Hello~ ~ world~'s~ 123~abc~!?~  \n~ x");
    check("gpt-2", "I'LL we'll", "I~'~LL~ we~'ll"); /* contractions in lower case only */
    check("gpt-2", "tab\there ", "tab~\t~here~ ");
    check("gpt-2",
          "a\xe3\x80\x80"
          "b \xe4\xb8\xad\xe6\x96\x87",
          "a~\xe3\x80\x80~b~ \xe4\xb8\xad\xe6\x96\x87");
    check("gpt-2", "\xe1\xa0\x8e x", "\xe1\xa0\x8e~ x"); /* U+180E is no white space */
    check("mpt", "x=1", "x~=~1");
}

static void test_llama3(void **state)
{
    check("llama-bpe", "12345 it'S\n\n  ok", "123~45~ it~'S~\n\n~ ~ ok");
    check("llama-bpe", "(x);\n\ty = \"a\"", "(x~);\n~\ty~ =~ \"~a~\"");
    check("llama3", "don't  stop   ", "don~'t~ ~ stop~   ");
    check("glm4", " \r\n \n  z", " \r\n \n~ ~ z");
    check("smaug-bpe", "\xc3\xa9t\xc3\xa9 \xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4",
          "\xc3\xa9t\xc3\xa9~ ~\xd9\xa1\xd9\xa2\xd9\xa3~\xd9\xa4");
}

static void test_qwen(void **state)
{
    check("qwen2", "In 2024: 50%", "In~ ~2~0~2~4~:~ ~5~0~%");
    check("deepseek-r1-qwen", "a\n\nb", "a~\n\n~b");
    check("qwen2", "e\xcc\x81t", "e~\xcc\x81t");  /* a mark is no letter, but may stand before letters */
    check("qwen35", "e\xcc\x81t", "e\xcc\x81t");  /* here it is one */
    check("qwen35", " \xcc\x81!", " \xcc\x81~!"); /* and a word may begin with one */
}

static void test_digits(void **state)
{
    check("smollm", "a1234 5", "a~1~2~3~4~ ~5");
    check("starcoder", "x = 42;\n", "x~ =~ ~4~2~;~\n");
    check("refact", "it's", "it~'s");
    check("command-r", "3.14", "3~.~1~4");
}

static void test_default_and_falcon(void **state)
{
    check(NULL, "a+b=1234", "a~+~b~=~123~4");
    check("", "don't", "don~'~t"); /* punctuation goes first, so no contraction is left */
    check("falcon", "`x` 123456 ok", "`~x~`~ ~123~456~ ok");
    check("falcon", "12", "12");
}

static void test_deepseek(void **state)
{
    check("deepseek-llm", "Hi there 123\r\n\xe4\xbd\xa0\xe5\xa5\xbd!  ",
          "Hi~ there~ ~123~\r~\n~\xe4\xbd\xa0\xe5\xa5\xbd~!~  ");
    check("deepseek-llm", "\xe2\x84\xaa\xe2\x84\xa6 a  b",
          "\xe2\x84\xaa\xe2\x84\xa6~ a~ ~ b"); /* Kelvin, Ohm: letters with case */
    check("deepseek-coder", "if x1:\n  y", "if~ x~1~:~\n~ ~ y");
    check("deepseek-coder", "a = b", "a~ =~ b"); /* = is a symbol, not punctuation: what lies between is a word */
    check("deepseek-v3", "num 12345.abc .d", "num~ ~123~45~.abc~ .~d");
    check("deepseek-v3", "\xe3\x81\x82\xe3\x82\xab\xe4\xb8\x80x", "\xe3\x81\x82\xe3\x82\xab\xe4\xb8\x80~x");
    check("deepseek-v3", "f(x);\n\n  g", "f~(x~);\n\n~ ~ g");
    check("deepseek-v3", "\x01\x02", "\x01\x02");
}

static void test_cased(void **state)
{
    check("gpt-4o", "HelloWorld JSONData", "Hello~World~ JSONData");
    check("gpt-4o", "nUpper X'S y'all", "n~Upper~ X'S~ y~'all");
    check("gpt-4o", "1234 a/b\n//\n", "123~4~ a~/b~\n~//\n");
    check("gpt-4o", "\xc3\x89t\xc3\xa9\xc3\x89", "\xc3\x89t\xc3\xa9~\xc3\x89"); /* case beyond ASCII counts */
    check("minimax-m2", "don't", "don't");
    check("tekken", "don't 12 HTMLPage", "don~'t~ ~1~2~ HTMLPage");
    check("tekken", "\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\x82",
          "\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\x82"); /* marks belong to words */
    check("kimi-k2",
          "abc\xe4\xb8\xad\xe6\x96\x87"
          "def 123",
          "abc~\xe4\xb8\xad\xe6\x96\x87~def~ ~123");
    check("kimi-k2", "  \xe4\xb8\xad\xe3\x81\x82", " ~ ~\xe4\xb8\xad~\xe3\x81\x82");
    check("youtu", "\xea\xb0\x80\xea\xb0\x81!1", "\xea\xb0\x80\xea\xb0\x81~!~1");
}

static void test_others(void **state)
{
    check("gemma4", "a b\n\n\nc", "a b~\n\n\n~c");
    check("bailingmoe", "a\n\nb'S", "a~\n\n~b~'S");
    check("seed-coder", "a;\n", "a~;~\n");
    check("minicpm5", "12345", "123~45");
    check("laguna", "a \nb", "a~ ~\n~b");
    check("spark2_5", "a\n\nb1234", "a~\n~\n~b~1~2~3~4");
    check("bloom", "a b, c", "a~ b~,~ c");
    check("viking", "ab12", "ab~1~2");
}

/* Every pattern handles long runs of one kind, and runs that only just fail to match, without an error, in a number of
   words that doubles with the text. (The time itself is measured by bench programs, and is not judged here.) */
static const char *const families[] = {"default",    "gpt-2",        "llama-bpe",      "qwen2",       "qwen35",
                                       "smollm",     "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon",
                                       "gpt-4o",     "tekken",       "kimi-k2",        "gemma4",      "bailingmoe",
                                       "seed-coder", "minicpm5",     "laguna",         "spark2_5",    "youtu",
                                       "bloom",      "viking"};
static const char *const units[] = {" ",
                                    "a",
                                    "A",
                                    "7",
                                    "\xe4\xb8\xad",
                                    "\n",
                                    "!",
                                    "\xcc\x81",
                                    "\t \n",
                                    "a ",
                                    "A1",
                                    "\x01",
                                    "\xe3\x80\x80",
                                    " \xe4\xb8\xad",
                                    "'",
                                    "\xf0\x9f\x98\x80"};

static size_t count_words(const pretok *p, const char *unit, size_t repeats, const char *tail, size_t *matches)
{
    size_t n = strlen(unit), n_tail = strlen(tail), total = n * repeats + n_tail;
    char *text = malloc(total);
    for (size_t i = 0; i < repeats; i++) memcpy(text + n * i, unit, n);
    memcpy(text + n * repeats, tail, n_tail);
    joined j = {.text = text};
    *matches = 0;
    assert_ok(pretok_split(p, text, total, join, &j, matches));
    assert_int_equal(j.end, total);
    free(text);
    return j.words;
}

static void test_linear(void **state)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        pretok *p;
        assert_ok(pretok_create(families[f], &p));
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t m1, m2, n = 60000;
            size_t one = count_words(p, units[u], n, "x", &m1), two = count_words(p, units[u], 2 * n, "x", &m2);
            assert_true(two <= 2 * one + 8);
            assert_true(m2 <= 2 * m1 + 32);
            assert_true(m1 <= 8 * n * strlen(units[u]) + 32);
        }
        pretok_free(p);
    }
}

static void test_unknown(void **state)
{
    pretok *p;
    assert_int_equal(pretok_create("bert-bge", &p), KVASIR_E_UNSUPPORTED);
    assert_null(p);
    assert_non_null(strstr(kvasir_message(), "bert-bge"));
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        assert_non_null(strstr(kvasir_message(), families[f]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gpt2),
                                       cmocka_unit_test(test_llama3),
                                       cmocka_unit_test(test_qwen),
                                       cmocka_unit_test(test_digits),
                                       cmocka_unit_test(test_default_and_falcon),
                                       cmocka_unit_test(test_deepseek),
                                       cmocka_unit_test(test_cased),
                                       cmocka_unit_test(test_others),
                                       cmocka_unit_test(test_linear),
                                       cmocka_unit_test(test_unknown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
