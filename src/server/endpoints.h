/* Endpoints that compute no answer: how the server is, and text to tokens and back. Each handler answers the exchange
   at once. */
#ifndef KVASIR_SERVER_ENDPOINTS_H
#define KVASIR_SERVER_ENDPOINTS_H

#include "server/state.h"

void answer_health(server *s, exchange *x, const char *body, size_t n);     /* GET /health */
void answer_metrics(server *s, exchange *x, const char *body, size_t n);    /* GET /metrics */
void answer_tokenize(server *s, exchange *x, const char *body, size_t n);   /* POST /tokenize */
void answer_detokenize(server *s, exchange *x, const char *body, size_t n); /* POST /detokenize */
void answer_template(server *s, exchange *x, const char *body, size_t n);   /* POST /apply-template */

#endif
