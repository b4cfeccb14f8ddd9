/* JSON documents in files, which people edit: read with limits and with messages that name the line, written whole. */
#ifndef KVASIR_CLI_FILES_JSON_FILE_H
#define KVASIR_CLI_FILES_JSON_FILE_H

#include "cli/common/common.h"

/* What a document is expected to be. */
typedef struct json_kind {
    const char *schema; /* what its "schema" says: "kvasir.config/1"; NULL: nothing is looked at */
    const char *what;   /* in messages: "configuration of kvasir tune" */
} json_kind;

/* Reads n bytes of text, called `where` in messages. *out is the caller's. A key twice in one object is an error.
   KVASIR_E_ARGUMENT names the line, or the schema that is expected. */
kvasir_status json_parse(const char *text, size_t n, const char *where, const json_kind *kind, json_t **out);
/* The same of a regular file of at most 16 MiB; KVASIR_E_IO where it cannot be read. */
kvasir_status json_read(const char *path, const json_kind *kind, json_t **out);
/* Writes a document beside `path` and moves it there, so that what is there is whole, the old one or the new, with the
   old one's mode. */
kvasir_status json_write(const json_t *document, const char *path);

#endif
