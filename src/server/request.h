/* Turns the body of a request into what is to be computed. Every field is checked, and what is not supported is
   refused, not ignored. Pure: no network, no engine. */
#ifndef KVASIR_SERVER_REQUEST_H
#define KVASIR_SERVER_REQUEST_H

#include "base/status.h"
#include <jansson.h>

enum { REQUEST_MAX_STOPS = 16, REQUEST_MAX_BIAS = 4096, REQUEST_MAX_MESSAGES = 1 << 16 };

/* Why a request is not answered. */
typedef struct http_error {
    int status;       /* 400, ...; 0: none */
    const char *code; /* static, "invalid_value" */
    char param[48];   /* the field; empty: none in particular */
    char message[640];
} http_error;

/* Fills in *e and returns the status. param may be NULL. */
int http_refuse(http_error *e, int status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

int http_refuse_memory(http_error *e); /* the same when out of memory */

/* What is the same for all requests. */
typedef struct request_rules {
    const kvasir_model *model;
    const char *name;          /* the model's, in requests */
    const char *template_text; /* NULL: the model's own */
    const kvasir_sampler_options *sampling;
    int has_seed;
    int max_tokens; /* 0: none */
    int ctx;        /* tokens that a sequence holds */
} request_rules;

typedef struct request {
    int chat, stream, include_usage;
    int max_tokens; /* 0: until the context is full */
    int32_t *ids;   /* the prompt, at least one and at most ctx */
    size_t n_ids;
    char *stop[REQUEST_MAX_STOPS];
    int n_stop;
    kvasir_sampler_options sampling; /* its bias is this request's own */
    kvasir_logit_bias *bias;
} request;

/* The JSON of a body that must be an object: 0, or the status. *out is the caller's. */
int request_json(const char *body, size_t n, json_t **out, http_error *e);

/* Reads a field that is true or false into *to; *to stays as it is where the field is absent or null. 0,
   or the status. */
int request_flag(const json_t *d, const char *name, int *to, http_error *e);

/* Reads a chat completion or a plain one: 0, or the status with *e filled in. request_free must be called
   in either case. */
int request_read(const request_rules *r, int chat, const char *body, size_t n, request *out, http_error *e);
void request_free(request *q);

/* {"messages": [...], "add_generation_prompt": true} for the template, with contents that come in parts put together.
   NULL: *e says why. */
json_t *request_conversation(const json_t *body, http_error *e);

#endif
