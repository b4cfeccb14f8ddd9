#include "server/request/fields.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

int refuse_value(http_error *e, const char *param, const char *wants)
{
    return http_refuse(e, 400, "invalid_value", param, "%s must be %s", param, wants);
}

int request_json(const char *body, size_t n, json_t **out, http_error *e)
{
    json_error_t error;
    *out = json_loadb(body, n, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return http_refuse(e, 400, "invalid_json", NULL, "the body is no JSON: %s, line %d, column %d",
                           quoted(error.text, strlen(error.text)), error.line, error.column);
    if (json_is_object(*out)) return 0;
    json_decref(*out);
    *out = NULL;
    return http_refuse(e, 400, "invalid_json", NULL, "the body must be a JSON object");
}

const json_t *field(const json_t *d, const char *name)
{
    const json_t *value = json_object_get(d, name);
    return json_is_null(value) ? NULL : value;
}

int take_number(const json_t *d, const char *name, double min, double max, double *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    double x = json_number_value(value);
    if (json_is_number(value) && x >= min && x <= max) {
        *to = x;
        return 0;
    }
    char wants[80];
    (void)snprintf(wants, sizeof wants, "a number from %g to %g", min, max);
    return refuse_value(e, name, wants);
}

int take_float(const json_t *d, const char *name, double min, double max, float *to, http_error *e)
{
    double x = (double)*to;
    int status = take_number(d, name, min, max, &x, e);
    *to = (float)x;
    return status;
}

int take_int(const json_t *d, const char *name, json_int_t min, json_int_t max, json_int_t *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    if (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max) {
        *to = json_integer_value(value);
        return 0;
    }
    char wants[80];
    (void)snprintf(wants, sizeof wants, "a whole number from %lld to %lld", (long long)min, (long long)max);
    return refuse_value(e, name, wants);
}

int request_flag(const json_t *d, const char *name, int *to, http_error *e)
{
    const json_t *value = field(d, name);
    if (!value) return 0;
    if (!json_is_boolean(value)) return refuse_value(e, name, "true or false");
    *to = json_is_true(value);
    return 0;
}
