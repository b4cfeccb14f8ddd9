/* What requests ask for, in whatever protocol: a folder of its own reads each (openai/). */
#ifndef KVASIR_SERVER_REQUEST_REQUEST_H
#define KVASIR_SERVER_REQUEST_REQUEST_H

#include "server/http/error.h"
#include "server/request/fields.h"
#include "base/status.h"
#include <jansson.h>

enum {
    REQUEST_MAX_STOPS = 16,
    REQUEST_MAX_STOP_BYTES = 1 << 16, /* all together, as the library has it */
    REQUEST_MAX_BIAS = 4096,
    REQUEST_MAX_MESSAGES = 1 << 16
};

/* What is the same for all requests. */
typedef struct request_rules {
    const kvasir_model *model;
    const char *name;         /* the model's, in requests */
    const char *const *names; /* further ones */
    int n_names;
    int any_name;              /* whatever requests call it */
    const char *template_text; /* NULL: the model's own */
    const kvasir_sampler_options *sampling;
    int has_seed;
    int max_tokens; /* 0: none */
    int ctx;        /* tokens that a sequence holds */
} request_rules;

typedef struct request {
    int chat, stream, include_usage;
    int max_tokens;   /* -1: until the context is full */
    int min_tokens;   /* before these no token that ends the answer is chosen; INT_MAX: never */
    int show_special; /* control tokens are shown in the text */
    int32_t *ids;     /* the prompt, at least one and at most ctx */
    size_t n_ids;
    char *stop[REQUEST_MAX_STOPS];
    int n_stop;
    kvasir_sampler_options sampling; /* its bias is this request's own */
    kvasir_logit_bias *bias;
    char ignored[REQUEST_IGNORED_BYTES]; /* names of fields that were without effect */
} request;

/* Reads the fields about sampling; what is not there is taken from the rules: 0, or the status with *e filled in. */
int read_sampling(const request_rules *r, const json_t *d, request *q, http_error *e);

void request_free(request *q); /* what it holds; it is then empty */

#endif
