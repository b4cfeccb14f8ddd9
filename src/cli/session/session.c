/* Opening what a command computes with, and the first JSON fields that describe it. */
#include "cli/session/session.h"
#include "cli/session/remote.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/cores.h"
#include "base/format.h"
#include "base/mem.h"

static void print_engine_note(void *user, const char *text)
{
    (void)user;
    note("%s", text);
}

static int many_rows(const kvasir_model_info *info)
{
    enum { BYTES = 128 << 20, MOST = 512, LEAST = 16 };
    return max_int(LEAST, min_int(MOST, BYTES / (4 * max_int(info->n_vocab, 1))));
}

void print_model_notes(const kvasir_model *m)
{
    for (int i = 0; i < kvasir_model_get_info(m)->n_notes; i++) note("%s", kvasir_model_note(m, i));
}

void note_double_bos(const kvasir_model_info *info, const int32_t *ids, size_t n)
{
    if (info->adds_bos && n > 1 && ids[0] == info->bos && ids[1] == info->bos)
        note("the text begins with BOS (token %d), and the vocabulary adds one: there are two; leave out the text's",
             info->bos);
}

int session_open_model(const char *path, const engine_args *e, const output_args *o, session *s)
{
    *s = (session){.ctx = e->ctx, .verbose = o->verbose};
    output_apply(o);
    catch_interrupts();
    kvasir_status status = kv_type_text(e, s->kv, sizeof s->kv);
    if (status != KVASIR_OK) return failed(status);
    int code = model_path(path, s->path);
    if (code != EXIT_DONE) return code;
    double started = clock_now();
    status = kvasir_model_open(s->path, NULL, &s->model);
    if (status != KVASIR_OK) return failed_model(status);
    s->info = kvasir_model_get_info(s->model);
    print_model_notes(s->model);
    kvasir_kv_info kv;
    status = kvasir_model_kv(s->model, s->kv, 1, &kv); /* a wrong --kv is said before the weights are read */
    if (status != KVASIR_OK) return failed(status);
    s->load_s = clock_now() - started;
    return EXIT_DONE;
}

kvasir_status session_text_ids(const session *s, const char *text, size_t n_text, size_t need, int32_t **ids, size_t *n)
{
    const kvasir_model_info *info = s->info;
    int32_t *own = NULL;
    *ids = NULL;
    TRY(kvasir_tokenize(s->model, text, n_text, 1, 0, &own, n));
    if (info->adds_eos && *n > 0 && own[*n - 1] == info->eos) --*n;
    size_t start = info->adds_bos && *n > 0 && own[0] == info->bos, again = *n - start;
    if (again > 0) {
        *ids = mem_alloc(need, sizeof **ids);
        for (size_t i = 0; *ids && i < need; i++) (*ids)[i] = own[i < *n ? i : start + (i - *n) % again];
    }
    kvasir_free(own);
    return again == 0 || *ids ? KVASIR_OK : fail_memory(need * sizeof **ids);
}

/* What waits at a barrier for a thread that has no core of its own waits for the scheduler. */
static void note_crowd(int threads)
{
    const int cores = cpu_count();
    if (threads > cores)
        note("-t %d is more than the %d core%s that can be used: the threads take turns, and decoding can become "
             "several times "
             "slower; -t %d is the most that helps",
             threads, cores, cores == 1 ? "" : "s", cores);
}

int session_load(const engine_args *e, int max_logits, session *s)
{
    note_crowd(e->threads);
    double started = clock_now();
    kvasir_engine_options options = {.n_threads = e->threads,
                                     .cpu = cpu_choice(e->cpu),
                                     .kv_memory = e->kv_memory,
                                     .max_batch = e->chunk,
                                     .max_logits = max_logits == SESSION_MANY_ROWS ? many_rows(s->info) : max_logits,
                                     .log = print_engine_note};
    kvasir_status status = kvasir_engine_create(&options, &s->engine);
    if (status != KVASIR_OK) return failed(status);
    interrupt_engine(s->engine);
    progress bar = progress_start("loading", "B");
    status = kvasir_engine_load(s->engine, s->model, progress_callback, &bar);
    progress_end(&bar);
    if (status != KVASIR_OK) return failed_model(status);
    s->load_s += clock_now() - started;
    if (s->verbose) {
        kvasir_engine_info info;
        char took[FORMAT_BYTES];
        kvasir_engine_get_info(s->engine, &info);
        note("%s, %s, %d thread%s, weights %s, workspace %s, KV budget %s, loaded in %s", info.cpu_model,
             info.cpu_level, info.n_threads, plural((uint64_t)info.n_threads), bytes_text(info.weights_bytes),
             bytes_text(info.workspace_bytes), bytes_text(info.kv_budget), format_time(s->load_s, took));
    }
    return EXIT_DONE;
}

int session_open(const char *path, const engine_args *e, const output_args *o, int max_logits, session *s)
{
    int code = session_open_model(path, e, o, s);
    return code == EXIT_DONE ? session_load(e, max_logits, s) : code;
}

void session_close(session *s)
{
    interrupt_engine(NULL);
    kvasir_engine_free(s->engine);
    kvasir_model_close(s->model);
    *s = (session){0};
}

int session_sequence(const session *s, const char *kv, kvasir_seq **out)
{
    kvasir_seq_options o = {.n_ctx = s->ctx, .kv = kv ? kv : s->kv};
    kvasir_status status = kvasir_seq_create(s->engine, s->model, &o, out);
    if (status == KVASIR_OK) return EXIT_DONE;
    int code = failed(status);
    return status == KVASIR_E_UNSUPPORTED ? EXIT_USAGE : code; /* the KV type; the model has been loaded */
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

json_t *json_memory(const kvasir_engine *e)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(e, &info);
    return json_pack("{s:o, s:o, s:o, s:o}", "rss_bytes", json_bytes(info.resident_bytes), "peak_rss_bytes",
                     json_bytes(info.peak_resident_bytes), "weights_bytes", json_bytes(info.weights_bytes),
                     "workspace_bytes", json_bytes(info.workspace_bytes));
}

json_t *json_kv(const kvasir_engine *e, const kvasir_seq *s)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(e, &info);
    return json_pack("{s:s, s:s, s:o, s:o}", "type_k", kvasir_seq_kv_type(s, 0), "type_v", kvasir_seq_kv_type(s, 1),
                     "bytes_used", json_bytes(kvasir_seq_kv_bytes(s)), "bytes_budget", json_bytes(info.kv_budget));
}
