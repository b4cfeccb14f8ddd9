/* What the system says about memory getting short, as pure functions over the text of its files. Each returns true when
   it found its value in the text. */
#ifndef KVASIR_SYSTEM_PRESSURE_H
#define KVASIR_SYSTEM_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Major page faults of a process since it started: field 12 of /proc/PID/stat. The name in field 2
   may hold anything. */
bool pressure_major_faults(const char *stat, uint64_t *out);
/* Pages read back from swap since the start of the system: pswpin of /proc/vmstat. */
bool pressure_swapped_in(const char *vmstat, uint64_t *out);
/* Microseconds in which some task waited for memory: the total of the "some" line of /proc/pressure/memory, or of a
   control group's memory.pressure. */
bool pressure_stalled(const char *psi, uint64_t *out);
/* Bytes that a process has caused to be read from storage and to be written to it: /proc/PID/io. Reads and writes that
   stayed in the system's page cache are not counted. */
bool pressure_storage(const char *io, uint64_t *read, uint64_t *written);
/* The path of the process's group (version 2) from /proc/self/cgroup, "/user.slice/...", into `to` (n bytes). */
bool pressure_cgroup(const char *cgroup, char *to, size_t n);

#endif
