/* Models that are named instead of being at a path: what `pull` and the commands that open models share. */
#ifndef KVASIR_CLI_SESSION_REMOTE_H
#define KVASIR_CLI_SESSION_REMOTE_H

#include "cli/common/common.h"
#include "fetch/fetch.h"

/* How to fetch, from the environment (docs/environment.md). */
typedef struct remote {
    fetch_options options;
    progress bar;
    char cache[FETCH_PATH_BYTES], token[1024];
    int own_token; /* it came with the command, for whatever is fetched; else it is the hub's */
} remote;

/* `token_file` NULL: none. 0, or the exit status after saying what is wrong. `r` is not moved afterwards. */
int remote_open(remote *r, const char *token_file);
/* fetch_parse, and from here on the hub's token is left at home where the name is a URL of another host. */
kvasir_status remote_parse(remote *r, const char *what, fetch_name *out);

/* The folder of fetched models: KVASIR_CACHE, or kvasir/models in the user's folder for caches. KVASIR_E_ARGUMENT where there is
   none, or its path does not fit half of `to`. */
kvasir_status model_cache(char *to, size_t n);

/* Fetches what is not there yet. */
kvasir_status remote_get(remote *r, fetch_list *files);
/* What went wrong, on stderr, and the exit status for it. */
int remote_failed(remote *r, kvasir_status status);

/* Where the model `what` lies: `what` itself when it is a path, or the file of that name in the cache (models.h), or of what can
   be fetched the file in the cache, which is fetched first if it is not there. `to` has FETCH_PATH_BYTES. 0, or the exit status after saying what is wrong. */
int model_path(const char *what, char *to);
/* The same for a command that needs no tensor data: of what is not in the cache only the beginning is fetched. *header_only is
   set then. */
int model_header_path(const char *what, char *to, int *header_only);

#endif
