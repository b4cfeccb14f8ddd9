/* The tokenizer that a GGUF file carries. */
#ifndef KVASIR_MODEL_VOCAB_H
#define KVASIR_MODEL_VOCAB_H

#include "base/mem.h"
#include "gguf/gguf.h"
#include "tok/tok.h"

/* Builds the tokenizer from the file's tokenizer.ggml.* keys. `pre_override` replaces tokenizer.ggml.pre when
   it is not NULL. The file stays open for as long as the tokenizer lives: the texts are the file's own. Free
   with tok_free. What had to be converted lies in `memory`, which lives as long; what was left out or guessed is said in `to`.
   KVASIR_E_FORMAT names the key that is missing or wrong. */
kvasir_status model_vocab(const gguf *g, const char *pre_override, arena *memory, notes *to, tok **out);

#endif
