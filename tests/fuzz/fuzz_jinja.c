/* The input is a template and, after the first NUL, the JSON of its context. Limits are tight, so that no
   input takes long; what is rendered must be valid and of the length given. */
#include "base/mem.h"
#include "jinja/jinja.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const jinja_limits tight = {.steps = 20000, .depth = 40, .output = 1 << 18, .memory = 4 << 20};
    static const struct tm now = {.tm_year = 126, .tm_mday = 15, .tm_hour = 9, .tm_wday = 4, .tm_yday = 14};
    const char *text = (const char *)data, *end = n ? memchr(text, 0, n) : NULL, *context = "{}";
    size_t n_template = end ? (size_t)(end - text) : n, n_context = 2, n_out = 0;
    jinja *j = NULL;
    char *out = NULL;
    if (end) {
        context = end + 1;
        n_context = n - n_template - 1;
    }
    if (jinja_parse(text, n_template, &j) != KVASIR_OK) return 0;
    if (jinja_render(j, context, n_context, &now, &tight, &out, &n_out) == KVASIR_OK) {
        if (n_out > tight.output || out[n_out] != '\0') abort();
        mem_free(out);
    }
    jinja_free(j);
    return 0;
}
