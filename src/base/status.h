/* Status codes and the per-thread message that says what went wrong and where. */
#ifndef KVASIR_BASE_STATUS_H
#define KVASIR_BASE_STATUS_H

#include "kvasir/kvasir.h"

#include <stdbool.h>
#include <stdint.h>

/* Records a message for this thread (kvasir_message) and returns `code`, so that an error reads
   `return fail(KVASIR_E_FORMAT, "tensor %s: ...", name);`. The text is one sentence without a full stop;
   strings that come from a file are passed through quoted() first. Messages longer than 511 bytes are cut. */
kvasir_status fail(kvasir_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Out of memory for `bytes`: fail() with the one text that everybody uses. */
kvasir_status fail_memory(size_t bytes);

/* May a terminal, or a page, have this character of a text that is not ours? Not so: control characters, ends of lines, what turns
   the direction of text, and what is no character. The one place that decides it. */
bool shown_character(uint32_t c);

/* The bytes of the character at s (n bytes) if it is one that may be shown: 0 for others, and for what is no UTF-8. */
size_t shown_sequence(const char *s, size_t n);

/* Copies up to `n` bytes of untrusted text into one of four buffers of this thread, with control characters and invalid
   UTF-8 escaped and long text shortened. The result is valid until the fourth call after this one. */
const char *quoted(const char *s, size_t n);

#ifdef __clang_analyzer__ /* tells the analyzer what it cannot see: a failure is never KVASIR_OK */
#define fail(code, ...)    (fail(code, __VA_ARGS__), (code))
#define fail_memory(bytes) (fail_memory(bytes), KVASIR_E_MEMORY)
#endif

/* At the beginning of a public call: a pointer that must not be NULL. NEED_OR is for calls that return no status. */
#define NEED(p)                                                                                                        \
    do {                                                                                                               \
        if (!(p)) return fail(KVASIR_E_ARGUMENT, "%s: %s is NULL", __func__, #p);                                      \
    } while (0)
#define NEED_OR(p, result)                                                                                             \
    do {                                                                                                               \
        if (!(p)) {                                                                                                    \
            (void)fail(KVASIR_E_ARGUMENT, "%s: %s is NULL", __func__, #p);                                             \
            return result;                                                                                             \
        }                                                                                                              \
    } while (0)

/* Returns from the calling function with the status of a call that failed. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        kvasir_status try_status_ = (call);                                                                            \
        if (try_status_ != KVASIR_OK) return try_status_;                                                              \
    } while (0)

#endif
