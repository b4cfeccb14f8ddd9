#include "cli/json_file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_BYTES = 16 << 20 };

static kvasir_status check_schema(const json_t *d, const char *where, const json_kind *kind)
{
    const char *schema = json_string_value(json_object_get(d, "schema"));
    if (!kind->schema || (schema && strcmp(schema, kind->schema) == 0)) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "%s is no %s: its schema is not %s", where, kind->what, kind->schema);
}

kvasir_status json_parse(const char *text, size_t n, const char *where, const json_kind *kind, json_t **out)
{
    json_error_t error;
    json_t *d = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!d)
        return fail(KVASIR_E_ARGUMENT, "%s is no JSON document: line %d: %s", where, error.line,
                    quoted(error.text, strlen(error.text)));
    kvasir_status status = check_schema(d, where, kind);
    if (status == KVASIR_OK)
        *out = d;
    else
        json_decref(d);
    return status;
}

kvasir_status json_read(const char *path, const json_kind *kind, json_t **out)
{
    char *text = NULL;
    size_t n = 0;
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size > MOST_BYTES)
        return fail(KVASIR_E_ARGUMENT, "%s has %lld bytes: no %s is so large", path, (long long)st.st_size, kind->what);
    TRY(read_text(path, &text, &n));
    kvasir_status status = json_parse(text, n, path, kind, out);
    free(text);
    return status;
}

kvasir_status json_write(const json_t *document, const char *path)
{
    char *text = json_dumps(document, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    size_t n = strlen(path) + sizeof ".part";
    char *part = mem_alloc(n, 1);
    kvasir_status status = text && part ? KVASIR_OK : fail_memory(n);
    if (status == KVASIR_OK) {
        (void)snprintf(part, n, "%s.part", path);
        status = write_file(part, text, strlen(text));
    }
    if (status == KVASIR_OK && rename(part, path) != 0) status = fail(KVASIR_E_IO, "%s: %s", path, strerror(errno));
    free(text);
    mem_free(part);
    return status;
}
