#include "server/request/fields.h"
#include "base/mem.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

int refuse_value(http_error *e, const char *param, const char *wants)
{
    return http_refuse(e, 400, "invalid_value", param, "%s must be %s", param, wants);
}

/* ---- seeds of 64 bits without a sign ------------------------------------------------------------------------------- */

/* Behind a string that begins at `at`; n where it does not end. */
static size_t skip_string(const char *s, size_t n, size_t at)
{
    for (at++; at < n && s[at] != '"'; at++) at += s[at] == '\\';
    return at < n ? at + 1 : n;
}

static size_t skip_space(const char *s, size_t n, size_t at)
{
    while (at < n && s[at] && strchr(" \t\r\n", s[at])) at++;
    return at;
}

/* Where the number of the request's own field "seed" is; n where there is none. */
static size_t find_seed(const char *s, size_t n)
{
    static const char name[] = "\"seed\"";
    int depth = 0;
    for (size_t at = 0; at < n;) {
        size_t from = at;
        depth += (s[at] == '{' || s[at] == '[') - (s[at] == '}' || s[at] == ']');
        at = s[at] == '"' ? skip_string(s, n, at) : at + 1;
        if (depth != 1 || at - from != sizeof name - 1 || memcmp(s + from, name, sizeof name - 1) != 0) continue;
        size_t colon = skip_space(s, n, at);
        if (colon < n && s[colon] == ':') return skip_space(s, n, colon + 1);
    }
    return n;
}

/* Jansson's whole numbers have a sign. A seed beyond them is written as the negative one that has the same bits. NULL:
   there is no such seed. */
static char *with_signed_seed(const char *s, size_t n, size_t *n_out)
{
    size_t at = find_seed(s, n), end = at;
    uint64_t seed = 0;
    while (end < n && s[end] >= '0' && s[end] <= '9')
        if (__builtin_mul_overflow(seed, 10, &seed) || __builtin_add_overflow(seed, s[end++] - '0', &seed)) return NULL;
    if (seed <= INT64_MAX) return NULL;
    char *text = mem_alloc(n + 24, 1);
    if (!text) return NULL;
    memcpy(text, s, at);
    int digits = snprintf(text + at, 24, "%lld", (long long)(int64_t)seed);
    memcpy(text + at + digits, s + end, n - end);
    *n_out = n - (end - at) + (size_t)digits;
    return text;
}

/* ---- the body ----------------------------------------------------------------------------------------------------- */

static json_t *load(const char *body, size_t n, json_error_t *error)
{
    enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL };
    size_t n_again = 0;
    json_t *d = json_loadb(body, n, FLAGS, error);
    if (d || json_error_code(error) != json_error_numeric_overflow) return d;
    char *again = with_signed_seed(body, n, &n_again);
    if (again) d = json_loadb(again, n_again, FLAGS, error);
    mem_free(again);
    return d;
}

int request_json(const char *body, size_t n, json_t **out, http_error *e)
{
    json_error_t error;
    *out = load(body, n, &error);
    if (!*out)
        return http_refuse(e, 400, "invalid_json", NULL, "the body is no JSON: %s, line %d, column %d",
                           quoted(error.text, strlen(error.text)), error.line, error.column);
    if (json_is_object(*out)) return 0;
    json_decref(*out);
    *out = NULL;
    return http_refuse(e, 400, "invalid_json", NULL, "the body must be a JSON object");
}

const json_t *field(const json_t *d, const char *name)
{
    const json_t *value = json_object_get(d, name);
    return json_is_null(value) ? NULL : value;
}

int is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           memcmp(json_string_value(value), text, strlen(text)) == 0;
}

/* Is the item one of the list's? */
static int is_listed(const char *list, const char *item)
{
    size_t n = strlen(item);
    for (const char *at = list; (at = strstr(at, item)) != NULL; at++)
        if ((at == list || at[-1] == ' ') && (at[n] == 0 || at[n] == ',')) return 1;
    return 0;
}

void ignore_field(char *list, const char *within, const char *name)
{
    static const char more[] = ", ...";
    char item[96];
    int n = snprintf(item, sizeof item, "%s%s%.48s", within ? within : "", within ? "." : "", *name ? name : "?");
    for (int i = 0; i < n; i++) {
        char c = item[i], low = (char)(c | 0x20);
        if (!((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || strchr("_-.", c))) item[i] = '?';
    }
    size_t used = strlen(list), room = REQUEST_IGNORED_BYTES - used;
    if (is_listed(list, item) || is_listed(list, more + 2)) return;
    if ((size_t)n + sizeof more + 2 > room) (void)snprintf(item, sizeof item, "%s", more + 2);
    (void)snprintf(list + used, room, "%s%s", used ? ", " : "", item);
}

int take_number(const json_t *d, const char *name, double min, double max, double *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    double x = json_number_value(value);
    if (json_is_number(value) && x >= min && x <= max) {
        *to = x;
        return 0;
    }
    char wants[80];
    (void)snprintf(wants, sizeof wants, "a number from %g to %g", min, max);
    return refuse_value(e, name, wants);
}

int take_float(const json_t *d, const char *name, double min, double max, float *to, http_error *e)
{
    double x = (double)*to;
    int status = take_number(d, name, min, max, &x, e);
    *to = (float)x;
    return status;
}

int take_int(const json_t *d, const char *name, json_int_t min, json_int_t max, json_int_t *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    if (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max) {
        *to = json_integer_value(value);
        return 0;
    }
    char wants[80];
    (void)snprintf(wants, sizeof wants, "a whole number from %lld to %lld", (long long)min, (long long)max);
    return refuse_value(e, name, wants);
}

int request_flag(const json_t *d, const char *name, int *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    if (!json_is_boolean(value)) return refuse_value(e, name, "true or false");
    *to = json_is_true(value);
    return 0;
}
