/* The live watch: says while tokens are generated that memory has become too short and the model or its KV cache is being
   read back from the disk. One signal alone is often harmless; two of them within a few seconds are one warning. */
#ifndef KVASIR_CLI_WATCH_WATCH_H
#define KVASIR_CLI_WATCH_WATCH_H

#include <stddef.h>
#include <stdint.h>

enum {
    WATCH_FAULTS = 1, /* the process waits for pages from the disk */
    WATCH_SWAP = 2,   /* the system reads pages back from swap */
    WATCH_STALL = 4,  /* tasks wait for memory (PSI), here or in the control group */
    WATCH_SLOW = 8,   /* decoding is below 80% of its own best at this depth */
    WATCH_DEPTHS = 64,
    WATCH_KEPT = 16
};

/* The system's counters, all since some start; what is not known stays 0. */
typedef struct watch_counters {
    uint64_t major_faults, swapped_in, stalled_us;
} watch_counters;

/* Zeroed before; a plain value, and no memory of its own. */
typedef struct watch {
    /* what the present interval has brought: tokens and the seconds of their steps */
    int tokens, depth;
    double token_s, last_read;
    double
        best[WATCH_DEPTHS]; /* seconds per token by depth: each place twice as deep as the one before, in four steps */
    struct {
        double at;
        watch_counters counters;
    } kept[WATCH_KEPT]; /* of the last readings, a ring */
    int n_kept;
    double seen[4]; /* when each signal was last there; 0: never */
    double warned;  /* 0: never */
    int n_warnings;
    char cgroup_file[512];
    int has_begun;
} watch;

/* ---- judge.c: pure ---- */

/* Takes one reading at `now` (seconds of any clock, more than 0) with what was generated since the last: `tokens` of
   them, `token_s` seconds each at `depth` (tokens 0: nothing). Returns the signals if a warning is due now, else 0. */
int watch_judge(watch *w, double now, const watch_counters *c, int tokens, double token_s, int depth);
/* What was seen and what helps, as a sentence or two. */
void watch_text(int signals, char *to, size_t n);

/* ---- watch.c ---- */

/* A step of `seconds` has brought `tokens` tokens and the sequence to `depth`. About once a second it reads the system's
   counters, and prints a warning at most once a minute. */
void watch_step(watch *w, int tokens, int depth, double seconds);
/* Bytes that the process has read from storage and written to it so far; 0 where the system does not say. */
int watch_storage(uint64_t *read, uint64_t *written);

#endif
