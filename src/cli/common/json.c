/* JSON on stdout. */
#include "cli/common/common.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *json_text(const char *s, size_t n)
{
    json_t *exact = json_stringn(s, n);
    if (exact) return exact;
    /* Not UTF-8 somewhere: take it character by character, which finds the bad bytes exactly. */
    char *clean = mem_alloc(3 * n + 1, 1);
    size_t used = 0;
    if (!clean) return NULL;
    for (size_t i = 0; i < n;) {
        size_t length = 0;
        for (size_t k = 1; k <= 4 && k <= n - i && !length; k++) {
            json_t *one = json_stringn(s + i, k);
            if (one) length = k;
            json_decref(one);
        }
        memcpy(clean + used, length ? s + i : "\xef\xbf\xbd", length ? length : 3);
        used += length ? length : 3;
        i += length ? length : 1;
    }
    exact = json_stringn(clean, used);
    mem_free(clean);
    return exact;
}

json_t *json_text_or_null(const char *s)
{
    return s ? json_text(s, strlen(s)) : json_null();
}

json_t *json_ids(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) (void)json_array_append_new(list, json_integer(ids[i]));
    return list;
}

json_t *json_bytes(uint64_t n)
{
    return json_integer((json_int_t)n);
}

json_t *json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *json_document(const char *name)
{
    return json_pack("{s:s++}", "schema", "kvasir.", name, "/1");
}

int print_json(json_t *document)
{
    int bad = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0;
    json_decref(document);
    (void)putchar('\n');
    if (bad && !ferror(stdout)) return failed(fail(KVASIR_E_INTERNAL, "the JSON document could not be made"));
    return finish_output(EXIT_DONE);
}
