/* Requests with libcurl: one at a time, or many ranges of a file at once. */
#ifndef KVASIR_FETCH_HTTP_H
#define KVASIR_FETCH_HTTP_H

#include "fetch/fetch.h"

/* What an answer's headers say. */
typedef struct http_reply {
    long status;
    bool ranged;              /* 206 with a Content-Range that was understood */
    uint64_t from, to, total; /* of the range; total also without one, from Content-Length */
    char etag[160];
    uint64_t linked_bytes;                  /* the hub's own record, which it sends before it redirects; 0: none */
    char linked_sha256[FETCH_SHA256_BYTES]; /* "": none */
    char final_url[FETCH_URL_BYTES];
    char next[FETCH_URL_BYTES]; /* the address of the next part of a list; "": none */
} http_reply;

/* Fetches a whole small answer; *text is NUL-terminated and the caller's (mem_free). Retries as the options say.
   KVASIR_E_IO; the status is in *reply if there was an answer. */
kvasir_status http_text(const fetch_options *o, const char *url, size_t limit, char **text, size_t *n,
                        http_reply *reply);

/* Asks for the first byte of a file, and tells what the answer says about the file. */
kvasir_status http_look(const fetch_options *o, const char *url, http_reply *reply);

/* Fetches bytes from..to (inclusive) and writes them to the same place in fd. */
kvasir_status http_range(const fetch_options *o, const char *url, const http_reply *file, uint64_t from, uint64_t to,
                         int fd);

/* The pieces of a file: piece i begins at byte i*bytes. */
typedef struct http_pieces {
    uint64_t total, bytes;
    int n;
    unsigned char *there;                  /* one flag for each piece */
    kvasir_status (*on_piece)(void *user); /* called when one more is there */
    void *user;
} http_pieces;

/* How many bytes the pieces that are there have together. */
uint64_t http_pieces_done(const http_pieces *p);
/* Fetches all pieces that are missing, several at once. */
kvasir_status http_fetch(const fetch_options *o, const char *url, const http_reply *file, int fd, http_pieces *p);
/* Fetches all of the file in one go, from a server that has no ranges. */
kvasir_status http_stream(const fetch_options *o, const char *url, const http_reply *file, int fd);

/* Fails with a sentence for a status that is not 2xx. */
kvasir_status http_refusal(const fetch_options *o, const char *url, long status);

/* Writes a document and releases it. The file holds either the old or the new one, never a part. Makes the
   folders above it. */
struct json_t;
kvasir_status fetch_save_json(struct json_t *document, const char *path);
/* Is the file there and its record complete? Fills in size and SHA-256 from the record. */
bool fetch_take_record(fetch_file *f);
/* Removes the empty folders above `path`, as far as the cache; nothing for a path elsewhere. */
void fetch_drop_folders(const char *cache, const char *path);
/* Forgets which names stood for a file of a repository in the cache; nothing where it is of none. */
void fetch_forget_choices(const char *cache, const char *local);

#endif
