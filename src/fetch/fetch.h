/* Model files from elsewhere: a URL, or a repository of a model hub, to a file in the cache folder. Used by the command
   alone (the library opens files and knows no network).
   A file comes in pieces, several at once, into FILE.part; FILE.part.json says which pieces are there and what the
   server called the file (ETag), so that an interrupted fetch goes on. Once whole, it is checked (size, SHA-256 where
   it is known), and renamed to its place, which therefore holds nothing or all of it. */
#ifndef KVASIR_FETCH_FETCH_H
#define KVASIR_FETCH_FETCH_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FETCH_PATH_BYTES = 4096,
    FETCH_URL_BYTES = 4096,
    FETCH_NAME_BYTES = 256,
    FETCH_SHA256_BYTES = 65, /* hexadecimal and NUL */
    FETCH_MAX_FILES = 4096,  /* of a repository */
    FETCH_MAX_PARTS = 1000,  /* of a split model */
    FETCH_MAX_CONNECTIONS = 16
};

typedef struct fetch_options {
    const char *cache;    /* folder */
    const char *endpoint; /* of the hub: "https://huggingface.co" */
    const char *token;    /* sent to the hub (or the URL's own host) alone, never to where it redirects; NULL: none */
    int connections, retries, stall_seconds;
    bool force;                  /* fetch again what is there */
    kvasir_progress_fn progress; /* bytes of the file; may cancel */
    void (*note)(void *user, const char *text);
    void (*begin)(void *user, const char *what, uint64_t done); /* what progress is about next, and how much is done */
    void *user;                                                 /* of all three */
} fetch_options;

/* What a name means: "https://...", or "hf:OWNER/REPO[@REVISION][:WHAT]", where WHAT is a file's name
   or a quantisation. */
typedef struct fetch_name {
    const char *url; /* NULL: of the hub */
    char owner[FETCH_NAME_BYTES], repo[FETCH_NAME_BYTES], revision[FETCH_NAME_BYTES], what[FETCH_NAME_BYTES];
} fetch_name;

/* Is this the name of something to fetch, and not a path? */
bool fetch_is_name(const char *text);
/* Is it a path that stays below a folder of ours: without empty or hidden parts and control characters? */
bool fetch_safe_path(const char *path);
/* Do two URLs lead to the same server (scheme, host and port)? False when one of them is not a URL. */
bool fetch_same_host(const char *a, const char *b);
/* Splits a name into its parts. KVASIR_E_ARGUMENT says what is wrong with it. */
kvasir_status fetch_parse(const char *text, fetch_name *out);

/* One file that can be fetched. */
typedef struct fetch_file {
    char path[FETCH_NAME_BYTES]; /* in the repository, or the last part of a URL */
    char url[FETCH_URL_BYTES];
    char local[FETCH_PATH_BYTES];
    char sha256[FETCH_SHA256_BYTES]; /* "": not known */
    uint64_t bytes;                  /* 0: not known */
} fetch_file;

typedef struct fetch_list {
    fetch_file *file;
    int n;
} fetch_list;

/* The GGUF files of a repository, by path; freed by fetch_list_free. */
kvasir_status fetch_repository(const fetch_options *o, const fetch_name *name, fetch_list *out);
/* The files that a name stands for: one, or all parts of a split model. KVASIR_E_ARGUMENT where the name leaves a
   choice; the message lists what there is. A choice that was made before, and whose files are all there, is made again
   without asking the hub (unless o->force). */
kvasir_status fetch_choose(const fetch_options *o, const fetch_name *name, fetch_list *out);
void fetch_list_free(fetch_list *l); /* frees the files of the list */
/* Is the file at its place and whole? The record beside it must name the same size and SHA-256, where
   they are known. */
bool fetch_is_there(const fetch_file *f);
/* Does the record beside the file say that it came from f->url? */
bool fetch_is_from_url(const fetch_file *f);

/* Fetches one file to f->local. An empty sha256 and a size of 0 are filled in from what the server says. KVASIR_E_IO
   says what failed; KVASIR_E_FORMAT, that something else came than was promised; KVASIR_E_CANCELLED keeps the pieces
   that are there. */
kvasir_status fetch_get(const fetch_options *o, fetch_file *f);

/* Removes files of the cache (`path` below the folder `cache`), finished or not, with all that lies beside them: record, what
   had come, lock, header, and what names stood for them (.chosen.json); then the folders that are empty, up to the cache. All or
   none: KVASIR_E_IO where another command is fetching one of them. Of a link the link is removed. *freed: bytes on the disk. */
kvasir_status fetch_remove(const char *cache, const char *const *path, int n, uint64_t *freed);

/* Fetches the beginning of a file, as much as `enough` wants, to `path`: 1 MiB, then twice as much, and so on. It ends
   when `enough` sets *whole or fails (its status is the result), at the end of the file, or at a limit. Then the file
   is extended to the whole size with a hole. */
kvasir_status fetch_header(const fetch_options *o, const fetch_file *f, const char *path,
                           kvasir_status (*enough)(void *user, const char *path, bool *whole), void *user);

/* Splits the name of a split model's file: "x-00001-of-00003.gguf" is part 1 of 3. *at is where this ending begins. */
bool fetch_split(const char *path, int *part, int *n_parts, size_t *at);

/* Copies the address of a Link header's rel="next" into `to`. False when there is none, or it does not fit. */
bool fetch_link_next(const char *text, char *to, size_t room);

/* Parses "bytes A-B/TOTAL". */
bool fetch_content_range(const char *text, uint64_t *from, uint64_t *to, uint64_t *total);

#endif
