/* What the measuring programs share: the command line, a model with a sequence of real text, timed steps. They use the
   public header alone. When something fails they end the process with a sentence. */
#ifndef KVASIR_BENCH_MEASURE_H
#define KVASIR_BENCH_MEASURE_H

#include "kvasir/kvasir.h"

typedef struct options {
    const char *model, *text, *depths, *kv, *cpu; /* cpu: a level, NULL: the best */
    int threads, prefill, decode, repeat;
} options;

enum { MAX_TYPES = 16, MAX_TURNS = 64 };

typedef struct bench {
    const options *o;
    kvasir_model *model;
    kvasir_engine *engine;
    kvasir_engine_info info;
    int n_types;
    kvasir_seq *seqs[MAX_TYPES];
    char types[MAX_TYPES][32];
    kvasir_seq *seq; /* the sequence at work, and its type: see measure_use */
    const char *kv;
    int32_t *ids; /* the text over and over, as many tokens as the deepest measurement needs */
    int n_ctx;
    void *user; /* of the function that measure_depths calls */
} bench;

/* Prints `what` and ends the process. */
void give_up(const char *what);
/* Ends the process with the library's message unless the status is KVASIR_OK. */
void must(kvasir_status status);

/* Reads MODEL TEXT [--threads N] [--prefill N] [--decode N] [--depths N,N] [--repeat N] [--kv T] [--cpu LEVEL] into
   `o`, which holds the defaults. */
void parse(int argc, char **argv, options *o);

/* Opens the model and reads the text. Makes no sequence yet. */
void measure_open(const options *o, bench *b);
void measure_close(bench *b); /* frees all of it */

/* Goes through the depths, which must grow. Makes a sequence for each of the KV types (with commas between them), fills
   all of them to a depth, and calls fn. */
void measure_depths(bench *b, const char *types, void (*fn)(bench *b, int depth));
/* Puts the sequence of one type to work. */
void measure_use(bench *b, int type);

/* Tokens per second of `n` tokens in steps of `piece`, behind `depth` tokens. The ids are given and not sampled, since
   the model is what is measured. */
double measure_rate(const bench *b, int depth, int n, int piece);
/* The median over up to MAX_TURNS turns of one rate over another. */
double measure_paired(const double *rate, const double *other, int turns);

typedef struct measured {
    double best, median;  /* of --repeat turns, tokens per second */
    double over_previous; /* speed over that of the type before it, the median of pairs; 1 for the first type */
} measured;

/* Measures each type. The types take turns, forwards and backwards, so that whatever else the machine does meets all
   of them. Memory may be half as fast a minute later. The best of a few turns need not level that out; pairs from
   one turn do. */
void measure_types(bench *b, int depth, int n, int piece, measured out[MAX_TYPES]);

#endif
