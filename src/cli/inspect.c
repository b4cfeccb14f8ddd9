/* kvasir inspect: what a GGUF file is, what its KV cache costs, and what would keep it from running. */
#include "cli/models/models.h"
#include "cli/session/remote.h"
#include "cli/session/session.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct inspect_args {
    const char *model, *tensor, *out;
    int header_only;
    engine_args kv; /* ctx and the KV types */
    output_args output;
} inspect_args;

#define FIELD(name) offsetof(inspect_args, name)
static const cli_option file_options[] = {
    {"dump-tensor", 0, CLI_TEXT, NULL, "NAME", FIELD(tensor),
     "Write this tensor, decoded to little-endian float32, to the file of --out", 0, 0, NULL},
    {"out", 'o', CLI_FILE, NULL, "FILE", FIELD(out), "Where --dump-tensor writes", 0, 0, NULL},
    {"header-only", 0, CLI_FLAG, NULL, NULL, FIELD(header_only), "The tensor data may be missing (a partial download)",
     0, 0, NULL},
    {"ctx", 'c', CLI_COUNT, "--ctx-size", "N", FIELD(kv.ctx),
     "Context of the KV sizes (default: what the model was trained for)", 0, 1 << 27, NULL},
    {0},
};
static const cli_group inspect_groups[] = {
    {"File", file_options, 0},
    {"KV cache", kv_options, FIELD(kv)},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example inspect_examples[] = {
    {"kvasir inspect model.gguf", "Sizes, tensors by type, tokenizer, KV cost. -v adds every tensor and key."},
    {"kvasir inspect model.gguf --json | jq .kv_bytes_per_token", "What one token of context costs."},
    {"kvasir inspect model.gguf --dump-tensor output_norm.weight --out norm.f32", "One tensor as float32."},
    {0},
};

static const char *const kv_names[] = {"f16", "q8", "q4"};
enum { N_KV_NAMES = 3, MAX_TYPES = 64 };

/* ---- tensors ------------------------------------------------------------------------------------------ */

static int dump_tensor(const kvasir_model *m, const char *name, const char *path)
{
    const kvasir_model_info *info = kvasir_model_get_info(m);
    for (int i = 0; i < info->n_tensors; i++) {
        kvasir_tensor_info t;
        kvasir_status status = kvasir_model_tensor(m, i, &t);
        if (status != KVASIR_OK) return failed(status);
        if (strcmp(t.name, name) != 0) continue;
        float *data = mem_alloc(t.n_elements, sizeof *data);
        status = data ? kvasir_model_tensor_read(m, name, data) : fail_memory(t.n_elements * sizeof *data);
        if (status == KVASIR_OK) status = write_file(path, data, t.n_elements * sizeof *data);
        mem_free(data);
        if (status != KVASIR_OK) return failed(status);
        note("%s: %s, %llu floats written to %s", name, t.type, (unsigned long long)t.n_elements, path);
        return EXIT_DONE;
    }
    return usage_error("%s has no tensor %s; kvasir inspect -v lists them", info->path, quoted(name, strlen(name)));
}

typedef struct type_sum {
    const char *type;
    int n;
    uint64_t elements, bytes;
} type_sum;

static int sum_types(const kvasir_model *m, type_sum *sums)
{
    int n_types = 0;
    for (int i = 0; i < kvasir_model_get_info(m)->n_tensors; i++) {
        kvasir_tensor_info t;
        if (kvasir_model_tensor(m, i, &t) != KVASIR_OK) continue;
        int k = 0;
        while (k < n_types && strcmp(sums[k].type, t.type) != 0) k++;
        if (k == MAX_TYPES) continue;
        if (k == n_types) sums[n_types++] = (type_sum){.type = t.type};
        sums[k].n++;
        sums[k].elements += t.n_elements;
        sums[k].bytes += t.bytes;
    }
    return n_types;
}

static const char *shape_text(const kvasir_tensor_info *t)
{
    static char text[96];
    int used = 0;
    text[0] = 0;
    for (int d = 0; d < t->n_dims; d++)
        used += snprintf(text + used, sizeof text - (size_t)used, d ? " x %lld" : "%lld", (long long)t->shape[d]);
    return text;
}

/* ---- text --------------------------------------------------------------------------------------------- */

/* Text from the file as it may be shown at a terminal: no control characters. */
static const char *shown(const char *s)
{
    return s && *s ? quoted(s, strlen(s)) : "-";
}

/* Whether Kvasir could read the model's sizes: not those of an architecture that it does not know, nor of a header that lies. */
static int is_read(const kvasir_model_info *i)
{
    return i->n_layer > 0;
}

static void print_sizes(const kvasir_model_info *i)
{
    (void)printf("  layers        %d of width %d, feed-forward %d\n", i->n_layer, i->n_embd, i->n_ff);
    (void)printf("  attention     %d heads of %d, %d for K and V", i->n_head, i->head_dim, i->n_head_kv);
    if (i->window) (void)printf(", window %d", i->window);
    (void)printf("\n  context       %s tokens in training\n", count_text((uint64_t)i->n_ctx_train));
    if (i->n_expert) (void)printf("  experts       %d, %d used for a token\n", i->n_expert, i->n_expert_used);
}

/* The keys that bear the architecture's name, as they are. */
static void print_own_keys(const kvasir_model *m)
{
    const kvasir_model_info *info = kvasir_model_get_info(m);
    size_t n = strlen(info->architecture), n_shown = 0;
    for (int i = 0; n > 0 && i < info->n_metadata; i++) {
        const char *key, *type;
        char *value = NULL;
        if (kvasir_model_metadata(m, i, &key, &type, &value) != KVASIR_OK) continue;
        if (strncmp(key, info->architecture, n) == 0 && key[n] == '.')
            (void)printf("  %-12s  %s %s\n", n_shown++ ? "" : "its keys", shown(key), value);
        kvasir_free(value);
    }
    if (n_shown == 0) (void)printf("  layers        unknown: no key bears the architecture's name\n");
}

enum { TOKEN_TEXT = 16 };

static const char *token_text(const kvasir_model_info *i, int id, char to[TOKEN_TEXT])
{
    if (id < 0)
        (void)snprintf(to, TOKEN_TEXT, "%s", i->n_vocab ? "none" : "unknown");
    else
        (void)snprintf(to, TOKEN_TEXT, "%d", id);
    return to;
}

static void print_head(const kvasir_model *m)
{
    const kvasir_model_info *i = kvasir_model_get_info(m);
    char bos[TOKEN_TEXT], eos[TOKEN_TEXT];
    (void)printf("%s\n", i->path);
    (void)printf("  name          %s\n", shown(i->name));
    (void)printf("  format        GGUF version %u, %d file%s, %s\n", i->gguf_version, i->n_files,
                 i->n_files == 1 ? "" : "s", bytes_text(i->file_bytes));
    (void)printf("  architecture  %s, %s parameters in %d tensors, %s\n", shown(i->architecture),
                 count_text(i->n_parameters), i->n_tensors, bytes_text(i->tensor_bytes));
    if (is_read(i))
        print_sizes(i);
    else
        print_own_keys(m);
    (void)printf("  tokenizer     %s%s%s, %s tokens, bos %s%s, eos %s%s\n", shown(i->tokenizer_model),
                 *i->tokenizer_pre ? ", split " : "", *i->tokenizer_pre ? shown(i->tokenizer_pre) : "",
                 i->n_vocab ? count_text((uint64_t)i->n_vocab) : "unknown", token_text(i, i->bos, bos),
                 i->adds_bos ? " (added)" : "", token_text(i, i->eos, eos), i->adds_eos ? " (added)" : "");
    (void)printf("  template      %s\n", i->chat_template ? bytes_text(strlen(i->chat_template)) : "none");
}

static void print_kv(const kvasir_model *m, const inspect_args *a)
{
    char type[64];
    (void)kv_type_text(&a->kv, type, sizeof type);
    const char *const names[] = {kv_names[0], kv_names[1], kv_names[2], type};
    int ctx = a->kv.ctx ? a->kv.ctx : kvasir_model_get_info(m)->n_ctx_train, windows = 0;
    kvasir_kv_info kv;
    (void)printf("\nKV cache        per token  at %s tokens\n", count_text((uint64_t)ctx));
    for (int i = 0; i < N_KV_NAMES + 1; i++) {
        if (i == N_KV_NAMES && (strcmp(type, "f16") == 0 || strcmp(type, "q8") == 0 || strcmp(type, "q4") == 0))
            continue;
        if (kvasir_model_kv(m, names[i], ctx, &kv) == KVASIR_OK)
            (void)printf("  %-12s %10.1f B  %s\n", names[i], kv.bytes_per_token, bytes_text(kv.bytes_at_ctx));
        else
            (void)printf("  %-12s not possible: %s\n", names[i], kvasir_message());
    }
    if (kvasir_model_kv(m, type, ctx, &kv) != KVASIR_OK) return;
    for (int i = 0; i < kv.n_streams; i++) {
        kvasir_kv_stream s;
        if (kvasir_model_kv_stream(m, type, i, &s) == KVASIR_OK) windows += s.window != 0;
    }
    (void)printf("  %d streams, %d of them with a window that bounds them\n", kv.n_streams, windows);
}

static void print_all(const kvasir_model *m)
{
    const kvasir_model_info *info = kvasir_model_get_info(m);
    (void)printf("\nMetadata\n");
    for (int i = 0; i < info->n_metadata; i++) {
        const char *key, *type;
        char *value = NULL;
        if (kvasir_model_metadata(m, i, &key, &type, &value) != KVASIR_OK) continue;
        (void)printf("  %-44s %-10s %s\n", shown(key), type, value);
        kvasir_free(value);
    }
    (void)printf("\nTensors\n");
    for (int i = 0; i < info->n_tensors; i++) {
        kvasir_tensor_info t;
        if (kvasir_model_tensor(m, i, &t) == KVASIR_OK)
            (void)printf("  %-44s %-8s %-20s %s\n", shown(t.name), t.type, shape_text(&t), bytes_text(t.bytes));
    }
}

static int print_text(const kvasir_model *m, const inspect_args *a)
{
    const kvasir_model_info *info = kvasir_model_get_info(m);
    type_sum sums[MAX_TYPES];
    print_head(m);
    (void)printf("\nTensors         count      elements  bytes\n");
    for (int i = 0, n = sum_types(m, sums); i < n; i++)
        (void)printf("  %-12s %6d %14s  %s\n", sums[i].type, sums[i].n, count_text(sums[i].elements),
                     bytes_text(sums[i].bytes));
    if (info->n_problems == 0) print_kv(m, a);
    if (a->output.verbose) print_all(m);
    if (info->n_problems) (void)printf("\nProblems: Kvasir cannot run this file\n");
    for (int i = 0; i < info->n_problems; i++) (void)printf("  %s\n", kvasir_model_problem(m, i));
    if (info->n_notes) (void)printf("\nNotes\n");
    for (int i = 0; i < info->n_notes; i++) (void)printf("  %s\n", kvasir_model_note(m, i));
    return finish_output(EXIT_DONE);
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

static json_t *json_tensors(const kvasir_model *m)
{
    json_t *list = json_array();
    for (int i = 0; i < kvasir_model_get_info(m)->n_tensors; i++) {
        kvasir_tensor_info t;
        if (kvasir_model_tensor(m, i, &t) != KVASIR_OK) continue;
        json_t *shape = json_array();
        for (int d = 0; d < t.n_dims; d++) (void)json_array_append_new(shape, json_integer(t.shape[d]));
        (void)json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:i}", "name", json_text_or_null(t.name),
                                                    "type", t.type, "shape", shape, "bytes", json_bytes(t.bytes),
                                                    "offset", json_bytes(t.offset), "file", t.file));
    }
    return list;
}

static json_t *json_metadata(const kvasir_model *m)
{
    json_t *object = json_object();
    for (int i = 0; i < kvasir_model_get_info(m)->n_metadata; i++) {
        const char *key, *type;
        char *value = NULL;
        if (kvasir_model_metadata(m, i, &key, &type, &value) != KVASIR_OK) continue;
        json_t *name = json_text_or_null(key); /* as UTF-8, which a key need not be */
        (void)json_object_set_new(object, json_string_value(name),
                                  json_pack("{s:s, s:o}", "type", type, "value", json_text_or_null(value)));
        json_decref(name);
        kvasir_free(value);
    }
    return object;
}

/* The streams of one KV type; row_bytes is one head's row, of which a token has rows_per_token. */
static json_t *json_streams(const kvasir_model *m, const char *type)
{
    json_t *list = json_array();
    kvasir_kv_info kv;
    if (kvasir_model_kv(m, type, 1, &kv) != KVASIR_OK) return list;
    for (int i = 0; i < kv.n_streams; i++) {
        kvasir_kv_stream s;
        if (kvasir_model_kv_stream(m, type, i, &s) != KVASIR_OK) continue;
        (void)json_array_append_new(
            list, json_pack("{s:i, s:s, s:s, s:i, s:f, s:o, s:i, s:i}", "layer", s.layer, "name", s.name, "type",
                            s.type, "rows_per_token", s.n_heads, "row_bytes", s.row_bytes / s.n_heads, "page_bytes",
                            json_bytes(s.page_bytes), "head_dim", s.head_dim, "window", s.window));
    }
    return list;
}

static json_t *json_kv_costs(const kvasir_model *m, int ctx, int whole)
{
    json_t *object = json_object();
    for (int i = 0; i < N_KV_NAMES; i++) {
        kvasir_kv_info kv;
        json_t *value = json_null(); /* a head size that the type cannot hold */
        if (kvasir_model_kv(m, kv_names[i], ctx, &kv) == KVASIR_OK)
            value = whole ? json_bytes(kv.bytes_at_ctx) : json_number(kv.bytes_per_token);
        (void)json_object_set_new(object, kv_names[i], value);
    }
    return object;
}

static json_t *int_or_null(int known, int n)
{
    return known ? json_integer(n) : json_null();
}

static int print_document(const kvasir_model *m, const inspect_args *a)
{
    const kvasir_model_info *i = kvasir_model_get_info(m);
    char type[64];
    (void)kv_type_text(&a->kv, type, sizeof type);
    int ctx = a->kv.ctx ? a->kv.ctx : i->n_ctx_train > 0 ? i->n_ctx_train : 1, known = is_read(i);
    json_t *d = json_document("inspect"), *problems = json_array();
    for (int k = 0; k < i->n_problems; k++)
        (void)json_array_append_new(problems, json_text_or_null(kvasir_model_problem(m, k)));
    (void)json_object_update_new(
        d, json_pack("{s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:o}", "path", json_text_or_null(i->path), "architecture",
                     json_text_or_null(i->architecture), "name", json_text_or_null(i->name), "gguf_version",
                     (int)i->gguf_version, "files", i->n_files, "parameters", json_bytes(i->n_parameters), "file_bytes",
                     json_bytes(i->file_bytes), "tensor_bytes", json_bytes(i->tensor_bytes)));
    (void)json_object_update_new(
        d, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "layers", int_or_null(known, i->n_layer),
                     "embd", int_or_null(known, i->n_embd), "heads", int_or_null(known, i->n_head), "heads_kv",
                     int_or_null(known, i->n_head_kv), "head_dim", int_or_null(known, i->head_dim), "ff",
                     int_or_null(known, i->n_ff), "ctx_train", int_or_null(known, i->n_ctx_train), "experts",
                     int_or_null(known, i->n_expert), "experts_used", int_or_null(known, i->n_expert_used), "window",
                     int_or_null(known, i->window)));
    (void)json_object_set_new(
        d, "tokenizer",
        json_pack("{s:o, s:o, s:o, s:i, s:i, s:b, s:b}", "model", json_text_or_null(i->tokenizer_model), "pre",
                  json_text_or_null(i->tokenizer_pre), "size", int_or_null(i->n_vocab > 0, i->n_vocab), "bos", i->bos,
                  "eos", i->eos, "adds_bos", i->adds_bos, "adds_eos", i->adds_eos));
    (void)json_object_set_new(d, "chat_template", json_text_or_null(i->chat_template));
    (void)json_object_set_new(d, "kv_streams", json_streams(m, type));
    (void)json_object_set_new(d, "kv_bytes_per_token", json_kv_costs(m, ctx, 0));
    (void)json_object_set_new(d, "ctx", int_or_null(known || a->kv.ctx, ctx));
    (void)json_object_set_new(d, "kv_bytes_at_ctx", json_kv_costs(m, ctx, 1));
    (void)json_object_set_new(d, "problems", problems);
    json_t *notes = json_array();
    for (int k = 0; k < i->n_notes; k++) (void)json_array_append_new(notes, json_text_or_null(kvasir_model_note(m, k)));
    (void)json_object_set_new(d, "notes", notes);
    (void)json_object_set_new(d, "metadata", json_metadata(m));
    (void)json_object_set_new(d, "tensors", json_tensors(m));
    return print_json(d);
}

static int inspect_main(void *args)
{
    const inspect_args *a = args;
    if (!a->tensor != !a->out) return usage_error("--dump-tensor NAME and --out FILE go together");
    if (a->tensor && a->header_only) return usage_error("--dump-tensor needs the data that --header-only does without");
    output_apply(&a->output);
    char type[64];
    kvasir_status status = output_check(a->out);
    if (status == KVASIR_OK) status = kv_type_text(&a->kv, type, sizeof type);
    if (status != KVASIR_OK) return failed(status);
    kvasir_model *m = NULL;
    kvasir_model_options o = {.header_only = a->header_only, .inspect_only = 1};
    char path[FETCH_PATH_BYTES];
    model_find_silently(); /* the path is what is printed first */
    int code = a->tensor ? model_path(a->model, path) : model_header_path(a->model, path, &o.header_only);
    if (code != EXIT_DONE) return code;
    status = kvasir_model_open(path, &o, &m);
    if (status != KVASIR_OK) return failed_model(status);
    kvasir_kv_info kv;
    if (kvasir_model_get_info(m)->n_problems == 0 && kvasir_model_kv(m, type, 1, &kv) != KVASIR_OK)
        code = failed(KVASIR_E_ARGUMENT);
    else if (a->tensor)
        code = dump_tensor(m, a->tensor, a->out);
    else
        code = a->output.json ? print_document(m, a) : print_text(m, a);
    kvasir_model_close(m);
    return code;
}

const cli_command inspect_command = {
    .name = "inspect",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Show what a GGUF file is",
    .about = "Reads the header of a GGUF file and prints the architecture, the sizes, the tensors by type, "
             "the tokenizer, what one "
             "token of context costs in the KV cache for each of its types, and everything that would keep "
             "Kvasir from running it.",
    .examples = inspect_examples,
    .groups = inspect_groups,
    .size = sizeof(inspect_args),
    .run = inspect_main,
};
