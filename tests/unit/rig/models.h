/* The tiny reference models of models/ in the data folders (data_path in test.h): their manifest, one case
   at a time. */
#ifndef KVASIR_TEST_MODELS_H
#define KVASIR_TEST_MODELS_H

#include "test.h"

#include "base/cpu.h"

#include <jansson.h>

/* Whether this machine has a level of kernels: "auto", "ref", "avx2" ... */
static inline int level_is_here(const char *name)
{
    cpu_level level;
    return cpu_level_parse(name, &level) == KVASIR_OK;
}

enum { EXIT_SKIPPED = 77 };

typedef struct model_case {
    const char *name, *architecture, *weights;
    int n_vocab, n_rows;
    int32_t *prompt, *positions, *decode;
    int n_prompt, n_positions, n_decode;
    double self_nmse, peer_nmse; /* peer_nmse 0: an F32 case */
    float *logits;               /* n_rows x n_vocab: positions, then decode */
    char gguf[1024];
} model_case;

static inline int32_t *case_ints(const json_t *c, const char *key, int *n)
{
    const json_t *a = json_object_get(c, key);
    *n = (int)json_array_size(a);
    int32_t *v = calloc((size_t)*n + 1, sizeof *v);
    for (int i = 0; i < *n; i++) v[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
    return v;
}

static inline void load_case(const json_t *c, model_case *m)
{
    char name[256];
    size_t n = 0;
    *m = (model_case){.name = json_string_value(json_object_get(c, "name")),
                      .architecture = json_string_value(json_object_get(c, "architecture")),
                      .weights = json_string_value(json_object_get(c, "weights")),
                      .n_vocab = (int)json_integer_value(json_object_get(c, "n_vocab")),
                      .self_nmse = json_number_value(json_object_get(c, "self_nmse")),
                      .peer_nmse = json_number_value(json_object_get(c, "peer_nmse"))};
    m->prompt = case_ints(c, "prompt", &m->n_prompt);
    m->positions = case_ints(c, "positions", &m->n_positions);
    m->decode = case_ints(c, "decode", &m->n_decode);
    m->n_rows = m->n_positions + m->n_decode;
    (void)snprintf(name, sizeof name, "models/%s", json_string_value(json_object_get(c, "logits")));
    m->logits = (float *)(void *)read_data(name, &n);
    if (!m->logits || n != sizeof(float) * (size_t)m->n_rows * (size_t)m->n_vocab) {
        print_error("%s: %zu bytes\n", name, n);
        abort();
    }
    (void)snprintf(name, sizeof name, "models/%s", json_string_value(json_object_get(c, "gguf")));
    const char *path = data_path(name);
    (void)snprintf(m->gguf, sizeof m->gguf, "%s", path ? path : name);
}

static inline void free_case(model_case *m)
{
    free(m->prompt);
    free(m->positions);
    free(m->decode);
    free(m->logits);
}

/* The manifest's cases. The caller releases *root, which owns them, with json_decref. */
static inline json_t *read_cases(json_t **root)
{
    size_t n;
    char *text = read_data("models/manifest.json", &n);
    json_error_t error;
    *root = text ? json_loads(text, 0, &error) : NULL;
    free(text);
    return *root ? json_object_get(*root, "cases") : NULL;
}

#endif
