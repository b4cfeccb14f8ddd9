#include "cli/session/generate.h"
#include "cli/session/wrap.h"
#include "cli/watch/watch.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

kvasir_status add_message(json_t *messages, const char *role, const char *text, size_t n)
{
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", json_text(text, n));
    if (json_array_append_new(messages, message) != 0) return fail_memory(n);
    return KVASIR_OK;
}

kvasir_status conversation_ids(const kvasir_model *m, const char *template_text, const json_t *messages, int ask,
                               int32_t **ids, size_t *n_ids)
{
    json_t *context = json_pack("{s:O, s:b}", "messages", messages, "add_generation_prompt", ask);
    char *json = context ? json_dumps(context, JSON_COMPACT) : NULL;
    json_decref(context);
    if (!json) return fail_memory(0);
    kvasir_status status = kvasir_template_ids(m, template_text, json, 0, ids, n_ids);
    free(json);
    return status;
}

/* ---- generation --------------------------------------------------------------------------------------- */

static void write_out(void *user, const char *text, size_t n)
{
    (void)user;
    (void)fwrite(text, 1, n, stdout);
}

wrap terminal_text(void)
{
    return (wrap){.out = write_out};
}

int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

typedef struct listener {
    reply *out;
    progress bar;
    int stream, at_terminal; /* the answer is written to stdout, which is one */
    wrap shown;
    const kvasir_seq *seq;
    watch watch;
    double last; /* when the last text came; 0: none yet */
    int depth;   /* then */
} listener;

/* With a draft, several tokens come at once. */
static void keep_watch(listener *l)
{
    double now = clock_now();
    int depth = kvasir_seq_length(l->seq);
    if (l->last > 0 && depth > l->depth) watch_step(&l->watch, depth - l->depth, depth, now - l->last);
    if (l->last > 0 && depth == l->depth) return;
    l->last = now;
    l->depth = depth;
}

static int on_prefill(void *user, uint64_t done, uint64_t total)
{
    listener *l = user;
    return progress_callback(&l->bar, done, total);
}

static int on_text(void *user, const char *text, size_t n)
{
    listener *l = user;
    reply *r = l->out;
    progress_end(&l->bar);
    keep_watch(l);
    if (r->n + n + 1 > r->room) {
        size_t room = 2 * (r->n + n) + 256;
        char *grown = mem_grow(r->text, r->room, room, 1);
        if (!grown) return 1;
        r->text = grown;
        r->room = room;
    }
    memcpy(r->text + r->n, text, n);
    r->n += n;
    r->text[r->n] = 0;
    if (l->stream) {
        if (l->at_terminal) {
            l->shown.width = terminal_columns(); /* it may have been resized */
            wrap_feed(&l->shown, text, n);
        } else {
            write_out(NULL, text, n);
        }
        if (fflush(stdout) != 0 || ferror(stdout)) return 1; /* nobody reads any more */
    }
    return interrupted();
}

kvasir_status generate(const session *s, kvasir_seq *seq, run_args *a, const int32_t *ids, size_t n_ids, unsigned turn,
                       int stream, reply *out)
{
    kvasir_sampler *sampler = NULL;
    *out = (reply){.text = mem_text("", 0), .room = 1};
    if (!out->text) return fail_memory(1);
    TRY(sampling_create(&a->sampling, s->model, turn, &sampler));
    /* Penalties see the whole conversation; kvasir_generate tells the sampler about the new part. */
    const int32_t *held = kvasir_seq_ids(seq);
    for (int i = 0; i < kvasir_seq_length(seq); i++) kvasir_sampler_accept(sampler, held[i]);
    listener l = {.out = out,
                  .bar = progress_start("reading the prompt:", "tokens"),
                  .stream = stream,
                  .at_terminal = stream && isatty(STDOUT_FILENO),
                  .shown = terminal_text(),
                  .seq = seq};
    kvasir_generate_options o = {
        .ids = ids,
        .n_ids = (int)n_ids,
        .n_predict = a->n_predict > 0 ? a->n_predict : 0,
        .stop = a->stop.items,
        .n_stop = a->stop.n,
        .special = a->special,
        .ignore_end = a->ignore_end,
        .chunk = a->engine.chunk,
        .sampler = sampler,
        .draft = a->draft && strcmp(a->draft, "lookup") == 0 ? KVASIR_DRAFT_LOOKUP : KVASIR_DRAFT_NONE,
        .on_prefill = on_prefill,
        .on_text = on_text,
        .user = &l,
    };
    kvasir_status status = kvasir_generate(s->engine, seq, &o, &out->ids, &out->n_ids, &out->stats);
    progress_end(&l.bar);
    if (l.at_terminal) wrap_end(&l.shown);
    kvasir_sampler_free(sampler);
    return status;
}

kvasir_status check_reply_args(const run_args *a)
{
    if (a->n_predict == 0)
        return fail(KVASIR_E_ARGUMENT, "--predict (-n) 0 would generate nothing; -1 means until the model ends");
    if (a->draft && strcmp(a->draft, "none") != 0 && strcmp(a->draft, "lookup") != 0)
        return fail(KVASIR_E_ARGUMENT, "--draft %s: none and lookup are known", quoted(a->draft, strlen(a->draft)));
    return KVASIR_OK;
}

void reply_free(reply *r)
{
    mem_free(r->text);
    kvasir_free(r->ids);
    *r = (reply){0};
}

const char *stop_name(kvasir_stop stop)
{
    switch (stop) {
    case KVASIR_STOP_END:
        return "end";
    case KVASIR_STOP_LIMIT:
        return "limit";
    case KVASIR_STOP_STRING:
        return "string";
    case KVASIR_STOP_CONTEXT:
        return "context";
    case KVASIR_STOP_NONE:
        break;
    }
    return "cancelled";
}

double tokens_per_second(int tokens, double seconds)
{
    return seconds > 0 ? tokens / seconds : NAN;
}

void print_summary(const session *s, const kvasir_stats *stats)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(s->engine, &info);
    (void)fprintf(stderr, "%sprompt %d token%s", dim_on(), stats->prompt_tokens,
                  plural((uint64_t)stats->prompt_tokens));
    if (stats->prefill_s > 0)
        (void)fprintf(stderr, ", %.1f t/s", tokens_per_second(stats->prompt_tokens, stats->prefill_s));
    (void)fprintf(stderr, "; generated %d token%s", stats->generated_tokens, plural((uint64_t)stats->generated_tokens));
    int timed = stats->generated_tokens - 1; /* the first one is the prompt's */
    if (timed > 0 && stats->decode_s > 0)
        (void)fprintf(stderr, ", %.1f ms/token (%.1f t/s)", 1000 * stats->decode_s / timed,
                      tokens_per_second(timed, stats->decode_s));
    if (stats->drafted > 0) (void)fprintf(stderr, "; %d of %d drafted accepted", stats->accepted, stats->drafted);
    (void)fprintf(stderr, "; depth %d; KV %s of %s; stopped by %s%s\n", stats->depth, bytes_text(stats->kv_bytes),
                  bytes_text(info.kv_budget), stop_name(stats->stop), dim_off());
}
