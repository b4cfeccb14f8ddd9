/* Fuzz target of whole model files: any bytes are opened as a model, without and with inspect_only; what opens and is
   small is loaded and runs three tokens on one thread. What a file says about itself may not cost more memory than the
   file's size justifies. */
#include "kvasir/kvasir.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_FILE = 1 << 20, KV_BYTES = 8 << 20, MAX_BATCH = 4 };

static void require(int true_)
{
    if (!true_) abort();
}

/* Three tokens, in a step of two and a step of one, and a choice. */
static void run(kvasir_engine *e, const kvasir_model *m)
{
    kvasir_seq *s = NULL;
    kvasir_sampler *sampler = NULL;
    const kvasir_model_info *info = kvasir_model_get_info(m);
    int32_t ids[3] = {0, info->n_vocab - 1, info->n_vocab / 2};
    if (kvasir_seq_create(e, m, NULL, &s) != KVASIR_OK) return;
    kvasir_work w = {.seq = s, .ids = ids, .n = 2, .want = KVASIR_WANT_LAST};
    kvasir_status status = kvasir_step(e, &w, 1);
    require(kvasir_seq_length(s) == (status == KVASIR_OK ? 2 : 0));
    if (status == KVASIR_OK &&
        kvasir_sampler_create(m, &(kvasir_sampler_options){.temperature = 1}, &sampler) == KVASIR_OK) {
        ids[2] = kvasir_sampler_choose(sampler, w.logits);
        require(ids[2] >= 0 && ids[2] < info->n_vocab);
        w = (kvasir_work){.seq = s, .ids = ids + 2, .n = 1, .want = KVASIR_WANT_ALL};
        (void)kvasir_step(e, &w, 1);
        kvasir_sampler_free(sampler);
    }
    kvasir_seq_free(s);
}

static void load(const kvasir_model *m)
{
    kvasir_engine *e = NULL;
    const kvasir_engine_options o = {.n_threads = 1, .kv_memory = KV_BYTES, .max_batch = MAX_BATCH, .max_logits = 2};
    require(kvasir_engine_create(&o, &e) == KVASIR_OK);
    if (kvasir_engine_load(e, m, NULL, NULL) == KVASIR_OK) run(e, m);
    kvasir_engine_free(e);
}

/* What a look at the model shows. */
static void inspect(const kvasir_model *m)
{
    const kvasir_model_info *info = kvasir_model_get_info(m);
    kvasir_kv_info kv;
    kvasir_tensor_info tensor;
    const char *key, *type;
    char *value;
    for (int i = 0; i < info->n_tensors; i++) require(kvasir_model_tensor(m, i, &tensor) == KVASIR_OK);
    for (int i = 0; i < info->n_metadata; i++)
        if (kvasir_model_metadata(m, i, &key, &type, &value) == KVASIR_OK) kvasir_free(value);
    for (int i = 0; i < info->n_problems; i++) require(kvasir_model_problem(m, i) != NULL);
    (void)kvasir_model_kv(m, "q8:q4", 1 << 20, &kv);
}

static void tokenize(const kvasir_model *m)
{
    int32_t *ids;
    char *text;
    size_t n_ids, n_text;
    if (kvasir_tokenize(m, "the <|end|> b\xc3\xa9\n", 17, 1, 1, &ids, &n_ids) != KVASIR_OK) return;
    if (kvasir_detokenize(m, ids, n_ids, 1, &text, &n_text) == KVASIR_OK) kvasir_free(text);
    kvasir_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[48];
    kvasir_model *m = NULL;
    if (n > MAX_FILE) return 0;
    int fd = memfd_create("model", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (kvasir_model_open(path, NULL, &m) == KVASIR_OK) {
        tokenize(m);
        load(m);
        kvasir_model_close(m);
    } else {
        require(m == NULL && *kvasir_message());
    }
    if (kvasir_model_open(path, &(kvasir_model_options){.inspect_only = 1}, &m) == KVASIR_OK) {
        inspect(m);
        kvasir_model_close(m);
    }
    (void)close(fd);
    return 0;
}
