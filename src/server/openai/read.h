/* Turns the body of an OpenAI request into what is to be computed. Every field is checked, and what is not supported is
   refused, not ignored. Pure: no network, no engine. */
#ifndef KVASIR_SERVER_OPENAI_READ_H
#define KVASIR_SERVER_OPENAI_READ_H

#include "server/request/request.h"

/* Reads a chat completion or a plain one: 0, or the status with *e filled in. request_free must be called
   in either case. */
int request_read(const request_rules *r, int chat, const char *body, size_t n, request *out, http_error *e);

/* The name of the server's model that a request means by this one. NULL: it is another model's. */
const char *own_name(const request_rules *r, const char *name, size_t n);
/* Refuses a name (404), and says which there are. Returns the status. */
int refuse_model(const request_rules *r, const char *name, size_t n, http_error *e);
/* Refuses a request whose field "model" is another one's: 0, or the status. */
int check_model(const request_rules *r, const json_t *d, http_error *e);

/* ---- supported.c ---- */

/* Refuses fields that would change the answer and are not done, and lists those without effect: 0, or the status. */
int check_supported(const json_t *d, request *q, http_error *e);
/* Refuses a field, and says what to do. instead NULL: leave it out. Returns the status. */
int refuse_unsupported(http_error *e, const char *param, const char *instead);

/* ---- prompt.c ---- */

/* The prompt's ids, from the messages of a chat, or from the text or the ids of a plain completion: 0, or the
   status. */
int chat_ids(const request_rules *r, const json_t *d, request *q, http_error *e);
int plain_ids(const request_rules *r, const json_t *d, request *q, http_error *e);

#endif
