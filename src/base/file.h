/* Read-only files, read by position. Nothing is mapped: a file that shrinks while it is being used gives a
   short read and so an error, never a signal. */
#ifndef KVASIR_BASE_FILE_H
#define KVASIR_BASE_FILE_H

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct file file;

/* Opens a regular file. KVASIR_E_IO with the path and the system's reason. */
kvasir_status file_open(const char *path, file **out);
/* The same interface over memory that the caller keeps alive (tests, fuzzers, network ranges). */
kvasir_status file_from_memory(const void *data, size_t n, const char *name, file **out);
void file_close(file *f); /* closes the file; NULL is fine */

uint64_t file_size(const file *f);    /* when it was opened */
const char *file_name(const file *f); /* the path, or the name given with memory */

/* Is the file as it was when it was opened? KVASIR_E_FORMAT where another program has written to it since. */
kvasir_status file_unchanged(const file *f);

/* Reads exactly n bytes at `offset`. KVASIR_E_FORMAT when the file has become too short, naming the byte where it now
   ends; KVASIR_E_IO on a read error. Any number of threads may call it at once. */
kvasir_status file_read(const file *f, uint64_t offset, void *to, size_t n);

/* Tells the kernel that [offset, offset+n) is wanted soon. A hint only. */
void file_want(const file *f, uint64_t offset, uint64_t n);

/* Makes the folders above a path, but not its last part. KVASIR_E_IO names the one that cannot be made. */
kvasir_status file_make_folders(const char *path);

#endif
