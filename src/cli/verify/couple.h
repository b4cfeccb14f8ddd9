/* A KV type beside f16 in the same steps: what the parts of verify that judge quality share. */
#ifndef KVASIR_CLI_VERIFY_COUPLE_H
#define KVASIR_CLI_VERIFY_COUPLE_H

#include "cli/verify/verify.h"

/* What a type may cost. docs/verify.md says where the numbers come from. */
typedef struct limits {
    const char *type;
    double kld, ppl_ratio, same_top;
} limits;

/* [0] has the type that is verified, [1] the reference. */
typedef struct couple {
    kvasir_seq *seq[2];
    const float *logits[2]; /* of the last step */
} couple;

/* Sums over rows of logits of both; `squares` of how far the second loss lies from the first. */
typedef struct tally {
    double kld, nll[2], squares;
    double *each; /* divergence of each row, `room` of them at most; NULL: not wanted */
    int same_top, n, room;
} tally;

/* Sequences of n_ctx tokens: of the type that is verified, and of the reference. */
kvasir_status couple_open(const verify *w, int n_ctx, couple *c);
void couple_close(couple *c);
/* One step of both; c->logits as `want` asks. */
kvasir_status couple_step(const verify *w, couple *c, const int32_t *ids, int n, kvasir_want want);
/* Appends ids in pieces; with `last` the last one's logits are there afterwards. `bar` may be NULL. */
kvasir_status couple_read(const verify *w, couple *c, const int32_t *ids, int n, int last, progress *bar);
/* Adds row `row` of c->logits, behind which `target` comes. */
void couple_count(const verify *w, const couple *c, size_t row, int32_t target, tally *t);
/* Of K's and V's type the looser ones. */
limits couple_limits(const couple *c);
/* Adds a row of quality: what was predicted, its bounds (NAN: none), what was measured. */
kvasir_status couple_add(verify *w, const char *name, const char *unit, double predicted, double low, double high,
                         double measured, const char *why);

#endif
