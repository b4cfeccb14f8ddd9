/* How many threads are worth starting. */
#ifndef KVASIR_BASE_CORES_H
#define KVASIR_BASE_CORES_H

/* Threads worth starting: the affinity mask and the cgroup's quota, at least 1. */
int cpu_count(void);

#endif
