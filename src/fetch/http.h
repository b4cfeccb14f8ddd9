/* Requests by libcurl: one at a time, or many ranges of a file at once. */
#ifndef KVASIR_FETCH_HTTP_H
#define KVASIR_FETCH_HTTP_H

#include "fetch/fetch.h"

/* What an answer's headers say. */
typedef struct http_reply {
    long status;
    bool ranged;              /* 206 with a Content-Range that was understood */
    uint64_t from, to, total; /* of it; total also of a Content-Length without one */
    char etag[160];
    uint64_t linked_bytes;                  /* the hub's own record, told before it redirects; 0: none */
    char linked_sha256[FETCH_SHA256_BYTES]; /* "": none */
    char final_url[FETCH_URL_BYTES];
    char next[FETCH_URL_BYTES]; /* where a list goes on; "": nowhere */
} http_reply;

/* A whole small answer; *text is NUL-terminated and the caller's (mem_free). Retries as the options say. KVASIR_E_IO, with
   the status in *reply where there was an answer. */
kvasir_status http_text(const fetch_options *o, const char *url, size_t limit, char **text, size_t *n,
                        http_reply *reply);

/* What a GET of the first byte says about a file. */
kvasir_status http_look(const fetch_options *o, const char *url, http_reply *reply);

/* Bytes from..to (inclusive) to where they belong in fd. */
kvasir_status http_range(const fetch_options *o, const char *url, const http_reply *file, uint64_t from, uint64_t to,
                         int fd);

/* The pieces of a file: piece i is bytes i*bytes.. of it. */
typedef struct http_pieces {
    uint64_t total, bytes;
    int n;
    unsigned char *there;                  /* one for each */
    kvasir_status (*on_piece)(void *user); /* one more is there */
    void *user;
} http_pieces;

/* Bytes of the pieces that are there. */
uint64_t http_pieces_done(const http_pieces *p);
/* Fetches all pieces that are not there, several at once. */
kvasir_status http_fetch(const fetch_options *o, const char *url, const http_reply *file, int fd, http_pieces *p);
/* From a server that has no ranges: all of it, in one go. */
kvasir_status http_stream(const fetch_options *o, const char *url, const http_reply *file, int fd);

/* A sentence for a status that is not 2xx. */
kvasir_status http_refusal(const fetch_options *o, const char *url, long status);

/* Writes a document and releases it, so that the file holds the old or the new one whole; makes the folders above it. */
struct json_t;
kvasir_status fetch_save_json(struct json_t *document, const char *path);
/* Forgets which names stood for a file of a repository in the cache; nothing where it is of none. */
void fetch_forget_choices(const char *cache, const char *local);

#endif
