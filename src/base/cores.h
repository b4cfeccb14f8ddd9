/* How many threads are worth starting. */
#ifndef KVASIR_BASE_CORES_H
#define KVASIR_BASE_CORES_H

/* Threads worth starting: the cores of the affinity mask, as far as the quotas of the control groups pay for whole ones (of
   the process's own group and all above, version 1 and 2); at least 1. */
int cpu_count(void);
/* The same for n cores and the groups of the system below `root`; for tests. */
int cpu_count_below(const char *root, int n);

#endif
