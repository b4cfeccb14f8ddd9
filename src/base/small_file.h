/* Small text files of the system, read below a root: "" for the real ones; tests pass a tree of their own. */
#ifndef KVASIR_BASE_SMALL_FILE_H
#define KVASIR_BASE_SMALL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads at most n-1 bytes, NUL-terminated. False when the file cannot be read. */
bool small_text(const char *root, const char *path, char *to, size_t n);
/* The same for one whole number at the start of the file. False also when there is none or it is beyond 64 bits. */
bool small_number(const char *root, const char *path, uint64_t *out);
/* Decimal digits at *s, which moves behind them. False when there are none or too many. */
bool small_take_number(const char **s, uint64_t *out);

#endif
