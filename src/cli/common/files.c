/* Whole files, where a user's files are, lists of ids, and the end of what goes to stdout. */
#include "cli/common/common.h"
#include "base/checked.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_TEXT_BYTES = 1 << 30, ONE_READ_BYTES = 1 << 20 };

static kvasir_status too_large(const char *name, uint64_t bytes)
{
    if (bytes == 0) return fail(KVASIR_E_ARGUMENT, "%s: more than 1 GiB is no text", name);
    return fail(KVASIR_E_ARGUMENT, "%s has %s: more than 1 GiB is no text", name, bytes_text(bytes));
}

static kvasir_status read_stream(FILE *f, const char *name, char **text, size_t *n)
{
    size_t used = 0, room = 0;
    char *data = NULL;
    for (;;) {
        if (used > MAX_TEXT_BYTES) {
            free(data);
            return too_large(name, 0);
        }
        if (room - used < 2) {
            size_t wanted = room ? room * 2 : 64 << 10;
            char *grown = realloc(data, wanted);
            if (!grown) {
                free(data);
                return fail_memory(wanted);
            }
            data = grown;
            room = wanted;
        }
        size_t got = fread(data + used, 1, min_size(room - used - 1, ONE_READ_BYTES), f);
        used += got;
        if (interrupted()) {
            free(data);
            return fail(KVASIR_E_CANCELLED, "stopped");
        }
        if (got == 0) break;
    }
    if (ferror(f)) {
        int error = errno;
        free(data);
        return fail(KVASIR_E_IO, "%s: %s", name, strerror(error));
    }
    data[used] = 0;
    *text = data;
    *n = used;
    return KVASIR_OK;
}

kvasir_status read_text(const char *path, char **text, size_t *n)
{
    if (strcmp(path, "-") == 0) return read_stream(stdin, "stdin", text, n);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > MAX_TEXT_BYTES)
        return too_large(path, (uint64_t)st.st_size);
    FILE *f = fopen(path, "rb");
    if (!f && interrupted()) return fail(KVASIR_E_CANCELLED, "stopped"); /* while it waited for a pipe's other end */
    if (!f) return fail(KVASIR_E_IO, "%s: %s", path, strerror(errno));
    kvasir_status status = read_stream(f, path, text, n);
    (void)fclose(f);
    return status;
}

kvasir_status user_path(const char *variable, const char *fallback, const char *tail, char *to, size_t n)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    int length;
    if (base && base[0] == '/')
        length = snprintf(to, n, "%s/%s", base, tail);
    else if (home && home[0] == '/')
        length = snprintf(to, n, "%s/%s/%s", home, fallback, tail);
    else
        return fail(KVASIR_E_ARGUMENT, "neither %s nor HOME says where files are kept", variable);
    if (length < 0 || (size_t)length >= n)
        return fail(KVASIR_E_ARGUMENT, "the path of %s is longer than %zu bytes", tail, n - 1);
    return KVASIR_OK;
}

static const char *skip_separators(const char *s, const char *end)
{
    while (s < end && (isspace((unsigned char)*s) || *s == ',')) s++;
    return s;
}

kvasir_status parse_ids(const char *text, size_t n, int32_t **ids, size_t *n_ids)
{
    /* One rule for both notations: brackets may stand around, commas and whitespace between. */
    size_t count = 0, room = n / 2 + 1;
    const char *end = text + n, *s = skip_separators(text, end);
    int32_t *list = mem_alloc(room, sizeof *list);
    if (!list) return fail_memory(room * sizeof *list);
    int array = s < end && *s == '[';
    for (s = skip_separators(s + array, end); s < end && *s != ']'; s = skip_separators(s, end)) {
        char *after = NULL;
        errno = 0;
        long id = strtol(s, &after, 10);
        if (after == s || errno != 0 || id < 0 || id > INT32_MAX) goto bad;
        list[count++] = (int32_t)id;
        s = after;
    }
    if (array != (s < end)) goto bad; /* a bracket is missing, or one too many */
    if (array && (s = skip_separators(s + 1, end)) < end) goto bad;
    *ids = list;
    *n_ids = count;
    return KVASIR_OK;
bad:
    mem_free(list);
    size_t at = (size_t)(s - text), left = min_size((size_t)(end - s), 16);
    return fail(KVASIR_E_ARGUMENT, "byte %zu of the ids: %s%s%s", at, left ? "'" : "a bracket is missing",
                left ? quoted(s, left) : "", left ? "' is no token id" : "");
}

int finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    if (errno != EPIPE) note("writing the output failed: %s", strerror(errno)); /* a closed pipe: nobody wants more */
    return status == EXIT_DONE ? EXIT_FAILED : status;
}
