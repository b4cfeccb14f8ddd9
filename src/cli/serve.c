/* kvasir serve: an HTTP server for one model. */
#include "cli/files/config_file.h"
#include "cli/session/session.h"
#include "cli/watch/watch.h"
#include "base/mem.h"
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct serve_args {
    const char *model, *host, *key_file, *template_file, *access_log;
    cli_list aliases, origins;
    int any_model, port, slots, queue, max_tokens;
    engine_args engine;
    sampling_args sampling;
    output_args output;
} serve_args;

#define FIELD(name) offsetof(serve_args, name)
static const cli_option server_group[] = {
    {"host", 0, CLI_TEXT, NULL, "ADDRESS", FIELD(host),
     "Numeric address to listen on (default 127.0.0.1: this computer alone); any other needs --api-key-file", 0, 0,
     "127.0.0.1 ::1 0.0.0.0"},
    {"port", 0, CLI_INT, NULL, "N", FIELD(port), "Port to listen on; 0: any free one, which is printed (default 8080)",
     0, 65535, NULL},
    {"alias", 'a', CLI_LIST, NULL, "NAME", FIELD(aliases),
     "What requests call the model (default: the file's name without .gguf); may be repeated, answers say the first", 0,
     0, NULL},
    {"any-model", 0, CLI_FLAG, NULL, NULL, FIELD(any_model),
     "Answer requests whatever model they name: some clients always send the same name", 0, 0, NULL},
    {"api-key-file", 0, CLI_FILE, NULL, "FILE", FIELD(key_file),
     "Keys of those who may ask, one a line; SIGHUP reads it anew. Each key has a prefix cache of its own", 0, 0, NULL},
    {"allow-origin", 0, CLI_LIST, NULL, "ORIGIN", FIELD(origins),
     "Web pages of this origin (https://example.org) may ask too; may be repeated", 0, 0, NULL},
    {"slots", 0, CLI_INT, "--parallel -np", "N", FIELD(slots), "Answers that are computed at the same time (default 4)",
     1, SERVER_MAX_SLOTS, NULL},
    {"queue", 0, CLI_INT, NULL, "N", FIELD(queue), "Requests that may wait besides; more get status 429 (default 64)",
     0, SERVER_MAX_QUEUE, NULL},
    {"max-tokens", 'n', CLI_COUNT, "--predict --n-predict", "N", FIELD(max_tokens),
     "Longest answer to a request that names no limit (default: until the context is full)", 0, 1 << 27, NULL},
    {"template", 0, CLI_FILE, "--chat-template-file", "FILE", FIELD(template_file),
     "A chat template (Jinja) instead of the model's own", 0, 0, NULL},
    {"access-log", 0, CLI_FILE, NULL, "FILE", FIELD(access_log), "Append a line of JSON for each request; - is stderr",
     0, 0, NULL},
    {0},
};
static const cli_group serve_groups[] = {
    {"Server", server_group, 0},
    {"Sampling, where a request does not say", sampling_options, FIELD(sampling)},
    {"KV cache", kv_options, FIELD(engine)},
    {"Engine", engine_options, FIELD(engine)},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example serve_examples[] = {
    {"kvasir serve model.gguf", "An OpenAI-compatible server on http://127.0.0.1:8080/v1."},
    {"kvasir serve model.gguf --config auto --slots 8", "As kvasir tune found best, for up to eight at a time."},
    {"kvasir serve model.gguf --host 0.0.0.0 --api-key-file keys.txt", "For other computers, which need a key."},
    {0},
};

static void serve_defaults(void *args)
{
    serve_args *a = args;
    sampling_defaults(&a->sampling);
    a->host = "127.0.0.1";
    a->port = 8080;
    a->slots = 4;
    a->queue = 64;
}

/* What lives as long as the server. */
typedef struct serving {
    session session;
    FILE *access;
    const char *name;
    watch watch;
} serving;

static void on_ready(void *user, const char *url)
{
    const serving *v = user;
    note("serving %s on %s", v->name, url);
}

static void on_note(void *user, const char *text)
{
    (void)user;
    note("%s", text);
}

static void on_access(void *user, const char *json)
{
    serving *v = user;
    (void)fprintf(v->access, "%s\n", json);
    (void)fflush(v->access);
}

static void on_step(void *user, int tokens, int depth, double seconds)
{
    serving *v = user;
    watch_step(&v->watch, tokens, depth, tokens ? seconds : 0);
}

static int check_args(const serve_args *a)
{
    int is_own = server_is_loopback(a->host);
    if (is_own < 0)
        return usage_error("--host %s is no numeric address; 127.0.0.1 is this computer, 0.0.0.0 any that it has",
                           a->host);
    if (!is_own && !a->key_file)
        return usage_error(
            "--host %s lets other computers ask: give --api-key-file FILE with the keys of those who may", a->host);
    for (int i = 0; i < a->aliases.n; i++)
        if (!*a->aliases.items[i]) return usage_error("--alias must not be empty");
    return EXIT_DONE;
}

/* "model" of "folder/model.gguf" */
static char *name_of(const serve_args *a, const char *path)
{
    const char *slash = strrchr(path, '/'), *alias = a->aliases.n ? a->aliases.items[0] : NULL;
    const char *name = alias ? alias : slash ? slash + 1 : path;
    size_t n = strlen(name);
    if (!alias && n > 5 && strcmp(name + n - 5, ".gguf") == 0) n -= 5;
    return mem_text(name, n);
}

static FILE *open_log(const char *path)
{
    if (strcmp(path, "-") == 0) return stderr;
    FILE *f = fopen(path, "ae");
    if (!f) note("%s: %s", path, strerror(errno));
    return f;
}

static int exit_of(kvasir_status status)
{
    if (status == KVASIR_OK) return EXIT_DONE;
    int code = failed(status);
    return status == KVASIR_E_CANCELLED ? EXIT_STOPPED : code;
}

static int serve(serving *v, serve_args *a, const char *template_text)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(v->session.engine, &info);
    server_options o = {.host = a->host,
                        .port = a->port,
                        .name = v->name,
                        .names = a->aliases.n > 1 ? a->aliases.items + 1 : NULL,
                        .n_names = a->aliases.n > 1 ? a->aliases.n - 1 : 0,
                        .any_name = a->any_model,
                        .key_file = a->key_file,
                        .origins = a->origins.items,
                        .n_origins = a->origins.n,
                        .n_slots = a->slots,
                        .n_queue = a->queue,
                        .max_tokens = a->max_tokens,
                        .n_batch = info.max_batch,
                        .engine = v->session.engine,
                        .model = v->session.model,
                        .seq = {.n_ctx = v->session.ctx, .kv = v->session.kv},
                        .template_text = template_text,
                        .has_seed = a->sampling.seed >= 0,
                        .on_ready = on_ready,
                        .on_note = on_note,
                        .on_access = v->access ? on_access : NULL,
                        .on_step = on_step,
                        .user = v};
    kvasir_logit_bias *bias = NULL;
    sampling_complete(&a->sampling, v->session.model);
    kvasir_status status = sampling_options_for(&a->sampling, 0, &o.sampling, &bias);
    if (status == KVASIR_OK) status = server_run(&o);
    mem_free(bias);
    return exit_of(status);
}

static int serve_main(void *args)
{
    serve_args *a = args;
    serving v = {0};
    char *template_text = NULL, *name = NULL;
    size_t n = 0;
    int code = check_args(a);
    if (code == EXIT_DONE) code = config_apply(a->model, &a->engine, &a->engine.kv, NULL);
    if (code == EXIT_DONE && a->engine.chunk && a->engine.chunk < a->slots)
        code = usage_error("a step of --chunk %d tokens has no room for --slots %d answers", a->engine.chunk, a->slots);
    if (code != EXIT_DONE) return code;
    (void)signal(SIGPIPE, SIG_IGN); /* a client that goes is no reason to end */
    kvasir_status status = a->template_file ? read_text(a->template_file, &template_text, &n) : KVASIR_OK;
    if (status != KVASIR_OK) return failed(status);
    if (a->access_log && !(v.access = open_log(a->access_log))) code = EXIT_FAILED;
    if (code == EXIT_DONE) code = session_open(a->model, &a->engine, &a->output, a->slots, &v.session);
    if (code == EXIT_DONE) {
        v.name = name = name_of(a, v.session.path);
        code = name ? serve(&v, a, template_text) : failed(fail_memory(0));
    }
    session_close(&v.session);
    if (v.access && v.access != stderr) (void)fclose(v.access);
    mem_free(name);
    free(template_text);
    return code;
}

const cli_command serve_command = {
    .name = "serve",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Answer over HTTP, as OpenAI's API does",
    .about =
        "Loads a model and answers chat and text completions over HTTP to many clients at the same time, until "
        "SIGTERM or Ctrl-C; then it finishes what it has begun. docs/serve.md lists the endpoints.\n\n"
        "Requests that begin in the same way share the KV cache of what they have in common, also with requests that "
        "have been answered before. A prompt that does not fit the context is refused with both numbers; nothing is "
        "ever cut.",
    .examples = serve_examples,
    .groups = serve_groups,
    .size = sizeof(serve_args),
    .defaults = serve_defaults,
    .run = serve_main,
};
