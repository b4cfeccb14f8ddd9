/* What the programs that measure share: the command line, a model with a sequence of real text, timed steps. They use the
   public header alone, and end the process with a sentence where something fails. */
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
    kvasir_seq *seq; /* the one at work, and its type: see measure_use */
    const char *kv;
    int32_t *ids; /* the text again and again, as many as the deepest measurement needs */
    int n_ctx;
    void *user; /* of the function that measure_depths calls */
} bench;

void give_up(const char *what);
void must(kvasir_status status);

/* MODEL TEXT [--threads N] [--prefill N] [--decode N] [--depths N,N] [--repeat N] [--kv T] [--cpu LEVEL], where `o` has the defaults. */
void parse(int argc, char **argv, options *o);

/* Opens the model and reads the text. No sequence yet. */
void measure_open(const options *o, bench *b);
void measure_close(bench *b);

/* Goes through the depths, which grow, with a sequence of each of the KV types between commas: fills them all to a depth
   and calls fn. */
void measure_depths(bench *b, const char *types, void (*fn)(bench *b, int depth));
/* Puts the sequence of one type to work. */
void measure_use(bench *b, int type);

/* Tokens per second of `n` tokens in steps of `piece` behind `depth` ones. The ids are given, not sampled: what is measured
   is the model. */
double measure_rate(const bench *b, int depth, int n, int piece);
/* The median over up to MAX_TURNS turns of one rate over another. */
double measure_paired(const double *rate, const double *other, int turns);

typedef struct measured {
    double best, median;  /* of --repeat turns, tokens per second */
    double over_previous; /* speed over that of the type before it, the median of pairs; 1 for the first type */
} measured;

/* For each type. The types take turns, forwards and backwards: what else the machine does meets all of them. Memory may be
   half as fast a minute later, which the best of a few turns need not level out; pairs from one turn do. */
void measure_types(bench *b, int depth, int n, int piece, measured out[MAX_TYPES]);

#endif
