/* Prefixes: sequences that are kept after they have been answered. */
#ifndef KVASIR_SERVER_SCHEDULE_KEPT_H
#define KVASIR_SERVER_SCHEDULE_KEPT_H

#include "server/state.h"

/* The sequence of this tenant (kept, or of a running job) that begins with the most of these ids, at most n - 1 of
   them. *common says with how many. NULL: none has enough in common. */
kvasir_seq *kept_find(const server *s, int tenant, const int32_t *ids, int n, int *common);
/* A sequence that holds the first `common` ids. A kept sequence `from` is taken over where little of it would be lost,
   else forked. Without `from` it is empty. */
kvasir_status kept_begin(server *s, kvasir_seq *from, int common, kvasir_seq **out);
/* Keeps the sequence, which no longer belongs to the caller. */
void kept_add(server *s, kvasir_seq *seq, int tenant);
int kept_evict(server *s);            /* frees the kept sequence that was used longest ago; 0: there is none */
uint64_t kept_bytes(const server *s); /* KV of all kept sequences; what several of them share counts for each */
void kept_free(server *s);            /* frees all of them */

#endif
