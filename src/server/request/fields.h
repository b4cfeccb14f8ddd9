/* Typed fields of a body: what is there is of the right type and within its bounds, or the request is refused. */
#ifndef KVASIR_SERVER_REQUEST_FIELDS_H
#define KVASIR_SERVER_REQUEST_FIELDS_H

#include "server/http/error.h"
#include <jansson.h>

/* The JSON of a body that must be an object: 0, or the status. *out is the caller's. */
int request_json(const char *body, size_t n, json_t **out, http_error *e);

/* A field, or NULL where it is absent or null, which means the same. */
const json_t *field(const json_t *d, const char *name);

/* Each of these reads a field of its type, within its bounds, into *to; *to stays as it is where the field is absent or
   null. 0, or the status. */
int take_number(const json_t *d, const char *name, double min, double max, double *to, http_error *e);
int take_float(const json_t *d, const char *name, double min, double max, float *to, http_error *e);
int take_int(const json_t *d, const char *name, json_int_t min, json_int_t max, json_int_t *to, http_error *e);
int request_flag(const json_t *d, const char *name, int *to, http_error *e); /* true or false */

/* Is it the text `text`, all of it? */
int is_text(const json_t *value, const char *text);

/* Adds the name of a field that has no effect to a list of REQUEST_IGNORED_BYTES: "user, stream_options.x". `within` is
   the object that it stands in, NULL for the request. A name is there once, and what could not stand in a header is
   written as ?. */
enum { REQUEST_IGNORED_BYTES = 512 };
void ignore_field(char *list, const char *within, const char *name);

/* Refuses a field's value: it must be what `wants` says. Returns the status. */
int refuse_value(http_error *e, const char *param, const char *wants);

#endif
