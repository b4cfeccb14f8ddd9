#include "system/load.h"
#include "base/small_file.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

bool load_busy_seconds(const char *root, double *out)
{
    /* The first line: user, nice, system, idle, iowait, irq, softirq, steal, in ticks (proc_stat(5)). */
    enum { FIELDS = 8, IDLE = 3, IOWAIT = 4 };
    char text[512];
    uint64_t ticks = 0;
    const long per_second = sysconf(_SC_CLK_TCK);
    if (!small_text(root, "/proc/stat", text, sizeof text) || strncmp(text, "cpu ", 4) != 0 || per_second <= 0)
        return false;
    const char *s = text + 4;
    for (int i = 0; i < FIELDS; i++) {
        uint64_t value;
        s += strspn(s, " ");
        if (!small_take_number(&s, &value)) return false;
        if (i != IDLE && i != IOWAIT) ticks += value;
    }
    *out = (double)ticks / (double)per_second;
    return true;
}

double load_own_seconds(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           1e-6 * ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec);
}
