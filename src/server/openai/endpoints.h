/* OpenAI's endpoints. Each handler answers the exchange, at once or through a job. */
#ifndef KVASIR_SERVER_OPENAI_ENDPOINTS_H
#define KVASIR_SERVER_OPENAI_ENDPOINTS_H

#include "server/state.h"

#define MODELS_PATH "/v1/models/" /* a name follows */

void answer_chat(server *s, exchange *x, const char *body, size_t n);       /* POST /v1/chat/completions */
void answer_plain(server *s, exchange *x, const char *body, size_t n);      /* POST /v1/completions */
void answer_model_list(server *s, exchange *x, const char *body, size_t n); /* GET /v1/models */
void answer_one_model(server *s, exchange *x, const char *body, size_t n);  /* GET MODELS_PATH NAME */

#endif
