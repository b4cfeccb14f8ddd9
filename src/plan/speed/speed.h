/* Speed before loading: what a model asks of a machine (from its header), over what the machine can do (from a profile).
   Pure. Decoding reads every weight and every page of KV that a token sees; reading a prompt multiplies by every weight and
   scores every pair of tokens. Each of these parts is a quantity of the model over a rate of the machine. */
#ifndef KVASIR_PLAN_SPEED_SPEED_H
#define KVASIR_PLAN_SPEED_SPEED_H

#include "gguf/gguf.h"
#include "kv/kv.h"
#include "kvasir/kvasir.h"
#include "model/model.h"

/* One type of weights: what a token's step reads and multiplies. Of routed experts those that one token uses. */
typedef struct speed_weight {
    quant_type type;
    double bytes, macs; /* of the layers */
    double head_bytes;  /* of the output matrix: read for rows whose logits are wanted */
    double all_bytes;   /* of the layers, every expert: what a long step reads */
} speed_weight;

typedef struct speed_shape {
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff; /* n_ff: of all experts that a token uses */
    speed_weight weight[QUANT_TYPES];
    int n_weights;
    int n_full, n_windowed, window; /* layers by what they see */
} speed_shape;

void speed_shape_of(const gguf *g, const hparams *h, speed_shape *out);

/* Where and how it runs. */
typedef struct speed_setup {
    const kvasir_machine *machine;
    const char *level; /* CPU level; NULL: the machine's best */
    int threads;       /* 0: all cores that the profile has */
    int chunk;         /* prompt tokens of one step */
    kv_type k, v;
    double read_bytes_per_s; /* how fast memory is in this hour; 0: as the profile says */
} speed_setup;

/* Seconds, in the parts that a measurement can correct apart: what does not depend on the depth, and what grows with it. */
typedef struct speed_parts {
    double flat, deep;
} speed_parts;

/* Whether the profile tells enough: the names of what is missing go to *missing. */
bool speed_known(const speed_setup *s, const char **missing);
/* Whether the rates come from kernels that were measured (kvasir_probe), not from the machine's limits alone. */
bool speed_from_kernels(const speed_setup *s);
/* Bytes per second that the setup's threads read of memory. */
double speed_read_rate(const speed_setup *s);
/* One token behind `depth` ones. */
speed_parts speed_decode(const speed_shape *m, const speed_setup *s, int depth);
/* n tokens of a prompt behind `depth` ones. */
speed_parts speed_prefill(const speed_shape *m, const speed_setup *s, int depth, int n);
/* Bytes that the token reads at least, over the machine's best bandwidth. */
double speed_floor(const speed_shape *m, const speed_setup *s, const kv_layout *l, int depth);

/* A measured time. Kind 0 is the pair of KV types that is asked for; other pairs have numbers of their own behind it. */
enum { SPEED_KINDS = 1 + KV_TYPES * KV_TYPES };
typedef struct speed_sample {
    speed_parts predicted;
    double measured; /* seconds */
    int kind;        /* < SPEED_KINDS */
} speed_sample;
/* What both parts are multiplied with, and how far measurements lie from that: the standard deviation of their quotient,
   which is larger the less the samples agree with each other. */
typedef struct speed_fit {
    double flat, deep, error;
} speed_fit;
/* How much of a prediction is kept beside measurements, each in measurements that would say the same: of the speed in common, and
   of each part's own deviation from it. */
typedef struct speed_trust {
    double common, parts;
} speed_trust;
/* Least squares of the relative errors of the samples and, weighted by the trust, of the deviations from the prediction: one that
   all parts have in common (the machine is as fast as it is in that minute), one of the flat part, which is that of all kinds,
   since weights do not depend on the KV type, and one of each kind's deep part. So what the samples say little about stays as
   predicted. trust.parts must be above 0: without it samples of one depth would not tell the parts apart. */
speed_fit speed_fit_samples(const speed_sample *samples, int n, speed_trust trust);

#endif
