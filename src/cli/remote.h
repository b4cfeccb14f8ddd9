/* Models that are named instead of being at a path: what `pull` and the commands that open models share. */
#ifndef KVASIR_CLI_REMOTE_H
#define KVASIR_CLI_REMOTE_H

#include "cli/common.h"
#include "fetch/fetch.h"

/* How to fetch, from the environment (docs/environment.md). */
typedef struct remote {
    fetch_options options;
    progress bar;
    char cache[FETCH_PATH_BYTES], token[1024];
} remote;

/* `token_file` NULL: none. 0, or the exit status after saying what is wrong. `r` is not moved afterwards. */
int remote_open(remote *r, const char *token_file);

/* Where the model named `what` lies: `what` itself when it is a path, else the file in the cache, which is fetched first if it
   is not there. `to` has FETCH_PATH_BYTES. 0, or the exit status after saying what is wrong. */
int model_path(const char *what, char *to);
/* The same for a command that needs no tensor data: of what is not in the cache only the beginning is fetched. *header_only is
   set then. */
int model_header_path(const char *what, char *to, int *header_only);

#endif
