/* What all connections together may hold in memory: bodies that are being read, and answers that are not read yet. */
#ifndef KVASIR_SERVER_HTTP_MEMORY_H
#define KVASIR_SERVER_HTTP_MEMORY_H

#include <stddef.h>

enum { HTTP_MEMORY_MOST = 256 << 20 };

/* Counts what libevent allocates from now on, in the whole process. Beyond `most` bytes its buffers do not grow: the
   connection that asks is closed. Before any other call of libevent. */
void http_memory_limit(size_t most);
size_t http_memory_used(void); /* bytes */
/* Once a second: gives what large bodies took back to the system when they are gone. */
void http_memory_trim(void);

#endif
