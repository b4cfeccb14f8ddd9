/* kvasir pull: a model file from a URL or a hub into the cache. */
#include "cli/session/remote.h"
#include "cli/session/session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct pull_args {
    const char *what, *to, *sha256, *token_file;
    int list, force, connections, retries, stall;
    output_args output;
} pull_args;

#define FIELD(name) offsetof(pull_args, name)
static const cli_option pull_options[] = {
    {"hf-repo", 0, CLI_HUB, "-hf -hfr", "OWNER/REPO[:WHAT]", 0, "Instead of hf:OWNER/REPO[:WHAT] (also -hf)", 0, 0,
     NULL},
    {"list", 'l', CLI_FLAG, NULL, NULL, FIELD(list), "List the GGUF files of the repository instead", 0, 0, NULL},
    {"to", 0, CLI_FILE, NULL, "FILE", FIELD(to), "Put the file there instead of into the cache", 0, 0, NULL},
    {"sha256", 0, CLI_TEXT, NULL, "HEX", FIELD(sha256),
     "What the file has to be; else what the hub says, where it says it", 0, 0, NULL},
    {"token-file", 0, CLI_FILE, NULL, "FILE", FIELD(token_file),
     "A file with the token for models that need one (default: KVASIR_HF_TOKEN)", 0, 0, NULL},
    {"connections", 0, CLI_INT, NULL, "N", FIELD(connections), "Ranges fetched at once (default 4)", 1,
     FETCH_MAX_CONNECTIONS, NULL},
    {"retries", 0, CLI_INT, NULL, "N", FIELD(retries), "Further tries of a range that failed (default 6)", 0, 100,
     NULL},
    {"stall", 0, CLI_INT, NULL, "SECONDS", FIELD(stall), "Silence after which a connection is given up (default 30)", 1,
     3600, NULL},
    {"force", 0, CLI_FLAG, NULL, NULL, FIELD(force), "Fetch again what is there", 0, 0, NULL},
    {0},
};
static const cli_group pull_groups[] = {{"Fetching", pull_options, 0}, {"Output", output_options, FIELD(output)}, {0}};
static const cli_example pull_examples[] = {
    {"kvasir pull hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF --list", "What there is."},
    {"kvasir pull hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:q4_k_m", "One quantisation, all of its parts."},
    {"kvasir run $(kvasir pull https://example.org/model.gguf)",
     "The path is printed; run takes the name itself, too."},
    {0},
};

static void pull_defaults(void *args)
{
    pull_args *a = args;
    a->connections = a->retries = a->stall = -1;
}

static void apply(const pull_args *a, remote *r)
{
    if (a->connections >= 0) r->options.connections = a->connections;
    if (a->retries >= 0) r->options.retries = a->retries;
    if (a->stall >= 0) r->options.stall_seconds = a->stall;
    r->options.force = a->force != 0;
}

static json_t *file_json(const fetch_file *f)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:b}", "file", f->path, "url", f->url, "path", f->local, "bytes",
                     f->bytes ? json_bytes(f->bytes) : json_null(), "sha256",
                     f->sha256[0] ? json_string(f->sha256) : json_null(), "there", fetch_is_there(f));
}

static int print_files(const fetch_list *l, const char *path)
{
    json_t *document = json_document("pull"), *files = json_array();
    for (int i = 0; i < l->n; i++) (void)json_array_append_new(files, file_json(&l->file[i]));
    (void)json_object_set_new(document, "path", path ? json_string(path) : json_null());
    (void)json_object_set_new(document, "files", files);
    return print_json(document);
}

static int list(const pull_args *a, remote *r, const fetch_name *name)
{
    fetch_list l;
    if (name->url) return usage_error("--list needs a repository: hf:OWNER/REPO");
    kvasir_status status = fetch_repository(&r->options, name, &l);
    if (status != KVASIR_OK) return failed(status);
    int code = EXIT_DONE;
    if (a->output.json) {
        code = print_files(&l, NULL);
    } else {
        for (int i = 0; i < l.n; i++)
            (void)printf("%10s  %-6s  %s\n", bytes_text(l.file[i].bytes), fetch_is_there(&l.file[i]) ? "there" : "",
                         l.file[i].path);
        if (l.n == 0) note("the repository has no GGUF files");
    }
    fetch_list_free(&l);
    return code;
}

/* What the options say about the one file. */
static kvasir_status adjust(const pull_args *a, fetch_list *l)
{
    fetch_file *f = &l->file[0];
    if ((a->to || a->sha256) && l->n > 1)
        return fail(KVASIR_E_ARGUMENT, "--to and --sha256 are for one file, and the model has %d parts", l->n);
    if (a->to && snprintf(f->local, sizeof f->local, "%s", a->to) >= FETCH_PATH_BYTES / 2)
        return fail(KVASIR_E_ARGUMENT, "the path of --to is too long");
    if (a->to && !a->force && access(a->to, F_OK) == 0 && !fetch_is_from_url(f))
        return fail(KVASIR_E_ARGUMENT, "%s is there, and by no record from %s; --force replaces it",
                    quoted(a->to, strlen(a->to)), quoted(f->url, strlen(f->url)));
    if (!a->sha256) return KVASIR_OK;
    if (strlen(a->sha256) != FETCH_SHA256_BYTES - 1 ||
        strspn(a->sha256, "0123456789abcdefABCDEF") != FETCH_SHA256_BYTES - 1)
        return fail(KVASIR_E_ARGUMENT, "--sha256 takes 64 hexadecimal digits");
    (void)snprintf(f->sha256, sizeof f->sha256, "%s", a->sha256);
    return KVASIR_OK;
}

static int pull_main(void *args)
{
    const pull_args *a = args;
    remote r;
    fetch_name name;
    fetch_list files = {0};
    output_apply(&a->output);
    if (!fetch_is_name(a->what))
        return usage_error("%s is neither a URL nor hf:OWNER/REPO[:FILE or quantisation]",
                           quoted(a->what, strlen(a->what)));
    int code = remote_open(&r, a->token_file);
    if (code != EXIT_DONE) return code;
    kvasir_status status = remote_parse(&r, a->what, &name);
    if (status != KVASIR_OK) return failed(status);
    apply(a, &r);
    if (a->list) return list(a, &r, &name);
    status = fetch_choose(&r.options, &name, &files);
    if (status == KVASIR_OK) status = adjust(a, &files);
    if (status == KVASIR_OK) status = remote_get(&r, &files);
    if (status != KVASIR_OK) {
        code = remote_failed(&r, status);
    } else if (a->output.json) {
        code = print_files(&files, files.file[0].local);
    } else {
        (void)printf("%s\n", files.file[0].local);
    }
    fetch_list_free(&files);
    return code == EXIT_DONE ? finish_output(code) : code;
}

const cli_command pull_command = {
    .name = "pull",
    .argument = "WHAT",
    .argument_field = FIELD(what),
    .summary = "Fetch a model from a URL or a hub",
    .about =
        "Fetches a GGUF file, in several ranges at once, into the cache that the other commands look into, and prints "
        "its path. WHAT is a URL, or hf:OWNER/REPO with a file or a quantisation behind a colon and a revision behind "
        "an @ before it. All parts of a split model are fetched.\n\n"
        "What is there is not fetched again; what was interrupted goes on. Size and SHA-256 are checked before the "
        "file "
        "appears under its name.",
    .examples = pull_examples,
    .groups = pull_groups,
    .size = sizeof(pull_args),
    .defaults = pull_defaults,
    .run = pull_main,
};
