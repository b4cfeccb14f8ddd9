/* How tokens are chosen: the options that say it, and the sampler made of them. */
#ifndef KVASIR_CLI_SESSION_SAMPLING_H
#define KVASIR_CLI_SESSION_SAMPLING_H

#include "cli/args/options.h"
#include "kvasir/kvasir.h"

typedef struct sampling_args {
    float temperature, top_p, min_p, typical, repeat_penalty, frequency_penalty, presence_penalty;
    float dry_multiplier, dry_base, xtc_probability, xtc_threshold;
    int top_k, repeat_last_n, dry_allowed_length, dry_last_n;
    int64_t seed; /* -1: from the system */
    cli_list dry_breakers, logit_bias;
} sampling_args;

extern const cli_option sampling_options[];

/* Before the options are read: none of them says anything. */
void sampling_defaults(sampling_args *a);
/* Behind them: what no option has said is taken from the model's file (general.sampling.*, which a note names), and what that
   leaves open from the defaults of llama.cpp's programs, which people know. */
void sampling_complete(sampling_args *a, const kvasir_model *m);

/* The library's form of the options, as for sampling_create. *bias, which *o refers to, is the caller's (mem_free) in any
   case. */
kvasir_status sampling_options_for(sampling_args *a, unsigned turn, kvasir_sampler_options *o,
                                   kvasir_logit_bias **bias);

/* A sampler for one generation. `turn` is mixed into the seed so that each answer of a chat draws anew; the
   context's ids go to the penalties. *seed is the one in use (chosen by the system for -1, and kept in `a`).
 */
kvasir_status sampling_create(sampling_args *a, const kvasir_model *m, unsigned turn, kvasir_sampler **out);

#endif
