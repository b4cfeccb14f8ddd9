/* The HTTP server: one model, many clients, one thread. Between two steps of the engine it reads what clients have sent
   and writes their answers, so nothing here needs a lock. It speaks to the engine through the public header alone,
   prints nothing, and ends on a signal. */
#ifndef KVASIR_SERVER_SERVER_H
#define KVASIR_SERVER_SERVER_H

#include "base/status.h"

enum { SERVER_MAX_SLOTS = 64, SERVER_MAX_QUEUE = 4096 };

/* Strings and arrays must outlive server_run. */
typedef struct server_options {
    const char *host;         /* a numeric address */
    int port;                 /* 0: any free one */
    const char *name;         /* what requests call the model, and answers */
    const char *const *names; /* further names in requests */
    int n_names, any_name;    /* any_name: requests may name whatever they like */
    const char *key_file;     /* NULL: everybody may ask */
    const char *const *origins;
    int n_origins;         /* that web pages may have, besides those of this computer */
    int n_slots, n_queue;  /* answers at the same time; requests that may wait */
    int max_tokens;        /* of a request that names none; 0: until the context is full */
    int n_batch;           /* rows of a step: the engine's max_batch */
    kvasir_engine *engine; /* with n_slots rows of logits, at least */
    const kvasir_model *model;
    kvasir_seq_options seq;
    const char *template_text;       /* NULL: the model's own */
    kvasir_sampler_options sampling; /* for what requests do not say */
    int has_seed;                    /* sampling.seed is used for all requests; else each has a seed of its own */
    /* Callbacks; on_access may be NULL. */
    void (*on_ready)(void *user, const char *url);
    void (*on_note)(void *user, const char *text);
    void (*on_access)(void *user, const char *json); /* a request is over */
    /* A step of `seconds` is over. tokens: 1 where it computed one token of one answer at `depth`, else 0. */
    void (*on_step)(void *user, int tokens, int depth, double seconds);
    void *user;
} server_options;

/* Is this numeric address a loopback one? -1: it is not a numeric address. */
int server_is_loopback(const char *host);

/* Serves until SIGTERM or SIGINT, then finishes the answers that have begun. SIGHUP reads the key file again.
   KVASIR_E_IO: the address is not available; KVASIR_E_CANCELLED: a second signal came. SIGPIPE must be ignored. */
kvasir_status server_run(const server_options *o);

#endif
