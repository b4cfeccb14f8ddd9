/* Quantities as text without a buffer of one's own. */
#include "cli/common/common.h"
#include "base/format.h"

#include <stdio.h>
#include <time.h>

/* A text is valid until the fourth next one. */
static char *ring_slot(void)
{
    enum { SLOTS = 4 };
    static char slots[SLOTS][FORMAT_BYTES];
    static unsigned next;
    return slots[next++ % SLOTS];
}

const char *bytes_text(uint64_t n)
{
    return format_size(n, ring_slot());
}

const char *count_text(uint64_t n)
{
    return format_count(n, ring_slot());
}

void time_text(double seconds, char *to, size_t n)
{
    char text[FORMAT_BYTES];
    (void)snprintf(to, n, "%s", format_time(seconds, text));
}

void date_text(char to[DATE_BYTES])
{
    time_t now = time(NULL);
    struct tm utc;
    to[0] = '\0';
    if (gmtime_r(&now, &utc)) (void)strftime(to, DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}
