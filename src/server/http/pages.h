/* The errors that libevent answers by itself, as this server's JSON. */
#ifndef KVASIR_SERVER_HTTP_PAGES_H
#define KVASIR_SERVER_HTTP_PAGES_H

struct bufferevent;
struct event_base;

/* A bufferevent for a new connection. What libevent refuses before a request reaches its handler (413, 417, 501, ...) goes out
   on it as the documented JSON, and not as libevent's page. NULL when out of memory. */
struct bufferevent *pages_bufferevent(struct event_base *base);

#endif
