/* What the programs that measure share: the command line, a model with a sequence of real text, timed steps. They use the
   public header alone, and end the process with a sentence where something fails. */
#ifndef KVASIR_BENCH_MEASURE_H
#define KVASIR_BENCH_MEASURE_H

#include "kvasir/kvasir.h"

typedef struct options {
    const char *model, *text, *depths, *kv;
    int threads, prefill, decode, repeat;
} options;

typedef struct bench {
    const options *o;
    kvasir_model *model;
    kvasir_engine *engine;
    kvasir_engine_info info;
    kvasir_seq *seq;
    const char *kv; /* its type */
    int32_t *ids;   /* the text again and again, as many as the deepest measurement needs */
    int n_ctx;
    void *user; /* of the function that measure_depths calls */
} bench;

void give_up(const char *what);
void must(kvasir_status status);

/* MODEL TEXT [--threads N] [--prefill N] [--decode N] [--depths N,N] [--repeat N] [--kv T], where `o` has the defaults. */
void parse(int argc, char **argv, options *o);

/* Opens the model and reads the text. No sequence yet. */
void measure_open(const options *o, bench *b);
void measure_close(bench *b);

/* Goes through the depths with a sequence of this KV type: fills it to each and calls fn. */
void measure_depths(bench *b, const char *kv, void (*fn)(bench *b, int depth));

/* Tokens per second of `n` tokens in steps of `piece` behind `depth` ones. The ids are given, not sampled: what is measured
   is the model. */
double measure_rate(const bench *b, int depth, int n, int piece);
/* The best of --repeat. */
double measure_best(const bench *b, int depth, int n, int piece);

/* Calls fn for each of the words between commas. */
void each_word(const char *list, void (*fn)(void *user, const char *word), void *user);

#endif
