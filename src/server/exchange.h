/* One request on its connection: who asks, what goes back, and that the client may be gone at any time. */
#ifndef KVASIR_SERVER_EXCHANGE_H
#define KVASIR_SERVER_EXCHANGE_H

#include "server/request.h"

struct evhttp_request;
struct evhttp_connection;
struct event;
struct event_base;
struct evbuffer;

enum { JSON_NUMBERS = JSON_COMPACT | JSON_REAL_PRECISION(9) }; /* how JSON is written: no digits that mean nothing */

typedef struct exchange exchange;

/* What the exchange tells, once: the client is gone, or all is said and the exchange about to be freed. */
typedef struct exchange_owner {
    void (*on_gone)(void *user, exchange *x);
    void (*on_end)(void *user, const exchange *x);
    void *user;
    struct event_base *base;
    int *unsent; /* answers that are not wholly sent yet */
} exchange_owner;

struct exchange {
    const exchange_owner *owner;
    struct evhttp_request *req; /* NULL: freed with its connection */
    struct event *closed;
    int streaming, status, gone;
    int tenant; /* the place of the key, -1: none is needed */
    double arrived;
    char method[16], path[128], peer[64];
    int prompt_tokens, cached_tokens, generated_tokens;
};

/* NULL when out of memory. Until it ends, its client's going is watched. */
exchange *exchange_open(struct evhttp_request *req, const exchange_owner *owner);

/* Each of these is the last thing said, and frees x. A body that is NULL stands for out of memory. */
void exchange_json(exchange *x, int status, json_t *body);
void exchange_text(exchange *x, int status, const char *type, struct evbuffer *text); /* frees the text */
void exchange_refuse(exchange *x, const http_error *e);
void exchange_drop(exchange *x); /* nothing more: the connection is closed */

/* Events that a client reads as they come. Begin, any number of events and comments, end. What a client that does not read
   leaves waiting is limited: beyond that it counts as gone. */
void exchange_stream_begin(exchange *x);
void exchange_stream_event(exchange *x, json_t *data); /* takes the reference; NULL: "[DONE]" */
void exchange_stream_comment(exchange *x, const char *text);
void exchange_stream_end(exchange *x);

/* {"error": {...}} */
json_t *exchange_error_json(const http_error *e);

/* The value of a request's header, NULL: it has none; how often it is there. */
const char *exchange_header(const struct evhttp_request *req, const char *name, int *n);
void exchange_add_header(exchange *x, const char *name, const char *value);

#endif
