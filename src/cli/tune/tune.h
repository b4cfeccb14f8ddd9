/* kvasir tune: what its files share. tune.c has the options and the steps, measure.c compares two configurations,
   file.c keeps what is known. */
#ifndef KVASIR_CLI_TUNE_TUNE_H
#define KVASIR_CLI_TUNE_TUNE_H

#include "cli/files/quality_file.h"
#include "cli/sweep/sweep.h"

typedef struct tune_args {
    const char *model, *out, *text;
    uint64_t budget, reserve;
    int want_ctx, depth, repeat; /* depth -1: not given */
    engine_args engine;          /* ctx, threads (at most), cpu */
    output_args output;
} tune_args;

enum {
    TUNE_TYPES = 4,
    TUNE_MAX_REPEAT = 20,
    TUNE_READ = 512, /* the job that is timed: tokens read, then generated, behind the depth */
    TUNE_GENERATE = 128,
    TUNE_STEPS = 16,  /* decode steps of one sample */
    TUNE_DRAFTED = 64 /* generated tokens of one sample with and without a draft */
};

/* A configuration. */
typedef struct tune_point {
    int type, threads, chunk, draft; /* type: index of tune_types */
} tune_point;

/* From the most faithful to the smallest: the order in which KV shrinks. */
extern const char *const tune_types[TUNE_TYPES];

/* What the plan says of a KV type at the context. */
typedef struct tune_fit {
    uint64_t total_bytes, kv_bytes;
    int fits, fails; /* fails: kvasir verify measured that the type costs too much quality */
} tune_fit;

typedef struct tune {
    const tune_args *args;
    session s;
    char out[4096];
    int ctx, depth, behind, repeat, cores, max_batch;
    uint64_t budget, reserve, margin, kv_room; /* kv_room: what the boundary leaves to the pool */
    char unusable[QUALITY_LIST_BYTES];         /* types that fail */
    tune_fit fit[TUNE_TYPES];
    tune_point now;               /* the best that is known */
    kvasir_seq *base[TUNE_TYPES]; /* depth - 1 tokens of the text; NULL: not filled */
    int32_t *ids;                 /* depth + behind */
    char text_hash[SWEEP_HASH_BYTES], fingerprint[SWEEP_HASH_BYTES];
    json_t *evidence; /* comparisons of this run, and those of a stopped one that it repeated */
    json_t *saved;    /* the document of a stopped run, or NULL */
    int complete;
} tune;

typedef enum tune_step { TUNE_KV, TUNE_THREADS, TUNE_CHUNK, TUNE_DRAFT } tune_step;
extern const char *const tune_step_names[];

/* ---- measure.c ---- */

/* Compares `other` with t->now by what `step` is about, in turns, and makes it t->now where it is better by more than a
   margin. *taken says so (may be NULL). What a stopped run compared is not measured again. A configuration that memory
   has no room for is not taken. Prints a line unless --json was given, and keeps the evidence. */
kvasir_status tune_compare(tune *t, tune_step step, tune_point other, int *taken);
void tune_free_bases(tune *t, int but);

/* ---- file.c ---- */

/* What --config reads, a new reference. */
json_t *tune_document(const tune *t);
kvasir_status tune_save(const tune *t);
json_t *tune_point_json(tune_point p);
/* Takes up what a stopped run of the same command left in t->out. */
kvasir_status tune_take_saved(tune *t);
/* What the stopped run found when it compared these two; NULL: it did not. A borrowed reference. */
const json_t *tune_saved_comparison(const tune *t, tune_step step, tune_point a, tune_point b);

#endif
