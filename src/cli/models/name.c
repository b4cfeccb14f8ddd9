#include "cli/args/near.h"
#include "cli/models/models.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { SHOWN = 20 };

static const char *shown(const char *s)
{
    return quoted(s, strlen(s));
}

const char *whole_text(const char *s)
{
    enum { SLOTS = 3 };
    static char slots[SLOTS][FETCH_PATH_BYTES];
    static unsigned next;
    char *to = slots[next++ % SLOTS];
    (void)snprintf(to, FETCH_PATH_BYTES, "%s", s);
    for (size_t i = 0, n = strlen(to); i < n;) {
        size_t shown = shown_sequence(to + i, n - i);
        if (shown == 0) to[i] = '?';
        i += shown ? shown : 1;
    }
    return to;
}

/* ---- which one ---------------------------------------------------------------------------------------- */

static int match_text(const char *name, const char *typed)
{
    if (strcmp(name, typed) == 0) return 3;
    if (strcasecmp(name, typed) == 0) return 2;
    return strncasecmp(name, typed, strlen(typed)) == 0;
}

int model_match(const cached_model *m, const char *typed)
{
    char text[FETCH_PATH_BYTES];
    if (!typed[0]) return 0;
    if (!strchr(typed, '/')) return match_text(m->name, typed);
    if (!m->origin) return 0;
    (void)snprintf(text, sizeof text, "%s/%s", m->origin, m->name);
    int best = match_text(text, typed);
    if (!strchr(m->origin, '@')) return best;
    (void)snprintf(text, sizeof text, "%.*s/%s", (int)strcspn(m->origin, "@"), m->origin, m->name);
    return best == 0 && match_text(text, typed) ? 1 : best; /* the one of main is called so, where there is one */
}

/* The best match of all; 0: none. */
static int best_match(const model_list *l, const char *typed, bool whole)
{
    int best = 0;
    for (int i = 0; i < l->n; i++) {
        int match = model_is_whole(&l->model[i]) == whole ? model_match(&l->model[i], typed) : 0;
        if (match > best) best = match;
    }
    return best;
}

int models_find(const model_list *l, const char *typed, bool whole, const cached_model **one)
{
    int best = best_match(l, typed, whole), n = 0;
    *one = NULL;
    for (int i = 0; best > 0 && i < l->n; i++) {
        if (model_is_whole(&l->model[i]) != whole || model_match(&l->model[i], typed) != best) continue;
        if (n++ == 0) *one = &l->model[i];
    }
    return n;
}

int models_choose(const model_list *l, const char *typed, const cached_model **one, bool *whole, int *match)
{
    const int finished = best_match(l, typed, true), unfinished = best_match(l, typed, false);
    /* Names but for upper and lower case are as good as exact ones here. */
    *whole = finished >= unfinished || finished >= 2;
    *match = *whole ? finished : unfinished;
    return models_find(l, typed, *whole, one);
}

int models_ambiguous(const model_list *l, const char *typed, bool whole)
{
    int best = best_match(l, typed, whole), n = 0;
    note(best == 1 ? "several models begin with %s; which one?" : "several models are called %s; which one?",
         shown(typed));
    for (int i = 0; i < l->n; i++)
        if (model_is_whole(&l->model[i]) == whole && model_match(&l->model[i], typed) == best && n++ < SHOWN)
            (void)fprintf(stderr, "  %s\n", whole_text(l->model[i].call));
    if (n > SHOWN) (void)fprintf(stderr, "  and %d more; kvasir list shows all\n", n - SHOWN);
    return EXIT_USAGE;
}

/* ---- none --------------------------------------------------------------------------------------------- */

static void say_what_there_is(const model_list *l)
{
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        if (!model_is_whole(&l->model[i]) || n++ >= SHOWN) continue;
        (void)fprintf(stderr, n == 1 ? "There are: %s" : ", %s", whole_text(l->model[i].call));
    }
    if (n > SHOWN) (void)fprintf(stderr, ", and %d more (kvasir list)", n - SHOWN);
    if (n > 0) (void)fputc('\n', stderr);
    if (n == 0 && l->cache[0]) (void)fprintf(stderr, "There are no models in %s.\n", whole_text(l->cache));
    (void)fputs(
        "kvasir pull hf:OWNER/REPO fetches one; in a clone of Kvasir scripts/fetch-models.sh fetches a small one.\n",
        stderr);
}

int models_unknown(const model_list *l, const char *typed)
{
    near_word near = near_begin(typed);
    for (int i = 0; i < l->n; i++)
        if (model_is_whole(&l->model[i])) near_try_start(&near, l->model[i].name);
    note(near.best[0] ? "there is no model %s; did you mean %s?" : "there is no model %s", shown(typed),
         shown(near.best));
    say_what_there_is(l);
    return EXIT_MODEL;
}

static int say_unfinished(const cached_model *m)
{
    if (m->n_parts > 1)
        note("%s is not whole: of its %d parts %d are there; kvasir pull goes on with it", whole_text(m->call),
             m->n_parts, m->n_whole);
    else
        note("%s is not whole: its fetch was stopped; kvasir pull goes on with it", whole_text(m->call));
    return EXIT_MODEL;
}

/* OWNER/REPO, and nothing else. */
static bool is_repository(const char *s)
{
    const char *slash = strchr(s, '/');
    if (!slash || slash == s || !slash[1] || strchr(slash + 1, '/')) return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("/._-@:", *s)) return false;
    return true;
}

const cached_model *models_of_file(const model_list *l, const char *path)
{
    char name[MODEL_NAME_BYTES];
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    const cached_model *m = NULL;
    size_t n = strlen(last), at = 0;
    int part, parts;
    if (fetch_split(last, &part, &parts, &at))
        n = at;
    else if (n > 5 && strcasecmp(last + n - 5, ".gguf") == 0)
        n -= 5;
    (void)snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : 0), last);
    return models_find(l, name, true, &m) == 1 && strcasecmp(m->name, name) == 0 ? m : NULL;
}

/* A path that leads nowhere; perhaps the cache has a model of that name. */
static int say_no_file(const model_list *l, const char *what)
{
    const cached_model *m = models_of_file(l, what);
    note("%s: No such file or directory", whole_text(what));
    if (m)
        (void)fprintf(stderr, "The cache has a model of that name: give %s instead, without folder and ending.\n",
                      whole_text(m->call));
    else if (!model_is_path(what) && is_repository(what))
        (void)fprintf(stderr, "If it is a repository of a hub, kvasir pull hf:%s fetches it.\n", shown(what));
    return EXIT_MODEL;
}

/* ---- a path or a name --------------------------------------------------------------------------------- */

bool model_is_path(const char *typed)
{
    size_t n = strlen(typed);
    return typed[0] == '/' || typed[0] == '.' || (n >= 5 && strcasecmp(typed + n - 5, ".gguf") == 0);
}

static bool said;

void model_find_silently(void)
{
    said = true;
}

static int take(const char *what, const cached_model *m, char *to)
{
    (void)snprintf(to, FETCH_PATH_BYTES, "%s", m->path);
    if (!said) (void)fprintf(stderr, "%skvasir: %s is %s%s\n", dim_on(), shown(what), whole_text(m->path), dim_off());
    said = true;
    return EXIT_DONE;
}

static int find_name(const model_list *l, const char *what, char *to)
{
    const cached_model *m;
    bool whole;
    int match, n = models_choose(l, what, &m, &whole, &match);
    if (n > 0 && !whole) return say_unfinished(m);
    if (n == 1) return take(what, m, to);
    if (n > 1) return models_ambiguous(l, what, true);
    return strchr(what, '/') ? say_no_file(l, what) : models_unknown(l, what);
}

int model_find(const char *what, char *to)
{
    struct stat s;
    model_list l;
    int found = stat(what, &s), error = errno;
    if (!*what) return usage_error("the model's name is empty");
    if (strlen(what) >= FETCH_PATH_BYTES) return usage_error("the path of the model is too long");
    bool missing = found != 0 && (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG);
    if (!missing && !(found == 0 && S_ISDIR(s.st_mode) && !model_is_path(what))) {
        (void)snprintf(to, FETCH_PATH_BYTES, "%s", what); /* what is wrong with it shows when it is opened */
        return EXIT_DONE;
    }
    kvasir_status status = models_read(&l);
    /* Without a cache folder there are paths alone. */
    if (status != KVASIR_OK && status != KVASIR_E_ARGUMENT && !model_is_path(what)) {
        models_free(&l);
        return failed(status);
    }
    int code = missing && model_is_path(what) ? say_no_file(&l, what) : find_name(&l, what, to);
    models_free(&l);
    return code;
}
