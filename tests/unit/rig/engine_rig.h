/* A tiny model loaded into an engine, and the few calls that every test of the engine makes. */
#ifndef KVASIR_ENGINE_RIG_H
#define KVASIR_ENGINE_RIG_H

#include "test.h"

#include "engine/engine.h"
#include "model_builder.h"

typedef struct rig {
    tiny_file file;
    kvasir_model *m;
    kvasir_engine *e;
    int n_vocab;
} rig;

enum { RIG_LOGITS = 512 };

static inline rig rig_open(const tiny_model *t, const kvasir_engine_options *o)
{
    rig r = {.file = tiny_make(t), .n_vocab = t->n_vocab};
    kvasir_engine_options with = *o;
    if (!with.kv_memory) with.kv_memory = 64u << 20;
    if (!with.max_logits) with.max_logits = RIG_LOGITS;
    assert_ok(kvasir_model_open(r.file.path, NULL, &r.m));
    assert_ok(kvasir_engine_create(&with, &r.e));
    assert_ok(kvasir_engine_load(r.e, r.m, NULL, NULL));
    return r;
}

static inline void rig_close(rig *r)
{
    kvasir_engine_free(r->e);
    kvasir_model_close(r->m);
    tiny_remove(&r->file);
}

static inline kvasir_seq *rig_seq(const rig *r, int n_ctx)
{
    kvasir_seq *s = NULL;
    assert_ok(kvasir_seq_create(r->e, r->m, &(kvasir_seq_options){.n_ctx = n_ctx}, &s));
    return s;
}

/* The id at a position of the text that all sequences of these tests hold. */
static inline int32_t rig_id(const rig *r, int pos)
{
    return (pos * 37 + pos / 11) % r->n_vocab;
}

static inline kvasir_status rig_step(const rig *r, kvasir_seq *s, int n, kvasir_want want, const float **logits)
{
    int from = kvasir_seq_length(s);
    int32_t *ids = malloc(sizeof *ids * (size_t)n);
    for (int i = 0; i < n; i++) ids[i] = rig_id(r, from + i);
    kvasir_work w = {.seq = s, .ids = ids, .n = n, .want = want};
    kvasir_status status = kvasir_step(r->e, &w, 1);
    if (logits) *logits = w.logits;
    free(ids);
    return status;
}

/* Appends the next n tokens. */
static inline void rig_feed(const rig *r, kvasir_seq *s, int n)
{
    assert_ok(rig_step(r, s, n, KVASIR_WANT_NONE, NULL));
}

/* Logits of the token at `pos` (malloc), from a sequence of its own. */
static inline float *rig_logits(const rig *r, int pos)
{
    const float *logits = NULL;
    size_t bytes = sizeof(float) * (size_t)r->n_vocab;
    kvasir_seq *s = rig_seq(r, pos + 1);
    assert_ok(rig_step(r, s, pos + 1, KVASIR_WANT_LAST, &logits));
    float *copy = malloc(bytes);
    memcpy(copy, logits, bytes);
    kvasir_seq_free(s);
    return copy;
}

/* The next token of a sequence gives the same bits as in a sequence to which nothing has happened. */
static inline void rig_check_next(const rig *r, kvasir_seq *s)
{
    const float *logits = NULL;
    float *want = rig_logits(r, kvasir_seq_length(s));
    assert_ok(rig_step(r, s, 1, KVASIR_WANT_LAST, &logits));
    assert_memory_equal(want, logits, sizeof(float) * (size_t)r->n_vocab);
    free(want);
}

static inline uint64_t rig_kv_used(const rig *r)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(r->e, &info);
    return info.kv_used;
}

#define assert_message(text)                                                                                           \
    do {                                                                                                               \
        if (!strstr(kvasir_message(), text)) {                                                                         \
            print_error("\"%s\" does not say \"%s\"\n", kvasir_message(), text);                                       \
            _fail(__FILE__, __LINE__);                                                                                 \
        }                                                                                                              \
    } while (0)

#define assert_fails(status, text, call)                                                                               \
    do {                                                                                                               \
        assert_int_equal(call, status);                                                                                \
        assert_message(text);                                                                                          \
    } while (0)

#endif
