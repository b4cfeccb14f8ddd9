#include "cli/files/json_file.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (n == 0) return fail(KVASIR_E_ARGUMENT, "%s is empty, and no %s", where, kind->what);
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

/* The file's bytes, with a NUL behind them. */
static kvasir_status read_whole(const file *f, const char *path, const json_kind *kind, char **out)
{
    const size_t n = (size_t)file_size(f);
    if (file_size(f) > MOST_BYTES)
        return fail(KVASIR_E_ARGUMENT, "%s has %s: no %s is so large", path, bytes_text(file_size(f)), kind->what);
    char *text = malloc(n + 1);
    kvasir_status status = text ? file_read(f, 0, text, n) : fail_memory(n + 1);
    if (status != KVASIR_OK) {
        free(text);
        return status;
    }
    text[n] = '\0';
    *out = text;
    return KVASIR_OK;
}

kvasir_status json_read(const char *path, const json_kind *kind, json_t **out)
{
    file *f;
    char *text = NULL;
    TRY(file_open(path, &f));
    kvasir_status status = read_whole(f, path, kind, &text);
    if (status == KVASIR_OK) status = json_parse(text, (size_t)file_size(f), path, kind, out);
    free(text);
    file_close(f);
    return status;
}

kvasir_status json_write(const json_t *document, const char *path)
{
    char *text = json_dumps(document, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    kvasir_status status = text ? write_file(path, text, strlen(text)) : fail_memory(0);
    free(text);
    return status;
}
