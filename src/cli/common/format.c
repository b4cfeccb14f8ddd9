/* Quantities as text, for people. */
#include "cli/common/common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static char *ring_slot(void)
{
    enum { SLOTS = 4, BYTES = 32 };
    static char slots[SLOTS][BYTES];
    static unsigned next;
    return slots[next++ % SLOTS];
}

const char *bytes_text(uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    char *to = ring_slot();
    double value = (double)n;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    (void)snprintf(to, 32, "%.*f %s", digits, value, units[unit]);
    return to;
}

const char *count_text(uint64_t n)
{
    char plain[24], *to = ring_slot();
    int length = snprintf(plain, sizeof plain, "%llu", (unsigned long long)n), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) to[used++] = ',';
        to[used++] = plain[i];
    }
    to[used] = 0;
    return to;
}

void time_text(double seconds, char *to, size_t n)
{
    if (seconds < 60)
        (void)snprintf(to, n, "%.0f s", ceil(seconds));
    else if (seconds < 3600)
        (void)snprintf(to, n, "%d:%02d min", (int)seconds / 60, (int)seconds % 60);
    else
        (void)snprintf(to, n, "%d:%02d h", (int)(seconds / 3600), (int)(seconds / 60) % 60);
}

void date_text(char to[DATE_BYTES])
{
    time_t now = time(NULL);
    struct tm utc;
    to[0] = '\0';
    if (gmtime_r(&now, &utc)) (void)strftime(to, DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}
