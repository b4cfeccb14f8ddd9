#include "cli/common.h"
#include "base/checked.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- messages ----------------------------------------------------------------------------------------- */

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

/* ---- interruption ------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupts;
static kvasir_engine *volatile interrupt_target;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (++interrupts >= 3) _exit(EXIT_STOPPED);
    kvasir_engine *e = interrupt_target;
    if (e) kvasir_cancel(e);
}

void catch_interrupts(void)
{
    /* No SA_RESTART: a read from the terminal is to come back. */
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

void interrupt_engine(kvasir_engine *e)
{
    interrupt_target = e;
}

int interrupted(void)
{
    return interrupts > 0;
}

void clear_interrupt(void)
{
    interrupts = 0;
}

/* ---- files -------------------------------------------------------------------------------------------- */

enum { MAX_TEXT_BYTES = 1 << 30 };

static kvasir_status read_stream(FILE *f, const char *name, char **text, size_t *n)
{
    size_t used = 0, room = 0;
    char *data = NULL;
    for (;;) {
        if (used > MAX_TEXT_BYTES) {
            free(data);
            return fail(KVASIR_E_ARGUMENT, "%s: more than 1 GiB is no text", name);
        }
        if (room - used < 2) {
            size_t wanted = room ? room * 2 : 64 << 10;
            char *grown = realloc(data, wanted);
            if (!grown) {
                free(data);
                return fail_memory(wanted);
            }
            data = grown;
            room = wanted;
        }
        size_t got = fread(data + used, 1, room - used - 1, f);
        used += got;
        if (got == 0) break;
    }
    if (ferror(f)) {
        int error = errno;
        free(data);
        if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
        return fail(KVASIR_E_IO, "%s: %s", name, strerror(error));
    }
    data[used] = 0;
    *text = data;
    *n = used;
    return KVASIR_OK;
}

kvasir_status read_text(const char *path, char **text, size_t *n)
{
    if (strcmp(path, "-") == 0) return read_stream(stdin, "stdin", text, n);
    FILE *f = fopen(path, "rb");
    if (!f) return fail(KVASIR_E_IO, "%s: %s", path, strerror(errno));
    kvasir_status status = read_stream(f, path, text, n);
    (void)fclose(f);
    return status;
}

kvasir_status write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f) return fail(KVASIR_E_IO, "%s: %s", path, strerror(errno));
    size_t written = fwrite(data, 1, n, f);
    int bad = written != n || ferror(f), error = errno;
    if (fclose(f) != 0 && !bad) {
        bad = 1;
        error = errno;
    }
    return bad ? fail(KVASIR_E_IO, "%s: %s", path, strerror(error)) : KVASIR_OK;
}

void date_text(char to[DATE_BYTES])
{
    time_t now = time(NULL);
    struct tm utc;
    to[0] = '\0';
    if (gmtime_r(&now, &utc)) (void)strftime(to, DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

kvasir_status user_path(const char *variable, const char *fallback, const char *tail, char *to, size_t n)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    int length;
    if (base && base[0] == '/')
        length = snprintf(to, n, "%s/%s", base, tail);
    else if (home && home[0] == '/')
        length = snprintf(to, n, "%s/%s/%s", home, fallback, tail);
    else
        return fail(KVASIR_E_ARGUMENT, "neither %s nor HOME says where files are kept", variable);
    if (length < 0 || (size_t)length >= n)
        return fail(KVASIR_E_ARGUMENT, "the path of %s is longer than %zu bytes", tail, n - 1);
    return KVASIR_OK;
}

static const char *skip_separators(const char *s, const char *end)
{
    while (s < end && (isspace((unsigned char)*s) || *s == ',')) s++;
    return s;
}

kvasir_status parse_ids(const char *text, size_t n, int32_t **ids, size_t *n_ids)
{
    /* One rule for both notations: brackets may stand around, commas and whitespace between. */
    size_t count = 0, room = n / 2 + 1;
    const char *end = text + n, *s = skip_separators(text, end);
    int32_t *list = mem_alloc(room, sizeof *list);
    if (!list) return fail_memory(room * sizeof *list);
    int array = s < end && *s == '[';
    for (s = skip_separators(s + array, end); s < end && *s != ']'; s = skip_separators(s, end)) {
        char *after = NULL;
        errno = 0;
        long id = strtol(s, &after, 10);
        if (after == s || errno != 0 || id < 0 || id > INT32_MAX) goto bad;
        list[count++] = (int32_t)id;
        s = after;
    }
    if (array != (s < end)) goto bad; /* a bracket is missing, or one too many */
    if (array && (s = skip_separators(s + 1, end)) < end) goto bad;
    *ids = list;
    *n_ids = count;
    return KVASIR_OK;
bad:
    mem_free(list);
    size_t at = (size_t)(s - text), left = min_size((size_t)(end - s), 16);
    return fail(KVASIR_E_ARGUMENT, "byte %zu of the ids: %s%s%s", at, left ? "'" : "a bracket is missing",
                left ? quoted(s, left) : "", left ? "' is no token id" : "");
}

/* ---- output ------------------------------------------------------------------------------------------- */

json_t *json_text(const char *s, size_t n)
{
    json_t *exact = json_stringn(s, n);
    if (exact) return exact;
    /* Not UTF-8 somewhere: take it character by character, which finds the bad bytes exactly. */
    char *clean = mem_alloc(3 * n + 1, 1);
    size_t used = 0;
    if (!clean) return NULL;
    for (size_t i = 0; i < n;) {
        size_t length = 0;
        for (size_t k = 1; k <= 4 && k <= n - i && !length; k++) {
            json_t *one = json_stringn(s + i, k);
            if (one) length = k;
            json_decref(one);
        }
        memcpy(clean + used, length ? s + i : "\xef\xbf\xbd", length ? length : 3);
        used += length ? length : 3;
        i += length ? length : 1;
    }
    exact = json_stringn(clean, used);
    mem_free(clean);
    return exact;
}

json_t *json_text_or_null(const char *s)
{
    return s ? json_text(s, strlen(s)) : json_null();
}

json_t *json_ids(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) (void)json_array_append_new(list, json_integer(ids[i]));
    return list;
}

json_t *json_bytes(uint64_t n)
{
    return json_integer((json_int_t)n);
}

json_t *json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *json_document(const char *name)
{
    return json_pack("{s:s++}", "schema", "kvasir.", name, "/1");
}

int print_json(json_t *document)
{
    int bad = json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0;
    json_decref(document);
    (void)putchar('\n');
    if (bad && !ferror(stdout)) return failed(fail(KVASIR_E_INTERNAL, "the JSON document could not be made"));
    return finish_output(EXIT_DONE);
}

int finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    if (errno != EPIPE) note("writing the output failed: %s", strerror(errno)); /* a closed pipe: nobody wants more */
    return status == EXIT_DONE ? EXIT_FAILED : status;
}

static char *ring_slot(void)
{
    enum { SLOTS = 4, BYTES = 32 };
    static char slots[SLOTS][BYTES];
    static unsigned next;
    return slots[next++ % SLOTS];
}

const char *bytes_text(uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    char *to = ring_slot();
    double value = (double)n;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
    (void)snprintf(to, 32, "%.*f %s", digits, value, units[unit]);
    return to;
}

const char *count_text(uint64_t n)
{
    char plain[24], *to = ring_slot();
    int length = snprintf(plain, sizeof plain, "%llu", (unsigned long long)n), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) to[used++] = ',';
        to[used++] = plain[i];
    }
    to[used] = 0;
    return to;
}
