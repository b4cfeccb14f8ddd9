/* How fast files are read: from the disk that a folder lies on, and from the system's page cache. */
#ifndef KVASIR_SYSTEM_DISK_H
#define KVASIR_SYSTEM_DISK_H

#include "base/status.h"

typedef struct disk_speed {
    double disk, page_cache; /* bytes per second; 0: not known */
    const char *why;         /* why the disk's is not known, a static text; NULL when it is */
} disk_speed;

/* Writes a file of at most `most` bytes into the folder (less where the disk is nearly full or slow), reads it from the
   page cache and then from the disk, for about `seconds` in all. The file has no name, so nothing is left however the
   process ends. stop(user) is asked now and then and can end it early (KVASIR_E_CANCELLED). KVASIR_E_IO when the folder
   cannot hold the file. */
kvasir_status disk_measure(const char *folder, uint64_t most, double seconds, int (*stop)(void *user), void *user,
                           disk_speed *out);

#endif
