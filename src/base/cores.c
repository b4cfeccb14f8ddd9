#include "base/cores.h"

#include <sched.h>
#include <stdio.h>

/* The cgroup's quota in CPUs, rounded up; 0 when there is none. */
static int cgroup_cpus(void)
{
    long quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f) return 0;
    int n = fscanf(f, "%ld %ld", &quota, &period);
    (void)fclose(f);
    return n == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1, limit = cgroup_cpus();
    if (limit > 0 && limit < n) n = limit;
    return n < 1 ? 1 : n;
}
