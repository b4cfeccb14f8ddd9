/* Shared between bind.c and load.c. */
#ifndef KVASIR_MODEL_BIND_H
#define KVASIR_MODEL_BIND_H

#include "base/mem.h"
#include "model/model.h"

/* A tensor of the file and what it becomes: a vector of floats, or n matrices. */
typedef struct binding {
    const gguf_tensor *tensor;
    const float **vector;
    matrix *matrix;
    int n;
} binding;

struct binder {
    const gguf *g;
    weights *w;
    int room;
};

/* Bytes in the weights' region, a multiple of 64. */
size_t binding_bytes(const binding *b);

#endif
