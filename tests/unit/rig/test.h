/* What every unit test includes: cmocka with its headers in order, and the way to the data files. */
#ifndef KVASIR_TEST_H
#define KVASIR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail /* base/status.h uses this name; the tests use assert_* and assert_ok */
#undef fail_msg

#include "kvasir/kvasir.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        kvasir_status test_status_ = (call);                                                                           \
        if (test_status_ != KVASIR_OK) {                                                                               \
            print_error("%s: %s\n", kvasir_status_name(test_status_), kvasir_message());                               \
            _fail(__FILE__, __LINE__);                                                                                 \
        }                                                                                                              \
    } while (0)

/* Path of a data file: "quant/q4_0.raw" is looked for in ../shared/fixtures of the source tree, then in tests/golden.
   NULL when neither has it. Static storage, overwritten by the next call. */
static inline const char *data_path(const char *name)
{
    static char path[1024];
    const char *root = getenv("KVASIR_SOURCE");
    const char *const places[] = {"../shared/fixtures", "tests/golden"};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s/%s", root ? root : ".", places[i], name);
        FILE *f = fopen(path, "rb");
        if (f) {
            (void)fclose(f);
            return path;
        }
    }
    return NULL;
}

/* A whole file in memory (free), NUL-terminated; NULL when it is not there. */
static inline char *read_data(const char *name, size_t *n)
{
    const char *path = data_path(name);
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f) return NULL;
    (void)fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    if (!text || fread(text, 1, (size_t)size, f) != (size_t)size) abort();
    text[size] = 0;
    *n = (size_t)size;
    (void)fclose(f);
    return text;
}

#endif
