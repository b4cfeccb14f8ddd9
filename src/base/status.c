#include "base/status.h"
#include "base/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef fail /* status.h defines these as macros for the analyzer */
#undef fail_memory

enum { MESSAGE_BYTES = 512, QUOTED_BYTES = 96, QUOTED_SLOTS = 4 };

/* What went wrong last on this thread, and the texts of quoted(). Apart from such thread-local variables (here and in
   mem.c) the library has no global state. */
static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local char quoted_slot[QUOTED_SLOTS][QUOTED_BYTES];
static _Thread_local unsigned quoted_next;

const char *kvasir_status_name(kvasir_status status)
{
    switch (status) {
#define X(name, number, text)                                                                                          \
    case KVASIR_##name:                                                                                                \
        return "KVASIR_" #name;
        KVASIR_STATUS_MAP(X)
#undef X
    }
    return "KVASIR_?";
}

const char *kvasir_strerror(kvasir_status status)
{
    switch (status) {
#define X(name, number, text)                                                                                          \
    case KVASIR_##name:                                                                                                \
        return text;
        KVASIR_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

const char *kvasir_message(void)
{
    return message;
}

kvasir_status fail(kvasir_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return code;
}

kvasir_status fail_memory(size_t bytes)
{
    char size[FORMAT_BYTES];
    return fail(KVASIR_E_MEMORY, "out of memory: %s could not be allocated", format_size(bytes, size));
}

/* The length of the valid UTF-8 sequence at s, 0 if there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    size_t need = s[0] < 0x80                   ? 1
                  : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                  : (s[0] & 0xf0) == 0xe0       ? 3
                  : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                : 0;
    if (need == 0 || need > n) return 0;
    for (size_t i = 1; i < need; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    return need;
}

const char *quoted(const char *s, size_t n)
{
    char *out = quoted_slot[quoted_next++ % QUOTED_SLOTS];
    size_t used = 0, i = 0;
    const size_t room = QUOTED_BYTES - 8; /* an escape or a sequence, the dots and the NUL always fit */
    while (i < n && used < room) {
        unsigned char c = (unsigned char)s[i];
        size_t seq = utf8_sequence((const unsigned char *)s + i, n - i);
        if (c < 0x20 || c == 0x7f || seq == 0) {
            used += (size_t)snprintf(out + used, QUOTED_BYTES - used, "\\x%02x", c);
            i++;
        } else {
            memcpy(out + used, s + i, seq);
            used += seq;
            i += seq;
        }
    }
    memcpy(out + used, i < n ? "..." : "", i < n ? 4 : 1);
    return out;
}
