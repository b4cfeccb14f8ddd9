/* What the operating system says about the computer: memory and its limits, caches, NUMA nodes, the processor's name.
   Where a function has a `root`, it reads files below it: "" for the real ones; tests pass a tree of their own. A value
   that a file lacks, or that is impossible, is 0: not known. */
#ifndef KVASIR_SYSTEM_SYSTEM_H
#define KVASIR_SYSTEM_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct system_memory {
    uint64_t total;
    uint64_t available; /* could still be allocated: the system's estimate, or a control group's room if less */
    uint64_t limit;     /* the least of the control groups that the process is in; 0: none */
    uint64_t swap, swap_free;
} system_memory;

/* Reads /proc/meminfo, and the limits and use of the control groups from the process's own up to the root (version 2,
   version 1, or both side by side). */
void system_memory_read(const char *root, system_memory *out);
/* What could still be allocated on this computer; 0: not known. */
uint64_t system_available(void);

/* The text of /proc/meminfo alone: total, available (MemFree and Cached where the kernel has no estimate), swap. */
void system_meminfo_parse(const char *text, system_memory *out);

/* NUMA nodes that are online, at least 1. */
int system_numa_nodes(const char *root);

/* Bytes of the largest cache that the first processor has. */
uint64_t system_last_cache(const char *root);

/* The processor's model name as the system gives it, or "unknown". `to` holds n bytes. */
void cpu_model_name(char *to, size_t n);

#endif
