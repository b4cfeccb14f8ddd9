#include "cli/session/remote.h"
#include "cli/models/models.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONNECTIONS = 4, RETRIES = 6, STALL_SECONDS = 30 };

static const char hub[] = "https://huggingface.co";

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void on_note(void *user, const char *text)
{
    remote *r = user;
    progress_end(&r->bar);
    note("%s", text);
}

static int on_bytes(void *user, uint64_t done, uint64_t total)
{
    remote *r = user;
    progress_update(&r->bar, done, total, NULL);
    return interrupted();
}

static void on_begin(void *user, const char *what, uint64_t done)
{
    remote *r = user;
    progress_end(&r->bar);
    r->bar = progress_start(what, "B");
    r->bar.before = done;
}

/* Half of the room is for what is put behind it. */
kvasir_status model_cache(char *to, size_t n)
{
    const char *own = setting("KVASIR_CACHE");
    if (!own) return user_path("XDG_CACHE_HOME", ".cache", "kvasir/models", to, n / 2);
    int length = snprintf(to, n / 2, "%s", own);
    return length >= 0 && (size_t)length < n / 2 ? KVASIR_OK : fail(KVASIR_E_ARGUMENT, "KVASIR_CACHE is too long");
}

/* The first word of a file. */
static int read_token(const char *path, char *to, size_t n)
{
    FILE *f = fopen(path, "r");
    if (!f) return usage_error("%s: %s", path, strerror(errno));
    size_t got = fread(to, 1, n - 1, f);
    (void)fclose(f);
    to[got] = '\0';
    size_t from = strspn(to, " \t\r\n"), length = strcspn(to + from, " \t\r\n");
    memmove(to, to + from, length);
    to[length] = '\0';
    return length > 0 && got < n - 1 ? EXIT_DONE : usage_error("%s holds no token", path);
}

int remote_open(remote *r, const char *token_file)
{
    const char *endpoint = setting("KVASIR_HF_ENDPOINT"), *token = setting("KVASIR_HF_TOKEN");
    *r = (remote){.bar = progress_start("fetching", "B"), .own_token = token_file != NULL};
    kvasir_status status = model_cache(r->cache, sizeof r->cache);
    int code = status == KVASIR_OK ? EXIT_DONE : failed(status);
    if (code == EXIT_DONE && token_file) code = read_token(token_file, r->token, sizeof r->token);
    if (code != EXIT_DONE) return code;
    if (!token_file && token) (void)snprintf(r->token, sizeof r->token, "%s", token);
    r->options = (fetch_options){.cache = r->cache,
                                 .endpoint = endpoint ? endpoint : hub,
                                 .token = r->token[0] ? r->token : NULL,
                                 .connections = CONNECTIONS,
                                 .retries = RETRIES,
                                 .stall_seconds = STALL_SECONDS,
                                 .progress = on_bytes,
                                 .note = on_note,
                                 .begin = on_begin,
                                 .user = r};
    catch_interrupts();
    return EXIT_DONE;
}

kvasir_status remote_parse(remote *r, const char *what, fetch_name *out)
{
    TRY(fetch_parse(what, out));
    if (out->url && !r->own_token && !fetch_same_host(out->url, r->options.endpoint)) r->options.token = NULL;
    return KVASIR_OK;
}

int remote_failed(remote *r, kvasir_status status)
{
    progress_end(&r->bar);
    if (status == KVASIR_E_CANCELLED) {
        note("stopped; the same command goes on from here");
        return EXIT_STOPPED;
    }
    return failed(status);
}

static kvasir_status choose(remote *r, const char *what, fetch_list *files)
{
    fetch_name name;
    TRY(remote_parse(r, what, &name));
    return fetch_choose(&r->options, &name, files);
}

kvasir_status remote_get(remote *r, fetch_list *files)
{
    for (int i = 0; i < files->n; i++) {
        kvasir_status status = fetch_get(&r->options, &files->file[i]);
        progress_end(&r->bar);
        TRY(status);
    }
    return KVASIR_OK;
}

int model_path(const char *what, char *to)
{
    remote r;
    fetch_list files = {0};
    if (!fetch_is_name(what)) return model_find(what, to);
    int code = remote_open(&r, NULL);
    if (code != EXIT_DONE) return code;
    kvasir_status status = choose(&r, what, &files);
    for (int i = 0; i < files.n; i++)
        if (!fetch_is_there(&files.file[i])) note("fetching %s", files.file[i].url);
    if (status == KVASIR_OK) status = remote_get(&r, &files);
    if (status == KVASIR_OK) (void)snprintf(to, FETCH_PATH_BYTES, "%s", files.file[0].local);
    fetch_list_free(&files);
    return status == KVASIR_OK ? EXIT_DONE : remote_failed(&r, status);
}

/* ---- headers alone ---- */

static bool is_gguf(const char *path)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(magic, 1, sizeof magic, f) : 0;
    if (f) (void)fclose(f);
    return n == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
}

/* Is a beginning long enough? Our own reader decides. What is no GGUF file, or one that is not supported, does not become
   one by more of it; any other failure may be the end that is missing. */
static kvasir_status reads(void *user, const char *path, bool *whole)
{
    const kvasir_model_options o = {.header_only = 1, .inspect_only = 1};
    kvasir_model *m = NULL;
    (void)user;
    kvasir_status status = kvasir_model_open(path, &o, &m);
    *whole = status == KVASIR_OK;
    if (*whole) kvasir_model_close(m);
    return status == KVASIR_E_FORMAT && is_gguf(path) ? KVASIR_OK : status;
}

/* A later part of a split model is no model by itself: its first piece holds its header, which has no vocabulary. */
static kvasir_status any(void *user, const char *path, bool *whole)
{
    (void)user;
    (void)path;
    *whole = true;
    return KVASIR_OK;
}

/* headers/NAME beside the file, with `part` before the name. */
static kvasir_status header_path(const fetch_file *f, const char *part, char *to)
{
    const char *last = strrchr(f->local, '/');
    int n = snprintf(to, FETCH_PATH_BYTES, "%.*s/headers%s%s", (int)(last - f->local), f->local, part, last);
    return n < FETCH_PATH_BYTES ? KVASIR_OK : fail(KVASIR_E_ARGUMENT, "the path of the cache folder is too long");
}

/* In a folder of this process: another command may be reading or fetching the same headers. The first one last: it opens with
   the others beside it. */
static kvasir_status fetch_headers(remote *r, const fetch_list *files, const char *part)
{
    char path[FETCH_PATH_BYTES];
    for (int i = files->n - 1; i >= 0; i--) {
        TRY(header_path(&files->file[i], part, path));
        TRY(fetch_header(&r->options, &files->file[i], path, i > 0 ? any : reads, NULL));
    }
    return KVASIR_OK;
}

/* Moves them to where they are found next time, or with !keep away. */
static kvasir_status settle_headers(const fetch_list *files, const char *part, bool keep, char *to)
{
    char from[FETCH_PATH_BYTES] = "";
    kvasir_status status = KVASIR_OK;
    for (int i = files->n - 1; i >= 0; i--) {
        if (header_path(&files->file[i], part, from) != KVASIR_OK || header_path(&files->file[i], "", to) != KVASIR_OK)
            continue;
        if (keep && rename(from, to) != 0) status = fail(KVASIR_E_IO, "%s: %s", to, strerror(errno));
        if (!keep || status != KVASIR_OK) (void)unlink(from);
    }
    char *last = strrchr(from, '/');
    if (last) *last = '\0';
    (void)rmdir(from);
    return status;
}

static kvasir_status get_headers(remote *r, const fetch_list *files, char *to)
{
    char part[32];
    (void)snprintf(part, sizeof part, "/%ld", (long)getpid());
    kvasir_status status = fetch_headers(r, files, part);
    if (status == KVASIR_OK) return settle_headers(files, part, true, to);
    (void)settle_headers(files, part, false, to);
    return status;
}

int model_header_path(const char *what, char *to, int *header_only)
{
    remote r;
    fetch_list files = {0};
    if (!fetch_is_name(what)) return model_path(what, to);
    int code = remote_open(&r, NULL);
    if (code != EXIT_DONE) return code;
    kvasir_status status = choose(&r, what, &files);
    bool there = status == KVASIR_OK;
    for (int i = 0; i < files.n; i++) there = there && fetch_is_there(&files.file[i]);
    if (there) (void)snprintf(to, FETCH_PATH_BYTES, "%s", files.file[0].local);
    if (status == KVASIR_OK && !there) {
        *header_only = 1;
        status = get_headers(&r, &files, to);
    }
    fetch_list_free(&files);
    return status == KVASIR_OK ? EXIT_DONE : remote_failed(&r, status);
}
