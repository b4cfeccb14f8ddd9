/* The models of the cache folder, by name: what is there, which one is meant, and the commands that list and remove them. */
#ifndef KVASIR_CLI_MODELS_MODELS_H
#define KVASIR_CLI_MODELS_MODELS_H

#include "base/mem.h"
#include "cli/common/common.h"
#include "fetch/fetch.h"

#include <stdbool.h>
#include <time.h>

/* One model: a file, or all parts of a split one. All texts are the list's. */
typedef struct cached_model {
    const char *name;     /* of the file, without .gguf and the number of a part */
    const char *origin;   /* "OWNER/REPO", or "OWNER/REPO@REVISION" where that is not main; NULL: of no repository */
    const char *call;     /* what names it alone: its name, else ORIGIN/NAME, else its path */
    const char *path;     /* of the file, or the first part */
    const char **files;   /* all parts that are there, finished or not, by the names that they have when finished */
    int n_files, n_parts; /* it is whole when n_whole is n_parts */
    int n_whole;          /* finished ones among the files */
    uint64_t bytes;       /* of what is there; of unfinished files what has come */
    time_t changed;       /* the newest of its files */
} cached_model;

typedef struct model_list {
    char cache[FETCH_PATH_BYTES]; /* the folder; "" where the environment names none */
    cached_model *model;          /* by name */
    int n;
    arena texts;
} model_list;

enum { MODEL_NAME_BYTES = 2 * FETCH_NAME_BYTES };

/* Reads the cache folder. A folder that is not there has no models. Links to files count, links to folders are not followed.
   Freed by models_free in any case. */
kvasir_status models_read(model_list *out);
void models_free(model_list *l);
bool model_is_whole(const cached_model *m);

/* How well `typed` names a model: 0 not at all, 1 by a beginning, 2 but for upper and lower case, 3 exactly. With a slash it is
   OWNER/REPO/NAME, or with @REVISION behind the repository. */
int model_match(const cached_model *m, const char *typed);
/* The models that match best of those that are whole (or of the others): their number, and the first of them in *one. */
int models_find(const model_list *l, const char *typed, bool whole, const cached_model **one);
/* Says that several are meant, and lists them; EXIT_USAGE. */
int models_ambiguous(const model_list *l, const char *typed, bool whole);
/* Says that none is meant, which may be, and how to get one; EXIT_MODEL. */
int models_unknown(const model_list *l, const char *typed);
/* The whole model that has the name of a path's last part; NULL: there is none, or several. */
const cached_model *models_of_file(const model_list *l, const char *path);
/* A name or path of the cache whole, as a terminal may have it: control characters become question marks. Valid until the third
   next such call. */
const char *whole_text(const char *s);
/* Is it written as a path: a slash or dot begins it, or .gguf ends it? Then it is none of a model's names. */
bool model_is_path(const char *typed);

/* Where the model lies that is given by its path or by its name in the cache. `to` has FETCH_PATH_BYTES. 0, or the exit status
   after saying what is wrong. Which file a name stands for is said once. */
int model_find(const char *what, char *to);
/* The command prints the path itself: model_find does not say it. */
void model_find_silently(void);

#endif
