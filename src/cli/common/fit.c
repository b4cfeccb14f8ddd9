#include "cli/common/fit.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* One character at `text`: its bytes and columns. What is none, and what a terminal would obey, is one byte in one column. */
static size_t next_character(const char *text, int *columns, bool *shows)
{
    utf8proc_int32_t c = -1;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)strlen(text), &c);
    *shows = n > 0 && shown_character((uint32_t)c);
    *columns = *shows ? utf8proc_charwidth(c) : 1;
    return n > 0 ? (size_t)n : 1;
}

/* Copies what fits into the columns; the columns that it takes. */
static int copy(const char *from, int columns, char *to, size_t room)
{
    size_t used = 0;
    int taken = 0;
    while (*from) {
        bool shows;
        int wide;
        size_t n = next_character(from, &wide, &shows);
        if (taken + wide > columns || used + n + 1 > room) break;
        if (shows)
            memcpy(to + used, from, n);
        else
            to[used] = '?';
        used += shows ? n : 1;
        taken += wide;
        from += n;
    }
    to[used] = '\0';
    return taken;
}

int text_columns(const char *text)
{
    int sum = 0;
    while (*text) {
        bool shows;
        int wide;
        text += next_character(text, &wide, &shows);
        sum += wide;
    }
    return sum;
}

/* The label, and `behind` without which the line says nothing. */
static void cut_label(const fit_parts *p, int columns, char to[FIT_BYTES])
{
    static const char dots[] = "...";
    char behind[64];
    int n = snprintf(behind, sizeof behind, " %s", p->percent);
    int room = columns - n - (int)strlen(dots);
    if (room >= 1) {
        (void)copy(p->label, room, to, FIT_BYTES - sizeof behind - sizeof dots);
        (void)strcat(strcat(to, dots), behind);
        return;
    }
    (void)snprintf(to, FIT_BYTES, "%s", n - 1 <= columns ? p->percent : "");
}

void fit_line(const fit_parts *p, int columns, char to[FIT_BYTES])
{
    const char *const list[] = {p->speed, p->left, p->extra};
    enum { LISTED = sizeof list / sizeof *list };
    const int most = columns - 1;
    for (int without = 0; without <= LISTED + 1; without++) {
        char line[FIT_BYTES];
        int n = p->done && without <= LISTED ? snprintf(line, sizeof line, "%s %s (%s)", p->label, p->done, p->percent)
                                             : snprintf(line, sizeof line, "%s %s", p->label, p->percent);
        for (int i = without; i < LISTED && n < FIT_BYTES; i++)
            if (list[i]) n += snprintf(line + n, (size_t)(FIT_BYTES - n), ", %s", list[i]);
        if (n >= FIT_BYTES || text_columns(line) > most) continue;
        (void)copy(line, most, to, FIT_BYTES); /* what a terminal would obey is left behind */
        return;
    }
    cut_label(p, most, to);
}
