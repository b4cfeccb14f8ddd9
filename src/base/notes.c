#include "base/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NOTE_BYTES = 512 };

kvasir_status note_add(notes *n, const char *format, ...)
{
    char text[NOTE_BYTES];
    va_list args;
    if (n->n == NOTES_MOST) {
        n->more++;
        return KVASIR_OK;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    n->text[n->n] = arena_text(n->memory, text, strlen(text));
    if (!n->text[n->n]) return fail_memory(strlen(text));
    n->n++;
    return KVASIR_OK;
}
