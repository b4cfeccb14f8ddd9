/* What every command needs: exit statuses, messages, files, interruption, progress, JSON on stdout. */
#ifndef KVASIR_CLI_COMMON_COMMON_H
#define KVASIR_CLI_COMMON_COMMON_H

#include "base/status.h"
#include "cli/common/output.h"
#include <jansson.h>
#include <stddef.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MODEL = 3, /* the model file is bad or unsupported */
    EXIT_ROOM = 4,  /* does not fit in memory or in the context */
    EXIT_CHECK = 5,
    EXIT_STOPPED = 130 /* Ctrl-C */
};

/* ---- messages (stderr) -------------------------------------------------------------------------------- */

/* Prints "kvasir: ..." as a line of its own. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints what the last failed call said and returns the exit status for it. */
int failed(kvasir_status status);
/* The same for a failure to open a model: a file that cannot be read is a bad model file too. */
int failed_model(kvasir_status status);
/* For commands that judge: numbers that are not finite (KVASIR_E_NOT_FINITE) are a failed check, EXIT_CHECK; to the others such
   a file is a bad one, EXIT_MODEL. */
void not_finite_fails_a_check(void);
/* Prints the sentence and returns EXIT_USAGE. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Colours, if stderr is a terminal that wants them; else empty strings. */
const char *dim_on(void);
const char *dim_off(void);

/* ---- interruption ------------------------------------------------------------------------------------- */

/* From here on Ctrl-C (and SIGTERM) makes interrupted() true and cancels the engine's step; the third one
   ends the process at once. */
void catch_interrupts(void);
/* Which engine Ctrl-C cancels; NULL for none. */
void interrupt_engine(kvasir_engine *e);
int interrupted(void);
void clear_interrupt(void);
/* Has SIGTERM come? clear_interrupt does not forget it. */
int asked_to_end(void);
/* What the third one calls before the process ends (async-signal-safe); NULL for nothing. */
void interrupt_exit(void (*fn)(void));

/* ---- progress (stderr, only on a terminal) ------------------------------------------------------------ */

typedef struct progress {
    const char *label, *unit; /* "reading", "tokens"; unit "B" counts bytes */
    double started, shown;
    int visible;
    uint64_t before; /* done when it began: no speed of ours */
} progress;

/* --no-progress; also off when stderr is no terminal. */
void progress_disable(void);
progress progress_start(const char *label, const char *unit);
/* Redraws the line at most ten times a second: part done, speed, time left, and `extra`, which may be NULL; as much of it as
   the terminal is wide (fit.h). */
void progress_update(progress *p, uint64_t done, uint64_t total, const char *extra);
void progress_end(progress *p); /* removes the line */
/* A kvasir_progress_fn over a progress; cancels after Ctrl-C. */
int progress_callback(void *user, uint64_t done, uint64_t total);

/* ---- files -------------------------------------------------------------------------------------------- */

/* A whole file of at most 1 GiB, or stdin for "-". *text is NUL-terminated and the caller's (free). KVASIR_E_IO names
   the file. */
kvasir_status read_text(const char *path, char **text, size_t *n);
/* Where a user's files of a kind are kept: $variable/tail, or $HOME/fallback/tail ("XDG_CONFIG_HOME", ".config"). The base
   directory specification has relative paths ignored. KVASIR_E_ARGUMENT where there is no such place, or its path does not fit
   n bytes. */
kvasir_status user_path(const char *variable, const char *fallback, const char *tail, char *to, size_t n);
/* Numbers from a JSON array or separated by whitespace or commas. *ids is the caller's (free). */
kvasir_status parse_ids(const char *text, size_t n, int32_t **ids, size_t *n_ids);

/* ---- output ------------------------------------------------------------------------------------------- */

enum { DATE_BYTES = 32 };
/* Now in UTC, "2026-01-15T09:05:07Z"; "" where the clock makes no date. */
void date_text(char to[DATE_BYTES]);
/* A JSON string; bytes that are not UTF-8 become U+FFFD. */
json_t *json_text(const char *s, size_t n);
json_t *json_text_or_null(const char *s);
json_t *json_ids(const int32_t *ids, size_t n);
json_t *json_bytes(uint64_t n);
/* A number; NULL (JSON's) when it is not finite. */
json_t *json_number(double x);
/* An object that starts with "schema": "kvasir.NAME/1". */
json_t *json_document(const char *name);
/* Prints the document and releases it; the exit status. */
int print_json(json_t *document);
/* Flushes stdout; EXIT_FAILED with a message when anything written to it was lost, else `status`. */
int finish_output(int status);

/* format_size and format_count of base/format.h with a text that is valid until the fourth next such call, of either. */
const char *bytes_text(uint64_t n);
const char *count_text(uint64_t n);
/* What the word for n things ends with: "s", or "" for one. */
static inline const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}
/* format_time; `to` has n bytes. */
void time_text(double seconds, char *to, size_t n);

#endif
