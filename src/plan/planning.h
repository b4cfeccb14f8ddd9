/* Shared between the files that make a plan. */
#ifndef KVASIR_PLAN_PLANNING_H
#define KVASIR_PLAN_PLANNING_H

#include "engine/model.h"
#include "plan/bytes/bytes.h"
#include "plan/peer/peer.h"

enum { PLAN_MAX_MODELS = 64, PLAN_MAX_USERS = 1 << 10, PLAN_LEVELS = 4, PLAN_MAX_TEXTS = 32 };

/* One model of a plan while it is made. */
typedef struct planned {
    const kvasir_model *model;
    plan_shape shape; /* of a known model */
    weights weights;  /* of a bound one: tensors found, nothing loaded */
    bool known, bound;
    const char *says; /* why it is not known, or what was assumed */
    step_workspace workspace;
    uint64_t weights_bytes, buffer_bytes, state_bytes, header_bytes; /* state_bytes: of one sequence */
    plan_kv kv[PLAN_LEVELS];                                         /* for each level that can hold the model's rows */
    bool holds[PLAN_LEVELS];
    int target, ctx; /* tokens: wanted, chosen */
} planned;

typedef struct planning {
    kvasir_plan *plan; /* what is being filled in */
    arena *memory;     /* of the plan */
    const kvasir_plan_options *o;
    planned *model;
    int n_models;
    const peer_type *peer_k, *peer_v;      /* types named in the options for a peer */
    kv_type level[PLAN_LEVELS][2];         /* K and V types in the order in which they are tried */
    int n_levels, chosen;                  /* chosen: level, -1 when no KV is known */
    uint64_t room, kv_room;                /* bytes for everything; of them for KV */
    const char **why, **remedies, **notes; /* PLAN_MAX_TEXTS each */
} planning;

/* Appends a sentence to the plan's reasons, remedies or notes. */
kvasir_status plan_say(planning *p, const char **list, int *n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* a + b, or the largest number. */
uint64_t plan_add(uint64_t a, uint64_t b);

/* choose.c: context and types of all models, fits, reasons, remedies. */
kvasir_status plan_choose(planning *p);
/* What is left for the KV of model i when the others have what was chosen, with `more` bytes than there are. */
uint64_t plan_kv_room_of(const planning *p, int i, uint64_t more);
/* peer/command.c: the peer's table and command line for a model with its chosen context. */
kvasir_status plan_fill_peer(planning *p, const planned *m, kvasir_plan_model *out);

#endif
