/* The way of a request to its handler. */
#ifndef KVASIR_SERVER_HTTP_ROUTES_H
#define KVASIR_SERVER_HTTP_ROUTES_H

struct evhttp_request;

/* evhttp's callback; the server is `user`. */
void routes_request(struct evhttp_request *req, void *user);

#endif
