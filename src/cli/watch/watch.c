#include "cli/watch/watch.h"
#include "cli/common/common.h"
#include "base/clock.h"
#include "system/pressure.h"

#include <stdio.h>

enum { FILE_BYTES = 16 << 10 };
static const double interval_s = 1;

/* The start of a file of /proc; empty where there is none. */
static const char *read_start(const char *path, char text[FILE_BYTES])
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, FILE_BYTES - 1, f) : 0;
    if (f) (void)fclose(f);
    text[n] = 0;
    return text;
}

static void find_cgroup(watch *w)
{
    char text[FILE_BYTES], path[400];
    if (pressure_cgroup(read_start("/proc/self/cgroup", text), path, sizeof path))
        (void)snprintf(w->cgroup_file, sizeof w->cgroup_file, "/sys/fs/cgroup%s/memory.pressure", path);
}

static watch_counters read_counters(const watch *w)
{
    char text[FILE_BYTES];
    watch_counters c = {0};
    uint64_t group = 0;
    (void)pressure_major_faults(read_start("/proc/self/stat", text), &c.major_faults);
    (void)pressure_swapped_in(read_start("/proc/vmstat", text), &c.swapped_in);
    (void)pressure_stalled(read_start("/proc/pressure/memory", text), &c.stalled_us);
    if (*w->cgroup_file && pressure_stalled(read_start(w->cgroup_file, text), &group))
        c.stalled_us = group; /* it has its own limit, and another program's waiting is not ours */
    return c;
}

int watch_storage(uint64_t *read, uint64_t *written)
{
    char text[FILE_BYTES];
    return pressure_storage(read_start("/proc/self/io", text), read, written);
}

void watch_step(watch *w, int tokens, int depth, double seconds)
{
    double now = clock_now();
    if (!w->has_begun) {
        w->has_begun = 1;
        find_cgroup(w);
    }
    w->tokens += tokens;
    w->token_s += seconds;
    w->depth = depth;
    if (w->last_read > 0 && now - w->last_read < interval_s) return;
    watch_counters c = read_counters(w);
    int signals = watch_judge(w, now, &c, w->tokens, w->tokens ? w->token_s / w->tokens : 0, depth);
    w->last_read = now;
    w->tokens = 0;
    w->token_s = 0;
    if (!signals) return;
    char text[512];
    watch_text(signals, text, sizeof text);
    note("%s", text);
}
