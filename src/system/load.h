/* How much of the computer's processors was at work, by the system's count. */
#ifndef KVASIR_SYSTEM_LOAD_H
#define KVASIR_SYSTEM_LOAD_H

#include <stdbool.h>

/* Seconds of processor time since the system started, of all programs and of what the host gave to others (steal), from
   /proc/stat below `root` ("" for the real one). False where that is not known. */
bool load_busy_seconds(const char *root, double *out);
/* The same of this process. */
double load_own_seconds(void);

#endif
