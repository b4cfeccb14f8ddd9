/* Files that commands write. Measuring takes minutes, so whether a file can be written is found out before; what is written is whole
   or not there, and a file of that name stays as it was until then. Devices, pipes and the file behind stdout are written
   into, and a link stays a link. */
#ifndef KVASIR_CLI_COMMON_OUTPUT_H
#define KVASIR_CLI_COMMON_OUTPUT_H

#include "base/status.h"
#include <stdio.h>

/* KVASIR_E_IO says why `path` cannot be written. Changes nothing. A path of NULL can. */
kvasir_status output_check(const char *path);

/* Would two paths be the same file? Devices and pipes may be. NULL is none. */
int output_same(const char *a, const char *b);

typedef struct output_file output_file;
kvasir_status output_open(const char *path, output_file **out);
FILE *output_stream(const output_file *o);
/* `keep` 0: what was written is thrown away. KVASIR_E_IO where it could not be written, then or before. `o` may be NULL. */
kvasir_status output_close(output_file *o, int keep);

/* All of that for what is in memory. */
kvasir_status write_file(const char *path, const void *data, size_t n);
/* The same for what `write` makes of `what`. A file that it fails to make is not written. */
typedef kvasir_status (*document_writer)(const void *what, FILE *f);
kvasir_status write_document(const char *path, document_writer write, const void *what);

#endif
