/* The opened model, as the engine's files see it. */
#ifndef KVASIR_ENGINE_MODEL_H
#define KVASIR_ENGINE_MODEL_H

#include "engine/model_handle.h"
#include "model/model.h"
#include "base/notes.h"

struct kvasir_model {
    gguf *gguf;
    tok *tok; /* NULL when it could not be made (inspect_only) */
    hparams hparams;
    bool has_hparams; /* false: an architecture or key that is not supported */
    bool runs;        /* all tensors were found and fit, and there is a tokenizer */
    bool header_only;
    arena memory;
    const char **problems;
    int n_problems;
    bool is_other; /* an adapter, a part that sees, ...: the only problem says which, and nothing can be planned */
    notes notes;
    kvasir_model_info info;
};

/* The layout of this model's KV for a type text ("q8:q4", NULL: f16). Freed with kv_layout_free. */
kvasir_status model_kv_layout(const kvasir_model *m, const char *kv, kv_layout *out);

#endif
