/* Messages on stderr, and the exit statuses that go with them. */
#include "cli/common/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("kvasir: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

int usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("kvasir: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return EXIT_USAGE;
}

static int not_finite_exit = EXIT_MODEL;

void not_finite_fails_a_check(void)
{
    not_finite_exit = EXIT_CHECK;
}

static int exit_status(kvasir_status status)
{
    switch (status) {
    case KVASIR_OK:
        return EXIT_DONE;
    case KVASIR_E_ARGUMENT:
        return EXIT_USAGE;
    case KVASIR_E_FORMAT:
    case KVASIR_E_UNSUPPORTED:
        return EXIT_MODEL;
    case KVASIR_E_NOT_FINITE:
        return not_finite_exit;
    case KVASIR_E_MEMORY:
    case KVASIR_E_CONTEXT:
        return EXIT_ROOM;
    case KVASIR_E_CANCELLED:
        return interrupted() ? EXIT_STOPPED : EXIT_FAILED;
    case KVASIR_E_IO:
    case KVASIR_E_TEMPLATE:
    case KVASIR_E_INTERNAL:
        return EXIT_FAILED;
    }
    return EXIT_FAILED;
}

int failed(kvasir_status status)
{
    if (status == KVASIR_E_CANCELLED && interrupted())
        note("stopped");
    else
        note("%s", kvasir_message());
    if (status == KVASIR_E_CONTEXT) (void)fputs("A larger --ctx makes room; nothing was cut.\n", stderr);
    if (status == KVASIR_E_MEMORY) (void)fputs("A smaller --ctx or a larger --kv-memory may fit.\n", stderr);
    return exit_status(status);
}

int failed_model(kvasir_status status)
{
    int code = failed(status);
    return status == KVASIR_E_IO ? EXIT_MODEL : code;
}

static int wants_colour(void)
{
    const char *no = getenv("NO_COLOR");
    return isatty(STDERR_FILENO) && !(no && *no);
}

const char *dim_on(void)
{
    return wants_colour() ? "\033[2m" : "";
}

const char *dim_off(void)
{
    return wants_colour() ? "\033[0m" : "";
}
