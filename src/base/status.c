#include "base/status.h"
#include "base/format.h"

#include <stdarg.h>
#include <stdbool.h>
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

bool shown_character(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return false; /* control characters */
    if (c == 0x2028 || c == 0x2029) return false;          /* ends of lines */
    if (c >= 0x202a && c <= 0x202e)
        return false; /* embeddings and overrides of direction, which can hide what a text is; */
    if (c >= 0x2066 && c <= 0x2069)
        return false; /* isolates. The marks U+200E, U+200F and U+061C are part of ordinary text */
    return c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000) && (c & 0xfffe) != 0xfffe; /* no characters */
}

/* The character at s in UTF-8, and in *length its bytes; 0 and 0: there is none. */
static uint32_t utf8_character(const unsigned char *s, size_t n, size_t *length)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* what fewer bytes can say is not said so */
    const size_t need = s[0] < 0x80             ? 1
                        : (s[0] & 0xe0) == 0xc0 ? 2
                        : (s[0] & 0xf0) == 0xe0 ? 3
                        : (s[0] & 0xf8) == 0xf0 ? 4
                                                : 0;
    *length = 0;
    if (need == 0 || need > n) return 0;
    uint32_t c = need == 1 ? s[0] : s[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < least[need]) return 0;
    *length = need;
    return c;
}

size_t shown_sequence(const char *s, size_t n)
{
    size_t length;
    const uint32_t c = utf8_character((const unsigned char *)s, n, &length);
    return shown_character(c) ? length : 0;
}

const char *quoted(const char *s, size_t n)
{
    char *out = quoted_slot[quoted_next++ % QUOTED_SLOTS];
    size_t used = 0, i = 0;
    const size_t room = QUOTED_BYTES - 8; /* an escape or a sequence, the dots and the NUL always fit */
    while (i < n && used < room) {
        unsigned char c = (unsigned char)s[i];
        size_t seq = shown_sequence(s + i, n - i);
        if (seq == 0) {
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
