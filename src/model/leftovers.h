/* What a file has and nobody asked for: nothing in a file is dropped in silence. */
#ifndef KVASIR_MODEL_LEFTOVERS_H
#define KVASIR_MODEL_LEFTOVERS_H

#include "model/model.h"
#include "base/notes.h"

/* The keys below the architecture's prefix that no reader has asked for since gguf_watch began. Some have no effect on the
   result, some have none with the value that they hold, and those that would change the result are refused
   (KVASIR_E_UNSUPPORTED naming the key). Keys that are not known here are named in a note. */
kvasir_status leftover_keys(const gguf *g, const hparams *h, notes *to);

/* The tensors that have not been bound: harmless ones, parts that have a note (vision, prediction of further tokens), and the
   others, which are refused (KVASIR_E_UNSUPPORTED naming one). */
kvasir_status leftover_tensors(const gguf *g, const weights *w, notes *to);

#endif
