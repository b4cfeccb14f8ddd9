/* kvasir eval: what eval.c (options, logits) and text.c (perplexity, divergence) share. */
#ifndef KVASIR_CLI_EVAL_EVAL_H
#define KVASIR_CLI_EVAL_EVAL_H

#include "cli/session/session.h"

typedef struct eval_args {
    const char *model, *ids, *at, *logits, *ppl, *kld, *ref_kv;
    int greedy, chunks;
    engine_args engine;
    output_args output;
} eval_args;

/* --ppl and --kld; the exit status. */
int eval_perplexity(const eval_args *a);
int eval_divergence(const eval_args *a);

/* Index of the largest entry, the first of equals. */
int eval_argmax(const float *row, int n);
/* log of the sum of exp over a row, in double. */
double eval_logsumexp(const float *row, int n);
/* Divergence, in nats, of row y's predictions from row x's, given their log-sum-exps. */
double eval_kld(const float *x, const float *y, int n, double lse_x, double lse_y);

#endif
