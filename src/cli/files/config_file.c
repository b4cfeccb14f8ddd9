#include "cli/files/config_file.h"
#include "cli/files/json_file.h"
#include "cli/session/remote.h"
#include "base/cores.h"
#include "base/file.h"
#include "system/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const json_kind kind = {"kvasir.config/1", "configuration of kvasir tune"};

/* ---- where -------------------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

kvasir_status config_default_path(const char *model, char *to, size_t n)
{
    char tail[512];
    const char *name = base_name(model), *dot = strrchr(name, '.');
    int length = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    int used = snprintf(tail, sizeof tail, "kvasir/tuned/%.*s.json", length, name);
    if (used < 0 || (size_t)used >= sizeof tail) return fail(KVASIR_E_ARGUMENT, "the configuration's path is too long");
    return user_path("XDG_CONFIG_HOME", ".config", tail, to, n);
}

kvasir_status config_write(const char *path, const json_t *document)
{
    char own[4096];
    const char *model = json_string_value(json_object_get(json_object_get(document, "model"), "path"));
    if (model && config_default_path(model, own, sizeof own) == KVASIR_OK && strcmp(own, path) == 0)
        (void)file_make_folders(path); /* what cannot be made shows when the file is written */
    return json_write(document, path);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* What a field holds. The limits of numbers are those of the options; texts are one of the words. */
typedef struct field {
    const char *name;
    json_int_t min, max; /* of numbers */
    const char *words;   /* of texts; NULL: a number */
} field;

static const field fields[] = {
    {"ctx", 1, 1 << 27, NULL},       {"threads", 1, 1024, NULL},
    {"chunk", 1, 16384, NULL},       {"kv_memory_bytes", 1, (json_int_t)1 << 62, NULL},
    {"kv_k", 0, 0, "f16 f32 q8 q4"}, {"kv_v", 0, 0, "f16 f32 q8 q4"},
    {"draft", 0, 0, "none lookup"},  {"cpu", 0, 0, "auto ref avx2 avx512vnni avx512bf16 neon dotprod"},
};
/* What is kept for people and for `tune` itself. */
static const char *const others[] = {"schema",  "version",      "date",          "complete",     "model",
                                     "machine", "budget_bytes", "reserve_bytes", "margin_bytes", "depth",
                                     "options", "memory",       "evidence",      "steps"};

static int is_known(const char *key)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(key, fields[i].name) == 0) return 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(key, others[i]) == 0) return 1;
    return 0;
}

static int has_word(const char *words, const char *text)
{
    char word[32];
    while (cli_next_word(&words, word, sizeof word))
        if (strcmp(word, text) == 0) return 1;
    return 0;
}

static kvasir_status check_field(const char *path, const field *f, const json_t *value)
{
    if (!value || json_is_null(value)) return KVASIR_OK;
    char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *says = shown ? quoted(shown, strlen(shown)) : "?";
    kvasir_status status = KVASIR_OK;
    if (f->words && !(json_is_string(value) && has_word(f->words, json_string_value(value))))
        status = fail(KVASIR_E_ARGUMENT, "%s: %s is %s, not one of: %s", path, f->name, says, f->words);
    if (!f->words &&
        !(json_is_integer(value) && json_integer_value(value) >= f->min && json_integer_value(value) <= f->max))
        status = fail(KVASIR_E_ARGUMENT, "%s: %s is %s, not a whole number from %lld to %lld", path, f->name, says,
                      (long long)f->min, (long long)f->max);
    free(shown);
    return status;
}

static kvasir_status check_document(const char *path, const json_t *d)
{
    const char *key;
    const json_t *value;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        TRY(check_field(path, &fields[i], json_object_get(d, fields[i].name)));
    if (!json_is_string(json_object_get(d, "kv_k")) != !json_is_string(json_object_get(d, "kv_v")))
        return fail(KVASIR_E_ARGUMENT, "%s: kv_k and kv_v go together, and one of them is missing", path);
    json_object_foreach((json_t *)d, key, value)
    {
        if (!is_known(key)) note("%s: the key '%s' is not known and has no effect", path, quoted(key, strlen(key)));
    }
    return KVASIR_OK;
}

kvasir_status config_read(const char *path, json_t **out)
{
    json_t *d;
    TRY(json_read(path, &kind, &d));
    kvasir_status status = check_document(path, d);
    if (status == KVASIR_OK)
        *out = d;
    else
        json_decref(d);
    return status;
}

/* ---- use ---------------------------------------------------------------------------------------------- */

/* What is measured on one machine with one model says little about another: a line for each difference. */
static void note_differences(const char *path, const json_t *d, const char *model)
{
    const json_t *m = json_object_get(d, "model"), *machine = json_object_get(d, "machine");
    const char *was = json_string_value(json_object_get(m, "path"));
    const char *cpu = json_string_value(json_object_get(machine, "cpu"));
    json_int_t bytes = json_integer_value(json_object_get(m, "file_bytes"));
    json_int_t cores = json_integer_value(json_object_get(machine, "cores"));
    struct stat st;
    char name[96];
    cpu_model_name(name, sizeof name);
    if (was && strcmp(base_name(was), base_name(model)) != 0)
        note("%s was made for another model: %s", path, quoted(base_name(was), strlen(base_name(was))));
    else if (bytes > 0 && stat(model, &st) == 0 && st.st_size != bytes)
        note("%s was made for a file of %lld bytes, and %s has %lld", path, (long long)bytes, model,
             (long long)st.st_size);
    if (cpu && strcmp(cpu, name) != 0) note("%s was made on another processor: %s", path, quoted(cpu, strlen(cpu)));
    if (cores > 0 && cores != cpu_count())
        note("%s was made with %lld usable cores, and here are %d", path, (long long)cores, cpu_count());
    if (json_is_false(json_object_get(d, "complete")))
        note("%s is not complete: kvasir tune was stopped, and goes on when it is called again", path);
}

static void take_number(const json_t *d, const char *name, int *to)
{
    const json_t *value = json_object_get(d, name);
    if (*to == 0 && json_is_integer(value)) *to = (int)json_integer_value(value); /* checked when it was read */
}

static void take_text(const json_t *d, const char *name, char *room, size_t n, const char **to)
{
    const char *text = json_string_value(json_object_get(d, name));
    if (!to || *to || !text) return;
    (void)snprintf(room, n, "%s", text);
    *to = room;
}

static void take_all(const json_t *d, engine_args *e, const char **kv, const char **draft)
{
    const char *k = json_string_value(json_object_get(d, "kv_k")), *v = json_string_value(json_object_get(d, "kv_v"));
    const json_t *memory = json_object_get(d, "kv_memory_bytes");
    take_number(d, "ctx", &e->ctx);
    take_number(d, "threads", &e->threads);
    take_number(d, "chunk", &e->chunk);
    take_text(d, "cpu", e->from_config.cpu, sizeof e->from_config.cpu, &e->cpu);
    take_text(d, "draft", e->from_config.draft, sizeof e->from_config.draft, draft);
    if (!*kv && !e->kv_k && !e->kv_v && k && v) {
        (void)snprintf(e->from_config.kv, sizeof e->from_config.kv, strcmp(k, v) == 0 ? "%s" : "%s:%s", k, v);
        *kv = e->from_config.kv;
    }
    if (!e->kv_memory && json_is_integer(memory)) e->kv_memory = (uint64_t)json_integer_value(memory);
}

int config_apply(const char *model, engine_args *e, const char **kv, const char **draft)
{
    char found[FETCH_PATH_BYTES], own[4096];
    const char *path = e->config;
    json_t *d = NULL;
    if (!path) return EXIT_DONE;
    int code = model_path(model, found);
    if (code != EXIT_DONE) return code;
    kvasir_status status = KVASIR_OK;
    if (strcmp(path, "auto") == 0) {
        status = config_default_path(found, own, sizeof own);
        path = own;
        struct stat st;
        if (status == KVASIR_OK && stat(own, &st) != 0 && errno == ENOENT)
            status = fail(KVASIR_E_ARGUMENT, "--config auto: there is no %s; kvasir tune %s makes it", own, found);
    }
    if (status == KVASIR_OK) status = config_read(path, &d);
    if (status != KVASIR_OK) return failed(status);
    note_differences(path, d, found);
    take_all(d, e, kv, draft);
    json_decref(d);
    return EXIT_DONE;
}
