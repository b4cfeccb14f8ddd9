#include "server/http/error.h"

#include <stdarg.h>
#include <stdio.h>

int http_refuse(http_error *e, int status, const char *code, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    e->status = status;
    e->code = code;
    (void)snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    (void)vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    return status;
}

int http_refuse_memory(http_error *e)
{
    return http_refuse(e, 503, "out_of_memory", NULL, "out of memory");
}
