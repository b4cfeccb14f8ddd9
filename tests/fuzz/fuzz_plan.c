/* Fuzz target of planning: any bytes are opened as a header, whatever else is missing, and planned in several ways.
   What comes out must hold together. */
#include "kvasir/kvasir.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_FILE = 1 << 20 };

static void require(int true_)
{
    if (!true_) abort();
}

static void check_model(const kvasir_plan *p, const kvasir_plan_model *m)
{
    uint64_t weights = 0, states = 0;
    for (int i = 0; i < m->n_weights; i++) weights += m->weights[i].bytes;
    require(weights == m->weights_bytes);
    for (int i = 0; i < m->n_states; i++) states += m->states[i].bytes;
    require(states * (uint64_t)p->users == m->state_bytes || !m->kv_known);
    require(m->kv_bytes == m->kv_shared_bytes + (uint64_t)p->users * m->kv_sequence_bytes);
    require(m->total_bytes <= p->total_bytes);
    require(m->kv_known ? !m->kv_says == !m->kv_assumed : m->kv_says && *m->kv_says && !m->kv_assumed);
    for (int i = 0; i < m->n_streams; i++) require(m->streams[i].ratio > 0 && m->streams[i].n_heads > 0);
    if (!m->peer || m->peer->error) return;
    uint64_t bytes = 0;
    for (int i = 0; i < m->peer->n_buffers; i++) bytes += m->peer->buffers[i].k_bytes + m->peer->buffers[i].v_bytes;
    require(bytes == m->peer->kv_bytes && m->peer->n_args > 0);
}

static void plan(const kvasir_model *m, const kvasir_plan_options *o)
{
    const kvasir_model *const twice[] = {m, m};
    for (int models = 1; models <= 2; models++) {
        kvasir_plan *p = NULL;
        if (kvasir_plan_make(twice, models, o, &p) != KVASIR_OK) {
            require(p == NULL && *kvasir_message());
            continue;
        }
        require(p->fits == (p->missing_bytes == 0 && p->n_unknown == 0) && p->n_why > 0);
        require(p->missing_bytes == 0 || p->n_remedies > 0);
        int unknown = 0;
        for (int i = 0; i < models; i++) unknown += !p->models[i].kv_known;
        require(unknown == p->n_unknown);
        for (int i = 0; i < models; i++) check_model(p, &p->models[i]);
        kvasir_plan_free(p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const kvasir_plan_options ways[] = {
        {.budget = UINT64_C(1) << 36, .n_threads = 2},
        {.budget = 1 << 28, .n_threads = 1, .want_ctx = 1 << 20, .max_batch = 64, .peer = "llama.cpp"},
        {.budget = UINT64_C(1) << 40, .ctx = 1 << 27, .users = 1024, .prefix = 1000, .kv = "q8:q4", .n_threads = 64},
        {.budget = 1, .ctx = 100, .kv = "q5_1:iq4_nl", .users = 3, .prefix = 70, .peer = "llama.cpp", .n_threads = 1},
    };
    char path[48];
    kvasir_model *m = NULL;
    if (n > MAX_FILE) return 0;
    int fd = memfd_create("plan", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (kvasir_model_open(path, &(kvasir_model_options){.header_only = 1, .inspect_only = 1}, &m) == KVASIR_OK) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) plan(m, &ways[i]);
        kvasir_model_close(m);
    }
    (void)close(fd);
    return 0;
}
