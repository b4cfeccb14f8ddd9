/* For tests/e2e/text/test_jinja_diff.py: reads lines {"template": text, "context": object}, renders each, and prints {"ok":
   text} or {"error": text} for it. The time is always 2026-01-15 09:05:07. */
#include "base/mem.h"
#include "jinja/jinja.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer(const char *key, const char *text, size_t n)
{
    json_t *line = json_pack("{s:s%}", key, text, n);
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(line);
}

static void render(const char *template, size_t n, const char *context)
{
    const struct tm now = {.tm_year = 126,
                           .tm_mon = 0,
                           .tm_mday = 15,
                           .tm_hour = 9,
                           .tm_min = 5,
                           .tm_sec = 7,
                           .tm_wday = 4,
                           .tm_yday = 14};
    jinja *j = NULL;
    char *text = NULL;
    size_t n_text = 0;
    kvasir_status status = jinja_parse(template, n, &j);
    if (status == KVASIR_OK) status = jinja_render(j, context, strlen(context), &now, NULL, &text, &n_text);
    if (status == KVASIR_OK)
        answer("ok", text, n_text);
    else
        answer("error", kvasir_message(), strlen(kvasir_message()));
    mem_free(text);
    jinja_free(j);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        json_t *job = json_loads(line, JSON_ALLOW_NUL, NULL);
        const json_t *template = json_object_get(job, "template");
        char *context = json_dumps(json_object_get(job, "context"), JSON_COMPACT | JSON_REAL_PRECISION(17));
        if (!template || !context) {
            fprintf(stderr, "a line is no job: %s\n", line);
            return 1;
        }
        render(json_string_value(template), json_string_length(template), context);
        free(context);
        json_decref(job);
    }
    free(line);
    return 0;
}
