/* kvasir list: the models of the cache folder. */
#include "base/checked.h"
#include "cli/common/fit.h"
#include "cli/files/json_file.h"
#include "cli/models/models.h"
#include "cli/session/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct list_args {
    int names;
    output_args output;
} list_args;

#define FIELD(name) offsetof(list_args, name)
static const cli_option list_options[] = {
    {"names", 0, CLI_FLAG, NULL, NULL, FIELD(names), "Print names alone, one a line (for shells)", 0, 0, NULL},
    {0},
};
static const cli_group list_groups[] = {{"List", list_options, 0}, {"Output", output_options, FIELD(output)}, {0}};
static const cli_example list_examples[] = {
    {"kvasir list", "The models that were fetched, and what they are."},
    {"kvasir list --json | jq -r '.models[].path'", "Their paths."},
    {0},
};

/* ---- one model ---------------------------------------------------------------------------------------- */

enum { TYPES = 64, TYPE_BYTES = 24, URL_BYTES = 512 };

/* What its header and its record say. */
typedef struct description {
    kvasir_model *model; /* NULL: the header cannot be read */
    const kvasir_model_info *info;
    char type[TYPE_BYTES]; /* of most of its bytes */
    char problem[512], date[DATE_BYTES], url[URL_BYTES];
    bool fetched; /* the date is that of the fetch */
} description;

static void find_type(description *d)
{
    struct {
        const char *type;
        uint64_t bytes;
    } sums[TYPES];
    int n = 0, best = 0;
    for (int i = 0; i < d->info->n_tensors; i++) {
        kvasir_tensor_info t;
        int k = 0;
        if (kvasir_model_tensor(d->model, i, &t) != KVASIR_OK) continue;
        while (k < n && strcmp(sums[k].type, t.type) != 0) k++;
        if (k == TYPES) continue;
        if (k == n) {
            sums[n].type = t.type;
            sums[n++].bytes = 0;
        }
        sums[k].bytes += t.bytes;
    }
    for (int k = 1; k < n; k++)
        if (sums[k].bytes > sums[best].bytes) best = k;
    if (n > 0) (void)snprintf(d->type, sizeof d->type, "%s", sums[best].type);
}

/* The record that fetching leaves beside a file; it may have been written by anyone. */
static void read_record(const cached_model *m, description *d)
{
    char path[FETCH_PATH_BYTES + 16];
    struct tm utc;
    (void)snprintf(path, sizeof path, "%s.json", m->path);
    const json_kind kind = {.what = "record of a fetch"};
    json_t *record = NULL;
    if (json_read(path, &kind, &record) != KVASIR_OK) record = NULL; /* it may be absent, or no file at all */
    const char *url = json_string_value(json_object_get(record, "url"));
    const char *date = json_string_value(json_object_get(record, "date"));
    if (url) (void)snprintf(d->url, sizeof d->url, "%s", url);
    d->fetched = date && strlen(date) < sizeof d->date && strspn(date, "0123456789-T:Z") == strlen(date) && *date;
    if (d->fetched)
        (void)snprintf(d->date, sizeof d->date, "%s", date);
    else if (gmtime_r(&m->changed, &utc))
        (void)strftime(d->date, sizeof d->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_decref(record);
}

/* What the library said, without the file's name, and with nothing that a terminal would act on. */
static void set_problem(const cached_model *m, const char *text, description *d)
{
    size_t n = strlen(m->path);
    if (strncmp(text, m->path, n) == 0 && strncmp(text + n, ": ", 2) == 0) text += n + 2;
    (void)snprintf(d->problem, sizeof d->problem, "%s", whole_text(text));
}

static void describe(const cached_model *m, description *d)
{
    const kvasir_model_options o = {.header_only = 1, .inspect_only = 1};
    *d = (description){0};
    read_record(m, d);
    if (kvasir_model_open(m->path, &o, &d->model) != KVASIR_OK) {
        set_problem(m, kvasir_message(), d);
        d->model = NULL;
        return;
    }
    d->info = kvasir_model_get_info(d->model);
    find_type(d);
    if (d->info->file_bytes < d->info->tensor_bytes)
        set_problem(m, "the file ends before its tensors do", d);
    else if (d->info->n_problems > 0)
        set_problem(m, kvasir_model_problem(d->model, 0), d);
}

/* ---- text --------------------------------------------------------------------------------------------- */

static void parameters_text(uint64_t n, char *to, size_t room)
{
    if (n >= 1000000000)
        (void)snprintf(to, room, "%.1fB", (double)n * 1e-9);
    else if (n < 10000000)
        (void)snprintf(to, room, "%.1fM", (double)n * 1e-6);
    else
        (void)snprintf(to, room, "%.0fM", (double)n * 1e-6);
}

/* Why there is a problem: its header cannot be read, data is missing, or this version cannot run it. */
static const char *state_of(const description *d)
{
    return !d->model || d->info->file_bytes < d->info->tensor_bytes ? "damaged" : "cannot run";
}

/* Where rows are shown: `width` columns for names, `all` on the terminal, 0 where it is none. */
typedef struct table {
    int width, all;
} table;

enum { CELLS = 52, LEAST_WIDTH = 12 }; /* columns of what stands between name and path */

static void put_name(const char *name, int width)
{
    const int n = text_columns(name);
    if (n > width)
        (void)printf("%s\n%*s", name, width, ""); /* on a line of its own */
    else
        (void)printf("%s%*s", name, width - n, "");
}

/* At the end of the row, or below it where that is too wide. */
static void put_place(const char *before, const char *place, const table *t)
{
    const bool fits = t->all == 0 || t->width + CELLS + 2 + (int)strlen(before) + text_columns(place) <= t->all;
    (void)printf("%s%s%s\n", fits ? "  " : "\n    ", before, place);
}

static void print_model(const model_list *l, const cached_model *m, const table *t)
{
    description d;
    char parameters[32] = "-";
    describe(m, &d);
    if (d.model) parameters_text(d.info->n_parameters, parameters, sizeof parameters);
    const char *kind = d.model && d.info->architecture[0] ? d.info->architecture : "-";
    put_name(whole_text(m->call), t->width);
    (void)printf("  %9s  %-10s  %6s  %-7s  %.10s", bytes_text(m->bytes),
                 d.model ? quoted(kind, strlen(kind)) : "damaged", parameters, d.type[0] ? d.type : "-", d.date);
    put_place("", whole_text(m->path + strlen(l->cache) + 1), t);
    if (d.problem[0]) (void)printf("  %s: %s\n", state_of(&d), d.problem);
    kvasir_model_close(d.model);
}

/* The names' column is as wide as the longest of them, but leaves room for the rest of the row. */
static table table_of(const model_list *l)
{
    table t = {.width = 4, .all = isatty(STDOUT_FILENO) ? terminal_columns() : 0};
    for (int i = 0; i < l->n; i++)
        if (model_is_whole(&l->model[i])) t.width = max_int(t.width, text_columns(whole_text(l->model[i].call)));
    if (t.all > 0 && t.width + CELLS > t.all) t.width = max_int(LEAST_WIDTH, t.all - CELLS);
    return t;
}

static int print_text(const model_list *l)
{
    const table t = table_of(l);
    int whole = 0;
    for (int i = 0; i < l->n; i++) {
        if (!model_is_whole(&l->model[i])) continue;
        if (whole++ == 0) {
            (void)printf("%-*s  %9s  %-10s  %6s  %-7s  %-10s", t.width, "name", "size", "kind", "params", "type",
                         "date");
            put_place("in ", whole_text(l->cache), &t);
        }
        print_model(l, &l->model[i], &t);
    }
    (void)fflush(stdout); /* a write that fails shows at the end */
    for (int i = 0; i < l->n; i++)
        if (!model_is_whole(&l->model[i]))
            note("%s is not whole (%s of it are there): kvasir pull goes on with it, kvasir rm removes it",
                 whole_text(l->model[i].call), bytes_text(l->model[i].bytes));
    if (whole == 0)
        note("there are no models in %s: kvasir pull hf:OWNER/REPO fetches one; in a clone of Kvasir "
             "scripts/fetch-models.sh fetches a small one",
             whole_text(l->cache));
    return finish_output(EXIT_DONE);
}

/* Would every shell take it for one word that means itself? Completions offer names as they are. */
static bool is_plain_word(const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+,@";
    if (*s == '-' || strcmp(whole_text(s), s) != 0) return false; /* '-': an option */
    for (; *s; s++)
        if ((unsigned char)*s < 0x80 && !strchr(plain, *s)) return false;
    return true;
}

static int print_names(const model_list *l)
{
    int left_out = 0;
    for (int i = 0; i < l->n; i++) {
        if (!model_is_whole(&l->model[i])) continue;
        if (is_plain_word(l->model[i].call))
            (void)printf("%s\n", l->model[i].call);
        else
            left_out++;
    }
    (void)fflush(stdout);
    if (left_out > 0)
        note("%d name%s left out: a shell would act on %s; kvasir list shows all", left_out,
             left_out == 1 ? " is" : "s are", left_out == 1 ? "it" : "them");
    return finish_output(EXIT_DONE);
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

static json_t *model_json(const cached_model *m)
{
    description d;
    describe(m, &d);
    json_t *files = json_array();
    for (int i = 0; i < m->n_files; i++) (void)json_array_append_new(files, json_text_or_null(m->files[i]));
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:b, s:o, s:o}", "name", json_text_or_null(m->name),
                  "call", json_text_or_null(m->call), "path", json_text_or_null(m->path), "files", files, "bytes",
                  json_bytes(m->bytes), "architecture", d.model ? json_text_or_null(d.info->architecture) : json_null(),
                  "parameters", d.model ? json_bytes(d.info->n_parameters) : json_null(), "type",
                  d.type[0] ? json_text_or_null(d.type) : json_null(), "date", d.date, "fetched", d.fetched, "url",
                  d.url[0] ? json_text_or_null(d.url) : json_null(), "problem",
                  d.problem[0] ? json_text_or_null(d.problem) : json_null());
    kvasir_model_close(d.model);
    return object;
}

static int print_document(const model_list *l)
{
    json_t *document = json_document("list"), *models = json_array(), *others = json_array();
    for (int i = 0; i < l->n; i++) {
        const cached_model *m = &l->model[i];
        if (model_is_whole(m))
            (void)json_array_append_new(models, model_json(m));
        else
            (void)json_array_append_new(others, json_pack("{s:o, s:o, s:o}", "name", json_text_or_null(m->name), "path",
                                                          json_text_or_null(m->path), "bytes", json_bytes(m->bytes)));
    }
    (void)json_object_set_new(document, "cache", json_text_or_null(l->cache));
    (void)json_object_set_new(document, "models", models);
    (void)json_object_set_new(document, "unfinished", others);
    return print_json(document);
}

static int list_main(void *args)
{
    const list_args *a = args;
    model_list l;
    output_apply(&a->output);
    kvasir_status status = models_read(&l);
    int code = status != KVASIR_OK ? failed(status)
               : a->names          ? print_names(&l)
               : a->output.json    ? print_document(&l)
                                   : print_text(&l);
    models_free(&l);
    return code;
}

const cli_command list_command = {
    .name = "list",
    .summary = "List the models that were fetched",
    .about = "Lists the models in the cache folder with the names by which the other commands take them: kvasir run "
             "NAME, where a "
             "beginning that no other model has is enough. What a model is is read from its header.",
    .examples = list_examples,
    .groups = list_groups,
    .size = sizeof(list_args),
    .run = list_main,
};
