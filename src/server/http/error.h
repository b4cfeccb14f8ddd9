/* Refusals. */
#ifndef KVASIR_SERVER_HTTP_ERROR_H
#define KVASIR_SERVER_HTTP_ERROR_H

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

#endif
