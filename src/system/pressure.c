#include "system/pressure.h"

#include <stdio.h>
#include <string.h>

/* Reads a whole decimal number that ends at a space or at the end of the line. */
static bool number(const char *s, uint64_t *out)
{
    uint64_t value = 0;
    const char *start = s;
    for (; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = 10 * value + digit;
    }
    if (s == start || (*s && *s != ' ' && *s != '\n')) return false;
    *out = value;
    return true;
}

/* The text behind `word` in the first line that begins with it; NULL where no line does. */
static const char *line_after(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, word, n) == 0) return line + n;
    return NULL;
}

bool pressure_major_faults(const char *stat, uint64_t *out)
{
    enum { FIELDS_BEHIND_NAME = 10 }; /* the name is field 2, the faults are field 12 */
    const char *s = strrchr(stat, ')');
    for (int i = 0; s && i < FIELDS_BEHIND_NAME; i++) {
        s = strchr(s, ' ');
        if (s) s++;
    }
    return s && number(s, out);
}

bool pressure_swapped_in(const char *vmstat, uint64_t *out)
{
    const char *s = line_after(vmstat, "pswpin ");
    return s && number(s, out);
}

bool pressure_stalled(const char *psi, uint64_t *out)
{
    const char *s = line_after(psi, "some ");
    if (!s) return false;
    const char *end = s + strcspn(s, "\n");
    s = strstr(s, "total=");
    return s && s < end && number(s + strlen("total="), out);
}

bool pressure_storage(const char *io, uint64_t *read, uint64_t *written)
{
    const char *r = line_after(io, "read_bytes: "), *w = line_after(io, "write_bytes: ");
    return r && w && number(r, read) && number(w, written);
}

bool pressure_cgroup(const char *cgroup, char *to, size_t n)
{
    const char *s = line_after(cgroup, "0::");
    size_t length = s ? strcspn(s, "\n") : 0;
    if (length == 0 || length >= n || *s != '/' || strstr(s, "/../")) return false;
    (void)snprintf(to, n, "%.*s", (int)length, s);
    return true;
}
