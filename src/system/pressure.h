/* What the system says about memory getting short, as pure functions over the text of its files. Each is true where the
   text has what is asked for. */
#ifndef KVASIR_SYSTEM_PRESSURE_H
#define KVASIR_SYSTEM_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Major page faults of a process since it started: field 12 of /proc/PID/stat. The name before it may hold anything. */
bool pressure_major_faults(const char *stat, uint64_t *out);
/* Pages read back from swap since the start of the system: pswpin of /proc/vmstat. */
bool pressure_swapped_in(const char *vmstat, uint64_t *out);
/* Microseconds in which some task waited for memory: the total of the "some" line of /proc/pressure/memory, or of a
   control group's memory.pressure. */
bool pressure_stalled(const char *psi, uint64_t *out);
/* Bytes that a process has had fetched from storage and has had written to it: /proc/PID/io. What a cache of the system gave or
   took is in neither. */
bool pressure_storage(const char *io, uint64_t *read, uint64_t *written);
/* The path of the process's group (version 2) from /proc/self/cgroup, "/user.slice/...", into `to` (n bytes). */
bool pressure_cgroup(const char *cgroup, char *to, size_t n);

#endif
