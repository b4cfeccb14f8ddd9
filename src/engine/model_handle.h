/* What other files of the engine may know about an opened model. */
#ifndef KVASIR_ENGINE_MODEL_HANDLE_H
#define KVASIR_ENGINE_MODEL_HANDLE_H

#include "tok/tok.h"

/* The model's vocabulary; NULL when it could not be made (an inspect_only model). Lives as long as the model. */
const tok *model_tok(const kvasir_model *m);
int model_n_vocab(const kvasir_model *m); /* how many logits a row has; at least tok_size() */

#endif
