/* What a request must be before anything else is asked: unambiguous, from a page that may call, with a key. Each of
   these returns 0, or the status with *e filled in. */
#ifndef KVASIR_SERVER_HTTP_GUARDS_H
#define KVASIR_SERVER_HTTP_GUARDS_H

#include "server/state.h"

/* Refuses a request whose length or host two readers could understand differently. */
int check_framing(const struct evhttp_request *req, http_error *e);
/* A web page that a user of this computer has open must not reach the server through a host name of its own (DNS
   rebinding). In no other way may it do so without the user's permission. */
int check_origin(const server *s, exchange *x, http_error *e);
/* Finds whose key the request has, where keys are needed. */
int check_key(const server *s, exchange *x, http_error *e);

#endif
