/* The JSON of OpenAI's answers. */
#ifndef KVASIR_SERVER_OPENAI_ANSWER_H
#define KVASIR_SERVER_OPENAI_ANSWER_H

#include "server/state.h"

/* An answer that is not streamed. */
json_t *answer_whole(const server *s, const job *j);
/* A part of a stream: some text of n bytes, or a role, or the reason for the end; each may be NULL. */
json_t *answer_chunk(const server *s, const job *j, const char *role, const char *text, size_t n, const char *finish);
json_t *answer_usage_chunk(const server *s, const job *j); /* its last part: counts of tokens */
json_t *answer_model(const server *s, const char *name);   /* the model under this name */
json_t *answer_models(const server *s);                    /* the list of models */

#endif
