#include "base/cores.h"
#include "base/cgroup.h"
#include "base/small_file.h"

#include <sched.h>

/* Lowers a number of threads to a group's quota: "QUOTA PERIOD" in one file, or a file each (-1: none). A share of a core is
   no thread: with one more than the quota pays for, all of them stand still at the end of each period. */
static void apply_quota(void *user, const cgroup *g)
{
    int *n = user;
    char text[64];
    const char *s = text;
    uint64_t quota = 0, period = 0;
    bool has = false;
    if (g->version == 2) {
        has = cgroup_text(g, "cpu.max", text, sizeof text) && small_take_number(&s, &quota) && *s++ == ' ' &&
              small_take_number(&s, &period);
    } else {
        has = cgroup_number(g, "cpu.cfs_quota_us", &quota) && cgroup_number(g, "cpu.cfs_period_us", &period);
    }
    if (!has || quota == 0 || period == 0 || quota / period >= (uint64_t)*n) return;
    *n = quota < period ? 1 : (int)(quota / period);
}

int cpu_count_below(const char *root, int n)
{
    cgroup_each(root, "cpu", apply_quota, &n);
    return n < 1 ? 1 : n;
}

int cpu_count(void)
{
    cpu_set_t set;
    return cpu_count_below("", sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1);
}
