/* The Jinja that chat templates are written in, as transformers renders it: sandboxed, trim_blocks and
   lstrip_blocks, loop controls, the generation tag, tojson/raise_exception/strftime_now. Input and output are
   JSON texts and UTF-8, so that this module needs no JSON library. */
#ifndef KVASIR_JINJA_JINJA_H
#define KVASIR_JINJA_JINJA_H

#include "base/status.h"
#include <stdbool.h>
#include <time.h>

typedef struct jinja jinja;

/* Limits of one rendering; a template that passes one fails with KVASIR_E_TEMPLATE saying which. */
typedef struct jinja_limits {
    size_t steps;  /* nodes evaluated; 0: 20 million */
    size_t depth;  /* nested calls, loops, values; 0: 200 */
    size_t output; /* bytes, also of any intermediate string; 0: 64 MiB */
    size_t memory; /* bytes of all values; 0: 256 MiB */
} jinja_limits;

/* Parses a template. KVASIR_E_TEMPLATE with the line number on a syntax error. */
kvasir_status jinja_parse(const char *text, size_t n, jinja **out);
void jinja_free(jinja *j); /* NULL is fine */

/* Does any place of the template read a variable of this name from the context? Functions that every template has
   (range, raise_exception) are no variables. */
bool jinja_uses(const jinja *j, const char *name);

/* Renders with the variables of the JSON object `context` (the order of its keys is kept). `now` is the time that
   strftime_now shows. *out is NUL-terminated and the caller's (mem_free). KVASIR_E_TEMPLATE: kvasir_message() is the
   exact text given to raise_exception, or a sentence that names the construct and the line. */
kvasir_status jinja_render(const jinja *j, const char *context, size_t n_context, const struct tm *now,
                           const jinja_limits *limits, char **out, size_t *n_out);

#endif
