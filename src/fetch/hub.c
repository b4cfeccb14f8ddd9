/* A hub's repositories: what is in one, and which file a name means. The API is Hugging Face's:
   GET /api/models/OWNER/REPO/tree/REVISION?recursive=true gives [{"type":"file","path":...,"size":...,
   "lfs":{"oid":SHA-256}}], in pages that a Link header continues; /OWNER/REPO/resolve/REVISION/PATH is the file. */
#include "base/file_kind.h"
#include "base/mem.h"
#include "fetch/http.h"
#include "fetch/sha256.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LISTING_BYTES = 16 << 20, SHOWN = 20, MAX_PAGES = 64, CHOICES_BYTES = 1 << 20 };

void fetch_list_free(fetch_list *l)
{
    mem_free(l->file);
    *l = (fetch_list){0};
}

/* ---- what is in the cache ---- */

/* Reads the record beside a file; NULL: there is none. */
static json_t *record_of(const fetch_file *f)
{
    char path[FETCH_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s.json", f->local);
    return json_load_file(path, 0, NULL);
}

/* Older versions kept whatever a server sent: a page of HTML in the cache is no model that is there. */
static bool begins_as_gguf(const char *path)
{
    char head[4] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : -1;
    if (fd >= 0) (void)close(fd);
    return n > 0 && file_kind_is_gguf(head, (size_t)n);
}

bool fetch_is_there(const fetch_file *f)
{
    struct stat s;
    if (stat(f->local, &s) != 0 || !S_ISREG(s.st_mode) || (f->bytes && (uint64_t)s.st_size != f->bytes)) return false;
    if (!begins_as_gguf(f->local)) return false;
    if (!f->sha256[0]) return true;
    json_t *record = record_of(f);
    const char *sha256 = json_string_value(json_object_get(record, "sha256"));
    bool same = sha256 && strcasecmp(sha256, f->sha256) == 0;
    json_decref(record);
    return same;
}

bool fetch_is_from_url(const fetch_file *f)
{
    json_t *record = record_of(f);
    const char *url = json_string_value(json_object_get(record, "url"));
    bool same = url && strcmp(url, f->url) == 0;
    json_decref(record);
    return same;
}

bool fetch_take_record(fetch_file *f)
{
    json_t *record = record_of(f);
    const char *sha256 = json_string_value(json_object_get(record, "sha256"));
    json_int_t bytes = json_integer_value(json_object_get(record, "bytes"));
    bool good = bytes > 0 && sha256 && strlen(sha256) == FETCH_SHA256_BYTES - 1;
    if (good) {
        f->bytes = (uint64_t)bytes;
        (void)snprintf(f->sha256, sizeof f->sha256, "%s", sha256);
    }
    json_decref(record);
    return good && fetch_is_there(f);
}

/* ---- what a repository has ---- */

/* Checks what snprintf returned for a text that must not be cut. */
static kvasir_status put_text(size_t room, const char *what, int n)
{
    return n >= 0 && (size_t)n < room ? KVASIR_OK
                                      : fail(KVASIR_E_ARGUMENT, "the %s is longer than %zu bytes", what, room - 1);
}

static bool is_gguf(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcasecmp(path + n - 5, ".gguf") == 0;
}

/* Escapes a safe path for a URL. `to` has 3 * FETCH_NAME_BYTES. */
static void escape(const char *path, char *to)
{
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;
        if (c < 0x80 && (isalnum(c) || strchr("-._~/", c)))
            *to++ = (char)c;
        else
            to += snprintf(to, 4, "%%%02X", c);
    }
    *to = '\0';
}

static kvasir_status fill(const fetch_options *o, const fetch_name *name, const char *path, fetch_file *f)
{
    char escaped[3 * FETCH_NAME_BYTES];
    *f = (fetch_file){0};
    escape(path, escaped);
    TRY(put_text(sizeof f->path, "file's name", snprintf(f->path, sizeof f->path, "%s", path)));
    TRY(put_text(sizeof f->url, "URL",
                 snprintf(f->url, sizeof f->url, "%s/%s/%s/resolve/%s/%s", o->endpoint, name->owner, name->repo,
                          name->revision, escaped)));
    return put_text(sizeof f->local, "path",
                    snprintf(f->local, sizeof f->local, "%s/hf/%s/%s/%s/%s", o->cache, name->owner, name->repo,
                             name->revision, path));
}

static kvasir_status add_entry(const fetch_options *o, const fetch_name *name, const json_t *entry, fetch_list *out)
{
    const char *path = json_string_value(json_object_get(entry, "path"));
    const char *type = json_string_value(json_object_get(entry, "type"));
    const json_t *lfs = json_object_get(entry, "lfs");
    const char *oid = json_string_value(json_object_get(lfs, "oid"));
    json_int_t size = json_integer_value(json_object_get(lfs ? lfs : entry, "size"));
    if (!path || !type || strcmp(type, "file") != 0 || !is_gguf(path)) return KVASIR_OK;
    if (!fetch_safe_path(path) || size < 0)
        return fail(KVASIR_E_FORMAT, "the hub lists a file that cannot be: %s", quoted(path, strlen(path)));
    if (out->n == FETCH_MAX_FILES)
        return fail(KVASIR_E_FORMAT, "the repository has more than %d files", FETCH_MAX_FILES);
    fetch_file *grown = mem_grow(out->file, (size_t)out->n, (size_t)out->n + 1, sizeof *grown);
    if (!grown) return fail_memory(sizeof *grown);
    out->file = grown;
    fetch_file *f = &out->file[out->n];
    TRY(fill(o, name, path, f));
    out->n++;
    f->bytes = (uint64_t)size;
    if (oid && strlen(oid) == FETCH_SHA256_BYTES - 1) (void)snprintf(f->sha256, sizeof f->sha256, "%s", oid);
    return KVASIR_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const fetch_file *)a)->path, ((const fetch_file *)b)->path);
}

/* Adds one page of a listing; *url becomes the address of the next page, or "". */
static kvasir_status add_page(const fetch_options *o, const fetch_name *name, char url[FETCH_URL_BYTES],
                              fetch_list *out)
{
    char *text;
    size_t n;
    http_reply reply;
    json_error_t why;
    TRY(http_text(o, url, LISTING_BYTES, &text, &n, &reply));
    json_t *list = json_loadb(text, n, 0, &why);
    kvasir_status status = KVASIR_OK;
    if (!json_is_array(list))
        status = fail(KVASIR_E_FORMAT, "%s: the answer is no list of files", quoted(url, strlen(url)));
    for (size_t i = 0; status == KVASIR_OK && i < json_array_size(list); i++)
        status = add_entry(o, name, json_array_get(list, i), out);
    json_decref(list);
    mem_free(text);
    if (status == KVASIR_OK && reply.next[0] && !fetch_same_host(reply.next, o->endpoint))
        status = fail(KVASIR_E_FORMAT, "%s: the list goes on at another host", quoted(url, strlen(url)));
    (void)snprintf(url, FETCH_URL_BYTES, "%s", reply.next);
    return status;
}

kvasir_status fetch_repository(const fetch_options *o, const fetch_name *name, fetch_list *out)
{
    char url[FETCH_URL_BYTES];
    *out = (fetch_list){0};
    TRY(put_text(sizeof url, "URL",
                 snprintf(url, sizeof url, "%s/api/models/%s/%s/tree/%s?recursive=true", o->endpoint, name->owner,
                          name->repo, name->revision)));
    kvasir_status status = KVASIR_OK;
    for (int page = 0; status == KVASIR_OK && url[0]; page++)
        status = page < MAX_PAGES ? add_page(o, name, url, out)
                                  : fail(KVASIR_E_FORMAT, "hf:%s/%s: the list of files has more than %d pages",
                                         name->owner, name->repo, MAX_PAGES);
    if (status != KVASIR_OK) {
        fetch_list_free(out);
        return status;
    }
    if (out->n > 0) qsort(out->file, (size_t)out->n, sizeof *out->file, by_path);
    return KVASIR_OK;
}

/* ---- which file ---- */

/* Does the path have `word`, in upper or lower case, between separators? */
static bool has_word(const char *path, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = path; *p; p++) {
        if (strncasecmp(p, word, n) != 0 || (p > path && !strchr("-._/", p[-1]))) continue;
        if (p[n] == '\0' || strchr("-./", p[n])) return true; /* _ is no separator: Q4_K is not Q4_K_M */
    }
    return false;
}

static bool first_part(const char *path)
{
    int part, n;
    size_t at;
    return !fetch_split(path, &part, &n, &at) || part == 1;
}

static kvasir_status not_one(const fetch_name *name, const fetch_list *all, int found)
{
    char text[512] = "";
    size_t at = 0;
    int shown = 0;
    for (int i = 0; i < all->n && shown < SHOWN && at < sizeof text - 1; i++) {
        if (!first_part(all->file[i].path)) continue;
        int n = snprintf(text + at, sizeof text - at, "%s%s", shown++ ? ", " : "",
                         quoted(all->file[i].path, strlen(all->file[i].path)));
        at += n > 0 ? (size_t)n : 0;
    }
    if (all->n == 0)
        return fail(KVASIR_E_ARGUMENT, "hf:%s/%s has no GGUF files; look for a repository whose name ends in -GGUF",
                    name->owner, name->repo);
    if (name->what[0] == '\0')
        return fail(KVASIR_E_ARGUMENT, "hf:%s/%s has several files; name one behind a colon: %s", name->owner,
                    name->repo, text);
    return fail(KVASIR_E_ARGUMENT, "hf:%s/%s has %s for %s; there are: %s", name->owner, name->repo,
                found ? "more than one file" : "no file", name->what, text);
}

/* The index of the file that is meant; of a split model, its first part. Files for other parts of a model (such as a
   projector for pictures) are meant only when they are named. */
static kvasir_status which(const fetch_name *name, const fetch_list *all, int *out)
{
    static const char usual[] = "Q4_K_M";
    int found = 0, models = 0, only = -1;
    for (int i = 0; i < all->n; i++) {
        const char *path = all->file[i].path;
        if (name->what[0] && strcmp(path, name->what) == 0) {
            *out = i;
            return KVASIR_OK;
        }
        if (!first_part(path) || has_word(path, "mmproj")) continue;
        models++;
        only = i;
        if (has_word(path, name->what[0] ? name->what : usual)) *out = found++ ? *out : i;
    }
    if (found == 1) return KVASIR_OK;
    if (!name->what[0] && models == 1) {
        *out = only;
        return KVASIR_OK;
    }
    return not_one(name, all, found);
}

/* All parts of the split file `first`, or that file alone. */
static kvasir_status with_parts(const fetch_list *all, int first, fetch_list *out)
{
    int part, n = 1;
    size_t at = 0;
    const fetch_file *f = &all->file[first];
    bool split = fetch_split(f->path, &part, &n, &at);
    if (!split) n = 1;
    out->file = mem_alloc((size_t)n, sizeof *out->file);
    if (!out->file) return fail_memory((size_t)n * sizeof *out->file);
    for (int i = 0; i < n; i++) {
        char path[FETCH_NAME_BYTES + 32];
        const fetch_file *found = NULL;
        if (split)
            (void)snprintf(path, sizeof path, "%.*s-%05d-of-%05d.gguf", (int)at, f->path, i + 1, n);
        else
            (void)snprintf(path, sizeof path, "%s", f->path);
        for (int j = 0; j < all->n && !found; j++)
            if (strcmp(all->file[j].path, path) == 0) found = &all->file[j];
        if (!found)
            return fail(KVASIR_E_FORMAT, "part %d of %d of %s is not in the repository", i + 1, n,
                        quoted(f->path, strlen(f->path)));
        out->file[out->n++] = *found;
    }
    return KVASIR_OK;
}

/* ---- URLs ---- */

/* The file of a URL; if it is a part of a split model, all its parts. */
static kvasir_status choose_url(const fetch_options *o, const char *url, fetch_list *out)
{
    char folder[FETCH_SHA256_BYTES], plain[FETCH_URL_BYTES];
    size_t n = strcspn(url, "?#");
    (void)snprintf(plain, sizeof plain, "%.*s", (int)n, url);
    const char *last = strrchr(plain, '/');
    if (!last || !fetch_safe_path(last + 1))
        return fail(KVASIR_E_ARGUMENT, "%s: the URL does not end in a file's name", quoted(url, strlen(url)));
    int part, parts = 1;
    size_t at = 0;
    bool split = fetch_split(last + 1, &part, &parts, &at);
    if (!split) parts = 1;
    char base[FETCH_URL_BYTES];
    (void)snprintf(base, sizeof base, "%.*s", (int)(last + 1 - plain), plain);
    TRY(sha256_text(base, folder));
    out->file = mem_alloc((size_t)parts, sizeof *out->file);
    if (!out->file) return fail_memory((size_t)parts * sizeof *out->file);
    for (int i = 0; i < parts; i++) {
        fetch_file *f = &out->file[out->n++];
        if (split)
            (void)snprintf(f->path, sizeof f->path, "%.*s-%05d-of-%05d.gguf", (int)at, last + 1, i + 1, parts);
        else
            (void)snprintf(f->path, sizeof f->path, "%s", last + 1);
        TRY(put_text(sizeof f->url, "URL", snprintf(f->url, sizeof f->url, "%s%s%s", base, f->path, url + n)));
        TRY(put_text(sizeof f->local, "path",
                     snprintf(f->local, sizeof f->local, "%s/url/%.16s/%s", o->cache, folder, f->path)));
    }
    return KVASIR_OK;
}

/* ---- earlier choices ---- */

/* The path of a file beside a repository's files: {"q4_k_m": ["path", ...], ...}, what each name stood for when the
   hub was asked. */
static void choices_path(const fetch_options *o, const fetch_name *name, char to[FETCH_PATH_BYTES])
{
    (void)snprintf(to, FETCH_PATH_BYTES, "%s/hf/%s/%s/%s/.chosen.json", o->cache, name->owner, name->repo,
                   name->revision);
}

static void choice_key(const fetch_name *name, char to[FETCH_NAME_BYTES])
{
    size_t n = strlen(name->what);
    for (size_t i = 0; i <= n; i++) to[i] = (char)tolower((unsigned char)name->what[i]);
}

static json_t *load_choices(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0 || s.st_size > CHOICES_BYTES) return NULL;
    json_t *all = json_load_file(path, 0, NULL);
    if (json_is_object(all)) return all;
    json_decref(all);
    return NULL;
}

/* All files of an earlier choice, if they are all there with their records; otherwise false and an empty list. */
static bool same_as_before(const fetch_options *o, const fetch_name *name, fetch_list *out)
{
    char path[FETCH_PATH_BYTES], key[FETCH_NAME_BYTES];
    choices_path(o, name, path);
    choice_key(name, key);
    json_t *all = load_choices(path);
    const json_t *files = json_object_get(all, key);
    size_t n = json_array_size(files);
    if (n > 0 && n <= FETCH_MAX_PARTS) out->file = mem_alloc(n, sizeof *out->file);
    bool good = out->file != NULL;
    for (size_t i = 0; good && i < n; i++) {
        const char *one = json_string_value(json_array_get(files, i));
        fetch_file *f = &out->file[out->n++];
        good =
            one && fetch_safe_path(one) && is_gguf(one) && fill(o, name, one, f) == KVASIR_OK && fetch_take_record(f);
    }
    json_decref(all);
    if (!good) fetch_list_free(out);
    return good;
}

/* A failure does no harm: the hub is asked again the next time. */
static void remember(const fetch_options *o, const fetch_name *name, const fetch_list *chosen)
{
    char path[FETCH_PATH_BYTES], key[FETCH_NAME_BYTES];
    choices_path(o, name, path);
    choice_key(name, key);
    json_t *all = load_choices(path), *files = json_array();
    if (!all) all = json_object();
    for (int i = 0; i < chosen->n; i++) (void)json_array_append_new(files, json_string(chosen->file[i].path));
    (void)json_object_set_new(all, key, files);
    (void)fetch_save_json(all, path);
}

static bool has_text(const json_t *list, const char *text)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *one = json_string_value(item);
        if (one && strcmp(one, text) == 0) return true;
    }
    return false;
}

void fetch_forget_choices(const char *cache, const char *local)
{
    char path[FETCH_PATH_BYTES];
    const char *file = local + strlen(cache), *key;
    if (strncmp(file, "/hf/", 4) != 0) return;
    for (int i = 0; i < 4 && file; i++) file = strchr(file + 1, '/'); /* behind hf, owner, repository, revision */
    if (!file || snprintf(path, sizeof path, "%.*s/.chosen.json", (int)(file - local), local) >= (int)sizeof path)
        return;
    json_t *all = load_choices(path), *files;
    void *next;
    size_t before = json_object_size(all);
    json_object_foreach_safe(all, next, key, files)
    {
        if (has_text(files, file + 1)) (void)json_object_del(all, key);
    }
    if (json_object_size(all) == 0 && all) {
        (void)unlink(path);
        json_decref(all);
    } else if (json_object_size(all) != before) {
        (void)fetch_save_json(all, path);
    } else {
        json_decref(all);
    }
}

kvasir_status fetch_choose(const fetch_options *o, const fetch_name *name, fetch_list *out)
{
    fetch_list all;
    int first = 0;
    kvasir_status status;
    *out = (fetch_list){0};
    if (name->url) {
        status = choose_url(o, name->url, out);
    } else {
        if (!o->force && same_as_before(o, name, out)) return KVASIR_OK;
        TRY(fetch_repository(o, name, &all));
        status = which(name, &all, &first);
        if (status == KVASIR_OK) status = with_parts(&all, first, out);
        fetch_list_free(&all);
        if (status == KVASIR_OK) remember(o, name, out);
    }
    if (status != KVASIR_OK) fetch_list_free(out);
    return status;
}
