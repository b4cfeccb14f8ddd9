/* The template interpreter: every reference case and snippet, then limits and hostile input. The random
   comparison with jinja2 itself is tests/e2e/text/test_jinja_diff.py. */
#include "test.h"

#include "base/mem.h"
#include "jinja/jinja.h"

#include <jansson.h>

static const struct tm clock_of_fixtures = {
    .tm_year = 126, .tm_mon = 0, .tm_mday = 15, .tm_hour = 9, .tm_min = 5, .tm_sec = 7, .tm_wday = 4, .tm_yday = 14};

static kvasir_status render_limited(const char *template, size_t n, const char *context, const jinja_limits *limits,
                                    char **out, size_t *n_out)
{
    jinja *j = NULL;
    *out = NULL;
    kvasir_status status = jinja_parse(template, n, &j);
    if (status == KVASIR_OK) status = jinja_render(j, context, strlen(context), &clock_of_fixtures, limits, out, n_out);
    jinja_free(j);
    return status;
}

/* Renders and compares with what the case expects. Returns whether it does. */
static bool check_case(const char *name, const char *template, size_t n, const char *context, const json_t *c)
{
    char *text;
    size_t n_text = 0;
    const json_t *expected = json_object_get(c, "expected");
    const char *error = json_string_value(json_object_get(c, "error")),
               *message = json_string_value(json_object_get(c, "message"));
    kvasir_status status = render_limited(template, n, context, NULL, &text, &n_text);
    bool good;
    if (expected) {
        good = status == KVASIR_OK && n_text == json_string_length(expected) &&
               memcmp(text, json_string_value(expected), n_text) == 0;
        if (!good)
            print_error("%s:\n%.300s\nexpected: %s\nrendered: %s\n", name, template, json_string_value(expected),
                        status == KVASIR_OK ? text : kvasir_message());
    } else {
        good = status == KVASIR_E_TEMPLATE && (strcmp(error, "raise") != 0 || strcmp(kvasir_message(), message) == 0);
        if (!good)
            print_error("%s:\n%.300s\nis to fail: %s\nbut: %s\n", name, template, message,
                        text ? text : kvasir_message());
    }
    mem_free(text);
    return good;
}

/* Calls check_case for each line of a file of cases; a case without template names none. */
static void run_cases(const char *file, const char *shared_context)
{
    size_t n, done = 0, failed = 0;
    char *lines = read_data(file, &n);
    assert_non_null(lines);
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *c = json_loads(line, 0, NULL);
        assert_non_null(c);
        const json_t *text = json_object_get(c, "text");
        const char *name = json_string_value(json_object_get(c, "template"));
        char path[200], *context = json_dumps(json_object_get(c, "context"), JSON_COMPACT | JSON_REAL_PRECISION(17)),
                        *template = NULL;
        size_t n_template = json_string_length(text);
        if (!text) {
            (void)snprintf(path, sizeof path, "templates/%s", name);
            template = read_data(path, &n_template);
            assert_non_null(template);
        }
        failed += !check_case(name ? name : "snippet", text ? json_string_value(text) : template, n_template,
                              context ? context : shared_context, c);
        done++;
        free(template);
        free(context);
        json_decref(c);
    }
    free(lines);
    print_message("%s: %zu cases\n", file, done);
    assert_true(done >= 20);
    assert_int_equal(failed, 0);
}

static void test_cases(void **state)
{
    (void)state;
    run_cases("templates/cases.jsonl", NULL);
}

static void test_snippets(void **state)
{
    (void)state;
    size_t n;
    char *context = read_data("templates/snippets-context.json", &n);
    assert_non_null(context);
    run_cases("templates/snippets.jsonl", context);
    free(context);
}

/* ---- limits and hostile input ------------------------------------------------------------------------- */

static void assert_renders(const char *template, const char *context, const char *expected)
{
    char *text;
    size_t n;
    assert_ok(render_limited(template, strlen(template), context, NULL, &text, &n));
    assert_string_equal(text, expected);
    assert_int_equal(n, strlen(expected));
    mem_free(text);
}

/* The rendering fails with a message that has `part` in it. */
static void assert_fails(const char *template, const char *context, const jinja_limits *limits, const char *part)
{
    char *text;
    size_t n;
    assert_int_equal(render_limited(template, strlen(template), context, limits, &text, &n), KVASIR_E_TEMPLATE);
    if (!strstr(kvasir_message(), part)) print_error("%s: %s\n", template, kvasir_message());
    assert_non_null(strstr(kvasir_message(), part));
    assert_null(text);
}

static void test_limits(void **state)
{
    (void)state;
    const jinja_limits few = {.steps = 1000}, small = {.output = 1000}, lean = {.memory = 100000}, flat = {.depth = 10};
    assert_fails("{% for i in range(900) %}{{ i }}{% endfor %}", "{}", &few, "1000 steps");
    assert_fails("{{ 'x' * 1001 }}", "{}", &small, "too long");
    assert_fails("{% for i in range(99) %}{{ 'x' * 20 }}{% endfor %}", "{}", &small, "1000 bytes");
    assert_fails("{{ range(9999) | list }}", "{}", &lean, "100000 bytes of memory");
    assert_fails("{{ x }}", "{\"x\": [[[[[[[[[[[[1]]]]]]]]]]]]}", &flat, "deeper than 10");
    assert_fails("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "{}", NULL, "deeper");
    assert_fails("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{}", NULL, "deeper");
    assert_fails("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", "{}", NULL, "deeper");
    assert_fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "{}", NULL, "steps");
    assert_fails("{{ 'x'.center(99999999999) }}", "{}", NULL, "longer than");
    assert_fails("{{ range(100001) }}", "{}", NULL, "100000 items");
    assert_fails("{{ 2 ** 127 }}", "{}", NULL, "too large");
    assert_fails("{{ (2 ** 100) * (2 ** 100) }}", "{}", NULL, "too large");
}

/* A deep template is refused when it is parsed, not by running out of stack. */
static void test_depth_of_templates(void **state)
{
    (void)state;
    static const char *const opens[] = {"(", "[", "-", "{'a':", "not ", "{% if 1 %}", "{% for x in y %}", "x("};
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++) {
        size_t unit = strlen(opens[i]), n = 3;
        char *template = malloc(3 + 20000 * unit + 1);
        memcpy(template, "{{ ", 4);
        if (opens[i][0] == '{' && opens[i][1] == '%') n = 0;
        for (int k = 0; k < 20000; k++, n += unit) memcpy(template + n, opens[i], unit + 1);
        assert_fails(template, "{}", NULL, "deep");
        free(template);
    }
    /* long, but not deep */
    char *template = malloc(40000), *p = template + sprintf(template, "{{ 0");
    for (int i = 0; i < 900; i++) p += sprintf(p, " + 1");
    (void)sprintf(p, " }}");
    assert_renders(template, "{}", "900");
    p = template + sprintf(template, "{%% if 0 %%}");
    for (int i = 0; i < 1500; i++) p += sprintf(p, "{%% elif 0 %%}");
    (void)sprintf(p, "{%% else %%}x{%% endif %%}");
    assert_renders(template, "{}", "x");
    free(template);
}

static void test_broken_input(void **state)
{
    (void)state;
    char *text;
    size_t n;
    jinja *j;
    assert_ok(jinja_parse("{{ a }}", 7, &j));
    static const char *const broken[] = {
        "", "[]", "{", "{\"a\": }", "{\"a\": 01}", "{\"a\": \"\\x\"}", "{\"a\": 1} 2", "{\"a\": tru}", "nul"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(jinja_render(j, broken[i], strlen(broken[i]), NULL, NULL, &text, &n), KVASIR_E_ARGUMENT);
    jinja_free(j);
    assert_renders("{{ a }}", "{\"a\": 1, \"a\": 2}", "2"); /* the last one counts */
    assert_renders("{{ a }}", "{\"a\": \"\\ud83d\\ude00 \\ud83d\"}", "\xf0\x9f\x98\x80 \xef\xbf\xbd");
    assert_renders("\xff{{ 'a' }}\xc3", "{}",
                   "\xef\xbf\xbd"
                   "a\xef\xbf\xbd");
    assert_fails("{{ strftime_now('%Y') }} {{ 'a' }", "{}", NULL, "line 1");
    assert_fails("a\n\n{{ nope.x }}", "{}", NULL, "line 3: 'nope' is undefined");
    assert_fails("a\n{% include 'x' %}", "{}", NULL, "line 2: 'include'");
}

static void test_variables(void **state)
{
    static const struct {
        const char *template, *name;
        bool uses;
    } cases[] = {
        {"{{ a }}", "a", true},
        {"{{ a }}", "b", false},
        {"{{ a.b }}{{ a['c'] }}{{ 'd' }} e {# f #}", "b", false},
        {"{{ a.b }}{{ a['c'] }}{{ 'd' }} e {# f #}", "e", false},
        {"{% if x is defined %}{% endif %}", "x", true},
        {"{% for m in messages %}{% if deep and x is false %}1{% endif %}{% endfor %}", "x", true},
        {"{% for m in messages %}{{ m }}{{ loop.index }}{% endfor %}", "m", false},
        {"{% for m in messages %}{{ m }}{{ loop.index }}{% endfor %}", "loop", false},
        {"{% macro f(x) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}", "x", false},
        {"{% macro f(x) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}", "y", true},
        {"{% set x = 1 %}{{ x }}", "x", false},
        {"{% if not x is defined %}{% set x = 1 %}{% endif %}{{ x }}", "x", true},
        {"{{ range(3) }}{{ raise_exception('no') }}", "range", false},
        {"{{ range(3) }}{{ raise_exception('no') }}", "raise_exception", false},
        {"{{ namespaces }}", "namespace", false},
        {"", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        jinja *j;
        assert_ok(jinja_parse(cases[i].template, strlen(cases[i].template), &j));
        if (jinja_uses(j, cases[i].name) != cases[i].uses) print_error("%s: %s\n", cases[i].template, cases[i].name);
        assert_int_equal(jinja_uses(j, cases[i].name), cases[i].uses);
        jinja_free(j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),        cmocka_unit_test(test_snippets),
                                       cmocka_unit_test(test_limits),       cmocka_unit_test(test_depth_of_templates),
                                       cmocka_unit_test(test_broken_input), cmocka_unit_test(test_variables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
