/* What a file is that is no GGUF file, by its first bytes: so that an error can say what to do. */
#ifndef KVASIR_BASE_FILE_KIND_H
#define KVASIR_BASE_FILE_KIND_H

#include <stdbool.h>
#include <stddef.h>

enum { FILE_KIND_BYTES = 512 }; /* of the beginning are enough */

/* Do the first n bytes of a file say that it is GGUF, of whatever version? */
bool file_kind_is_gguf(const char *head, size_t n);
/* A clause that names what begins with these bytes and says what to do ("it is a page of HTML ..."); NULL where that is not
   known. Static. */
const char *file_kind_of(const char *head, size_t n);

#endif
