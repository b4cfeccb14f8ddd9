/* Kvasir: a long-context LLM runtime. This is its only public header; it compiles alone as C and as C++. */
#ifndef KVASIR_KVASIR_H
#define KVASIR_KVASIR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(KVASIR_BUILDING) && defined(__GNUC__)
#define KVASIR_API __attribute__((visibility("default")))
#else
#define KVASIR_API
#endif

/* Every call that can fail returns one of these. X(name, number, text) */
#define KVASIR_STATUS_MAP(X)                                                                                 \
    X(OK, 0, "done")                                                                                         \
    X(E_ARGUMENT, 1, "wrong argument")                                                                       \
    X(E_FORMAT, 2, "bad file")                                                                               \
    X(E_UNSUPPORTED, 3, "not supported")                                                                     \
    X(E_MEMORY, 4, "out of memory")                                                                          \
    X(E_CONTEXT, 5, "does not fit in the context")                                                           \
    X(E_IO, 6, "input or output failed")                                                                     \
    X(E_CANCELLED, 7, "cancelled")                                                                           \
    X(E_TEMPLATE, 8, "the chat template failed")                                                             \
    X(E_INTERNAL, 9, "internal error")

typedef enum kvasir_status {
#define X(name, number, text) KVASIR_##name = number,
    KVASIR_STATUS_MAP(X)
#undef X
} kvasir_status;

/* "KVASIR_E_FORMAT", and the general text for it. Static strings; unknown codes give "KVASIR_?". */
KVASIR_API const char *kvasir_status_name(kvasir_status status);
KVASIR_API const char *kvasir_strerror(kvasir_status status);

/* What the last failed call on this thread said: one sentence naming the key, tensor, byte or number. Valid until the
   next failed call on this thread; never NULL. */
KVASIR_API const char *kvasir_message(void);

#ifdef __cplusplus
}
#endif
#endif
