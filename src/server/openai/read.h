/* Turns the body of an OpenAI request into what is to be computed. Every field is checked, and what is not supported is
   refused, not ignored. Pure: no network, no engine. */
#ifndef KVASIR_SERVER_OPENAI_READ_H
#define KVASIR_SERVER_OPENAI_READ_H

#include "server/request/request.h"

/* Reads a chat completion or a plain one: 0, or the status with *e filled in. request_free must be called
   in either case. */
int request_read(const request_rules *r, int chat, const char *body, size_t n, request *out, http_error *e);

/* ---- prompt.c ---- */

/* {"messages": [...], "add_generation_prompt": true} for the template, with contents that come in parts put together.
   NULL: *e says why. */
json_t *request_conversation(const json_t *body, http_error *e);

/* The prompt's ids, from the messages of a chat, or from the text or the ids of a plain completion: 0, or the
   status. */
int chat_ids(const request_rules *r, const json_t *d, request *q, http_error *e);
int plain_ids(const request_rules *r, const json_t *d, request *q, http_error *e);

#endif
