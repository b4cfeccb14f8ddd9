#include "cli/models/models.h"
#include "cli/session/remote.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Folders in folders: hf/OWNER/REPO/REVISION and what a repository has. */
enum { MAX_DEPTH = 12, MAX_MODELS = 1 << 16 };

static const char gguf[] = ".gguf", unfinished[] = ".part";

/* Cuts `tail` off in any case of letters; false: it does not end so. */
static bool cut(const char *s, size_t *n, const char *tail)
{
    size_t length = strlen(tail);
    if (*n <= length || strncasecmp(s + *n - length, tail, length) != 0) return false;
    *n -= length;
    return true;
}

/* ---- one file ----------------------------------------------------------------------------------------- */

/* "OWNER/REPO[@REVISION]" of a path behind the cache folder, "hf/OWNER/REPO/REVISION/..."; NULL: it is elsewhere. */
static const char *origin_of(model_list *l, const char *inside)
{
    char text[FETCH_PATH_BYTES];
    if (strncmp(inside, "hf/", 3) != 0) return NULL;
    const char *owner = inside + 3, *repo = strchr(owner, '/'), *revision = repo ? strchr(repo + 1, '/') : NULL;
    const char *end = revision ? strchr(revision + 1, '/') : NULL;
    if (!end) return NULL;
    size_t n = (size_t)(end - revision - 1);
    bool is_main = n == 4 && strncmp(revision + 1, "main", n) == 0;
    int used = snprintf(text, sizeof text, "%.*s%s%.*s", (int)(revision - owner), owner, is_main ? "" : "@",
                        is_main ? 0 : (int)n, revision + 1);
    return arena_text(&l->texts, text, (size_t)used);
}

/* The model that a file belongs to: the one with the same folder, name and number of parts, or a new one. */
static cached_model *model_of(model_list *l, const char *path, const char *name, size_t n_name, int n_parts)
{
    size_t n_stem = (size_t)(name - path) + n_name;
    for (int i = 0; i < l->n && n_parts > 1; i++) {
        const cached_model *m = &l->model[i];
        if (m->n_parts == n_parts && strncmp(m->path, path, n_stem) == 0 && strlen(m->name) == n_name &&
            m->path[n_stem] == '-')
            return &l->model[i];
    }
    if (l->n == MAX_MODELS) return NULL;
    cached_model *grown = mem_grow(l->model, (size_t)l->n, (size_t)l->n + 1, sizeof *grown);
    if (!grown) return NULL;
    l->model = grown;
    cached_model *m = &l->model[l->n];
    *m = (cached_model){.n_parts = n_parts,
                        .name = arena_text(&l->texts, name, n_name),
                        .path = arena_text(&l->texts, path, strlen(path)),
                        .origin = origin_of(l, path + strlen(l->cache) + 1),
                        .files = arena_alloc(&l->texts, (size_t)n_parts, sizeof *m->files)};
    if (!m->name || !m->path || !m->files) return NULL;
    l->n++;
    return m;
}

/* A file with the name that it has when finished; `part` is what has come of it, or NULL. */
static kvasir_status add_file(model_list *l, const char *path, const struct stat *s, bool whole)
{
    const char *name = strrchr(path, '/') + 1;
    size_t n_name = strlen(name), at = 0;
    int part = 1, n_parts = 1;
    if (fetch_split(name, &part, &n_parts, &at))
        n_name = at;
    else
        (void)cut(name, &n_name, gguf), part = n_parts = 1;
    cached_model *m = model_of(l, path, name, n_name, n_parts);
    char *kept = m ? arena_text(&l->texts, path, strlen(path)) : NULL;
    if (!kept) return fail(KVASIR_E_MEMORY, "the cache folder has too many models");
    for (int i = 0; i < m->n_files; i++)
        if (strcmp(m->files[i], path) == 0)
            return KVASIR_OK; /* it is being fetched again: its .part stands beside it */
    if (m->n_files == m->n_parts) return KVASIR_OK;
    m->files[m->n_files++] = kept;
    m->n_whole += whole;
    m->bytes += whole ? (uint64_t)s->st_size : (uint64_t)s->st_blocks * 512;
    if (s->st_mtime > m->changed) m->changed = s->st_mtime;
    if (strcmp(kept, m->path) < 0) m->path = kept;
    return KVASIR_OK;
}

/* ---- folders ------------------------------------------------------------------------------------------ */

static kvasir_status read_folder(model_list *l, char *path, int depth, bool parts);

static kvasir_status read_entry(model_list *l, char *path, int depth, bool parts)
{
    struct stat s;
    size_t n = strlen(path);
    if (lstat(path, &s) != 0) return KVASIR_OK;
    if (S_ISDIR(s.st_mode)) return read_folder(l, path, depth + 1, parts);
    if (S_ISLNK(s.st_mode) && (stat(path, &s) != 0 || S_ISDIR(s.st_mode))) return KVASIR_OK;
    bool whole = !cut(path, &n, unfinished);
    if (whole == parts || !S_ISREG(s.st_mode)) return KVASIR_OK;
    size_t stem = n;
    if (!cut(path, &stem, gguf) || path[stem - 1] == '/') return KVASIR_OK;
    path[n] = '\0';
    return add_file(l, path, &s, whole);
}

/* Twice: finished files, then what has come of others. Beginnings of names with a dot are ours, and in headers/ lie files that
   have nothing but a header. */
static kvasir_status read_folder(model_list *l, char *path, int depth, bool parts)
{
    kvasir_status status = KVASIR_OK;
    size_t n = strlen(path);
    DIR *d = depth < MAX_DEPTH ? opendir(path) : NULL;
    if (!d && depth == 0 && errno != ENOENT)
        return fail(KVASIR_E_IO, "the folder of models, %s (KVASIR_CACHE names another): %s",
                    quoted(path, strlen(path)), errno == ENOTDIR ? "it is no folder" : strerror(errno));
    if (!d) return KVASIR_OK;
    for (const struct dirent *e; status == KVASIR_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.' || (depth > 0 && strcmp(e->d_name, "headers") == 0)) continue;
        if (snprintf(path + n, FETCH_PATH_BYTES - n, "/%s", e->d_name) >= (int)(FETCH_PATH_BYTES - n)) continue;
        status = read_entry(l, path, depth, parts);
    }
    path[n] = '\0';
    (void)closedir(d);
    return status;
}

static int by_name(const void *a, const void *b)
{
    const cached_model *x = a, *y = b;
    int order = strcasecmp(x->name, y->name);
    return order ? order : strcmp(x->path, y->path);
}

/* Models of the same name go by their repository, and where that is the same too, or there is none, by their path. */
static kvasir_status name_all(model_list *l)
{
    char text[FETCH_PATH_BYTES];
    for (int i = 0; i < l->n; i++) {
        cached_model *m = &l->model[i];
        int same = 0, same_origin = 0;
        for (int j = 0; j < l->n; j++) {
            bool is_same = j != i && strcasecmp(l->model[j].name, m->name) == 0;
            same += is_same;
            same_origin += is_same && m->origin && l->model[j].origin && strcasecmp(l->model[j].origin, m->origin) == 0;
        }
        (void)snprintf(text, sizeof text, "%s/%s", m->origin ? m->origin : "", m->name);
        m->call = !same ? m->name : m->origin && !same_origin ? arena_text(&l->texts, text, strlen(text)) : m->path;
        if (!m->call) return fail_memory(sizeof text);
    }
    return KVASIR_OK;
}

kvasir_status models_read(model_list *out)
{
    char path[FETCH_PATH_BYTES];
    *out = (model_list){0};
    TRY(model_cache(out->cache, sizeof out->cache));
    for (size_t n = strlen(out->cache); n > 1 && out->cache[n - 1] == '/';) out->cache[--n] = '\0';
    for (int parts = 0; parts < 2; parts++) {
        (void)snprintf(path, sizeof path, "%s", out->cache);
        TRY(read_folder(out, path, 0, parts));
    }
    if (out->n > 0) qsort(out->model, (size_t)out->n, sizeof *out->model, by_name);
    return name_all(out);
}

void models_free(model_list *l)
{
    mem_free(l->model);
    arena_free(&l->texts);
    *l = (model_list){0};
}

bool model_is_whole(const cached_model *m)
{
    return m->n_whole == m->n_parts;
}
