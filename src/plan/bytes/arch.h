/* Shared between the files that read an architecture's keys for planning. */
#ifndef KVASIR_PLAN_BYTES_ARCH_H
#define KVASIR_PLAN_BYTES_ARCH_H

#include "plan/bytes/bytes.h"

typedef struct reading {
    const gguf *g;
    const char *arch; /* the prefix of its keys */
    plan_shape *shape;
    int n_main; /* layers that are not there for predicting further tokens */
} reading;

/* ARCHITECTURE.name, an integer. Absent and not required: *out stays. */
kvasir_status read_count(const reading *r, const char *name, bool required, int min, int max, int *out);
/* The same for a key that may be one number for all layers or an array. `fallback` where it is absent (-1: it has to
   be there). `out` has n_layer entries. */
kvasir_status read_per_layer(const reading *r, const char *name, int min, int max, int fallback, int *out);
bool has_key(const reading *r, const char *name);
/* Does the file list this tensor of the layer? `format` takes the layer's number. */
bool has_tensor(const reading *r, const char *format, int il);

/* Grouped-query attention in every layer: head_count_kv, key_length, value_length. */
kvasir_status read_gqa(const reading *r);

/* One per family. */
kvasir_status arch_read_gqa(const reading *r);
/* Of an architecture without a reader of its own: plain attention, if nothing in the header speaks against it.
   KVASIR_E_UNSUPPORTED or KVASIR_E_FORMAT: it does, or does not say enough. */
kvasir_status arch_read_assumed(const reading *r);
kvasir_status arch_read_gemma3(const reading *r);
kvasir_status arch_read_gemma4(const reading *r);
kvasir_status arch_read_gpt_oss(const reading *r);
kvasir_status arch_read_hybrid(const reading *r);
kvasir_status arch_read_mla(const reading *r);
kvasir_status arch_read_dsa(const reading *r);
kvasir_status arch_read_deepseek4(const reading *r);

#endif
