/* kvasir rm: models of the cache folder are removed, by name. */
#include "cli/models/models.h"
#include "cli/session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct rm_args {
    cli_list names;
    int yes;
    output_args output;
} rm_args;

#define FIELD(name) offsetof(rm_args, name)
static const cli_option rm_options[] = {
    {"yes", 'y', CLI_FLAG, NULL, NULL, FIELD(yes), "Do not ask", 0, 0, NULL},
    {0},
};
static const cli_group rm_groups[] = {{"Removing", rm_options, 0}, {"Output", output_options, FIELD(output)}, {0}};
static const cli_example rm_examples[] = {
    {"kvasir rm qwen2.5-coder-1.5b-q4_k_m", "Asks, and removes it."},
    {"kvasir rm --yes OWNER/REPO/model-q8_0", "The one of this repository, without a question."},
    {0},
};

/* What is to go. */
typedef struct removal {
    model_list list;
    const cached_model **model;
    int n;
} removal;

/* A name is looked up among whole models first. A path is none, wherever it leads. */
static int choose(removal *r, const char *name)
{
    const cached_model *m = NULL;
    struct stat s;
    const char *shown = whole_text(name);
    bool is_file = strchr(name, '/') && lstat(name, &s) == 0;
    if (model_is_path(name) || is_file || fetch_is_name(name)) {
        const cached_model *same = fetch_is_name(name) ? NULL : models_of_file(&r->list, name);
        return usage_error(
            "%s is no name: kvasir rm takes names, as kvasir list shows them, and removes from the cache folder "
            "alone%s%s",
            shown, same ? "; there it has " : "", same ? whole_text(same->call) : "");
    }
    bool whole = true;
    int n = models_find(&r->list, name, whole, &m);
    if (n == 0) n = models_find(&r->list, name, whole = false, &m);
    if (n > 1) return models_ambiguous(&r->list, name, whole);
    if (n == 0) return models_unknown(&r->list, name);
    for (int i = 0; i < r->n; i++)
        if (r->model[i] == m) return EXIT_DONE;
    r->model[r->n++] = m;
    return EXIT_DONE;
}

/* 1: yes */
static int ask(const removal *r)
{
    char line[64] = "";
    for (int i = 0; i < r->n; i++)
        (void)fprintf(stderr, "  %s  %s  %s%s\n", whole_text(r->model[i]->call), bytes_text(r->model[i]->bytes),
                      whole_text(r->model[i]->path), r->model[i]->n_files > 1 ? " and its other parts" : "");
    (void)fprintf(stderr, "Remove %s? [y/N] ", r->n == 1 ? "it" : "them");
    if (!fgets(line, sizeof line, stdin)) (void)fputc('\n', stderr);
    return strcmp(line, "y\n") == 0 || strcmp(line, "Y\n") == 0 || strcmp(line, "yes\n") == 0;
}

static json_t *removed_json(const cached_model *m, uint64_t freed)
{
    json_t *files = json_array();
    for (int i = 0; i < m->n_files; i++) (void)json_array_append_new(files, json_text_or_null(m->files[i]));
    return json_pack("{s:o, s:o, s:o, s:o}", "name", json_text_or_null(m->name), "path", json_text_or_null(m->path),
                     "files", files, "bytes", json_bytes(freed));
}

static int remove_all(const rm_args *a, const removal *r)
{
    json_t *removed = json_array();
    uint64_t total = 0;
    int code = EXIT_DONE;
    for (int i = 0; code == EXIT_DONE && i < r->n; i++) {
        const cached_model *m = r->model[i];
        uint64_t freed = 0;
        kvasir_status status = fetch_remove(r->list.cache, m->files, m->n_files, &freed);
        total += freed;
        if (status != KVASIR_OK)
            code = failed(status);
        else if (a->output.json)
            (void)json_array_append_new(removed, removed_json(m, freed));
        else
            (void)printf("%s removed, %s freed\n", whole_text(m->call), bytes_text(freed));
    }
    if (a->output.json) {
        json_t *document = json_document("rm");
        (void)json_object_set_new(document, "removed", removed);
        (void)json_object_set_new(document, "bytes", json_bytes(total));
        int printed = print_json(document);
        return code == EXIT_DONE ? printed : code;
    }
    json_decref(removed);
    return finish_output(code);
}

static int rm(const rm_args *a, removal *r)
{
    int code = EXIT_DONE;
    for (int i = 0; code == EXIT_DONE && i < a->names.n; i++) code = choose(r, a->names.items[i]);
    if (code != EXIT_DONE) return code;
    if (!a->yes && !(isatty(STDIN_FILENO) && isatty(STDERR_FILENO)))
        return usage_error(
            "rm asks before it removes, and here is no terminal to ask at; --yes removes without a question");
    if (!a->yes && !ask(r)) {
        note("nothing was removed");
        return EXIT_FAILED;
    }
    return remove_all(a, r);
}

static int rm_main(void *args)
{
    const rm_args *a = args;
    removal r = {0};
    output_apply(&a->output);
    kvasir_status status = models_read(&r.list);
    r.model = mem_alloc((size_t)a->names.n, sizeof *r.model);
    if (status == KVASIR_OK && !r.model) status = fail_memory((size_t)a->names.n * sizeof *r.model);
    int code = status == KVASIR_OK ? rm(a, &r) : failed(status);
    mem_free(r.model);
    models_free(&r.list);
    return code;
}

const cli_command rm_command = {
    .name = "rm",
    .argument = CLI_ARGUMENT_NAME,
    .argument_many = 1,
    .argument_field = FIELD(names),
    .summary = "Remove models that were fetched",
    .about = "Removes models from the cache folder: all parts, what was kept about them, and folders that are empty "
             "then. It asks "
             "first, unless --yes is given. Models that are being fetched are left alone, and so is everything outside "
             "the cache "
             "folder.",
    .examples = rm_examples,
    .groups = rm_groups,
    .size = sizeof(rm_args),
    .run = rm_main,
};
