/* Shared between the files of kvasir plan. */
#ifndef KVASIR_CLI_PLAN_PLAN_H
#define KVASIR_CLI_PLAN_PLAN_H

#include "cli/files/quality_file.h"
#include "cli/session/session.h"

enum { PLAN_DEPTHS = 32, PLAN_SAMPLES = 512, PLAN_TYPE_BYTES = 16 };

typedef struct plan_speed_args {
    const char *machine, *sweep, *depths;
    float min_tps;
} plan_speed_args;

/* What speed is predicted from. Zeroed: it is not. */
typedef struct plan_speed {
    kvasir_machine *machine; /* NULL: none is known */
    kvasir_speed_sample *samples;
    char (*types)[PLAN_TYPE_BYTES]; /* that the samples name */
    int n_samples;
    int depth[PLAN_DEPTHS], n_depths; /* asked for; n_depths 0: chosen for each model */
    double min_tps;
    const char *cpu;
} plan_speed;

/* The types that a plan has chosen, "q8" or "q8:q4". */
void plan_chosen_type(const kvasir_plan_model *m, char to[PLAN_TYPE_BYTES]);

/* Reads the machine's profile and the sweep. 0, or the exit status after saying what is wrong. A machine that was not asked for
   and is not there, or no profile, is no error; the latter is noted. */
int plan_speed_open(const plan_speed_args *a, const char *cpu, plan_speed *out);
void plan_speed_close(plan_speed *s);

/* What is predicted for a model with one pair of types. KVASIR_E_UNSUPPORTED where nothing is. */
kvasir_status plan_speed_at(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m, const char *kv,
                            int depth, kvasir_speed *out);
/* The depths to show for a model: those asked for, or a few up to its context. */
int plan_speed_depths(const plan_speed *s, const kvasir_plan_model *m, int depths[PLAN_DEPTHS]);
/* The deepest context at which the model decodes with at least min_tps; -1: none, or nothing is predicted. */
int plan_speed_reach(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m);
/* Milliseconds of a token when the context goes a tenth beyond what fits: what is too much comes from the disk each time. 0: not
   known. */
double plan_speed_spilled(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m, int *depth);

void plan_speed_print(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m);
/* Says on stderr that --depths was given and speed is predicted of no model. */
void plan_speed_note_unused(const plan_speed *s, const kvasir_plan *p);
json_t *plan_speed_json(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m);

/* What is known of the quality of the model's KV types: rows beside f16, and what is not known of the chosen one. */
void plan_quality_print(const quality *q, const kvasir_plan_model *m);
/* Says on stderr that the type that was asked for has failed when it was measured. */
void plan_quality_warn(const quality *q, const kvasir_plan_model *m);
json_t *plan_quality_json(const quality *q);

/* Has a model a file without tensors? Then the total is what it takes at least. */
int plan_lacks_weights(const kvasir_plan *p);

/* The document; for one model its fields stand at the top, for several in "models", with "totals". */
/* `q` has one entry for each model. */
json_t *plan_document(const kvasir_plan *p, const plan_speed *s, const quality *q);

#endif
