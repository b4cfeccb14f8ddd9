/* kvasir verify: what its files share. verify.c has the options and the order of things, memory.c measures KV and
   memory, speed.c speed; quality is judged by divergence.c, needle.c and forced.c, on couple.c; report.c shows the rows. */
#ifndef KVASIR_CLI_VERIFY_VERIFY_H
#define KVASIR_CLI_VERIFY_VERIFY_H

#include "cli/files/quality_file.h"
#include "cli/session/session.h"
#include "cli/watch/watch.h"

typedef struct verify_args {
    const char *model, *machine, *text, *steps, *depths, *html;
    int quick;
    float minutes;
    engine_args engine;
    output_args output;
} verify_args;

enum { VERIFY_MAX_DEPTHS = 16, VERIFY_MAX_PARTS = 64, VERIFY_LABEL = 64 };

typedef enum verify_step { VERIFY_KV, VERIFY_MEMORY, VERIFY_SPEED, VERIFY_QUALITY, VERIFY_STEPS } verify_step;

/* Rows that are points of a chart. */
typedef enum verify_series {
    VERIFY_NO_CHART,
    VERIFY_DECODE,
    VERIFY_PREFILL,
    VERIFY_RESIDENT,
    VERIFY_SERIES
} verify_series;

typedef struct verify_check {
    verify_step step;
    char name[96];
    const char *unit; /* "bytes", "s", "ms", "tokens/s", "nats", "ppl", "share", "answers" */
    double predicted; /* NAN: nothing was */
    double low, high; /* what the measurement is to lie between; NAN: no bound */
    double measured;
    const char *why; /* what the bounds are, a few words */
    verify_series series;
    int depth;   /* of a chart's point */
    int quiet;   /* shown in the table only when it fails, or with -v */
    int verdict; /* set by verify_add: 1 holds, 0 fails, -1 there was nothing to compare with */
} verify_check;

typedef struct verify {
    const verify_args *args;
    session s;
    kvasir_engine_info info; /* of the start */
    int wanted[VERIFY_STEPS];
    int depth[VERIFY_MAX_DEPTHS], n_depths; /* ascending */
    int given_depths;                       /* by --depths */
    int quality_depth;                      /* at which the text is judged */
    int ctx, behind;                        /* behind: tokens that are decoded behind a depth */
    int32_t *ids;                           /* ctx of them */
    kvasir_machine machine;
    int has_machine;
    verify_check *checks;
    int n_checks, room;
    char missing[VERIFY_MAX_PARTS][VERIFY_LABEL]; /* parts that were not measured */
    int n_missing;
    kvasir_seq *seq;     /* filled part by part; NULL before and after */
    double fill_s;       /* that filling it has taken */
    double single_ms;    /* decode of one client at the depth that two are measured at; 0: not measured */
    uint64_t storage[2]; /* bytes read from storage and written to it before the first part */
    int has_storage;
    quality_record quality; /* what the rows of quality say, for kvasir plan */
    watch watch;
} verify;

static inline const char *verify_step_name(verify_step s)
{
    static const char *const names[VERIFY_STEPS] = {"kv", "memory", "speed", "quality"};
    return names[s];
}

/* ---- verify.c ---- */

/* Judges a row, keeps it and shows it. */
kvasir_status verify_add(verify *w, const verify_check *c);
/* What the library plans for `users` sequences of ctx tokens of which they share `prefix`. */
kvasir_status verify_plan(const verify *w, int ctx, int users, int prefix, kvasir_plan **out);
/* Appends the text's next n tokens to all `n_seqs` sequences in one step. *seconds and *logits (of the first, the last row)
   may be NULL. */
kvasir_status verify_feed(verify *w, kvasir_seq *const *seqs, int n_seqs, int n, double *seconds, const float **logits);
/* Fills a sequence up to a length, with progress. *seconds grows by what it took. */
kvasir_status verify_fill(verify *w, kvasir_seq *seq, int to, const char *label, double *seconds);

/* ---- the parts: each measures and adds rows ---- */

kvasir_status verify_loaded(verify *w, int arg);
kvasir_status verify_full(verify *w, int arg);
kvasir_status verify_depth(verify *w, int index); /* of w->depth */
kvasir_status verify_clients(verify *w, int arg);
kvasir_status verify_storage(verify *w, int arg);
kvasir_status verify_text(verify *w, int arg);
kvasir_status verify_floor(verify *w, int arg);
kvasir_status verify_needle(verify *w, int depth);
kvasir_status verify_forced(verify *w, int arg);

/* Sets w->quality_depth: the deepest that --minutes and memory allow. Says what it will take. */
kvasir_status verify_choose_depth(verify *w);
/* The depth of needles number i where quality is judged at `depth`; 0 behind the last. Those of --depths, else the steps down to
   that depth, as far as there is room for the answer behind them. */
int verify_needle_depth(const verify *w, int depth, int i);
enum { NEEDLE_PLACES = 3 }; /* of each depth */

/* ---- report.c ---- */

void verify_print_head(void);
void verify_print_row(const verify_check *c);
json_t *verify_document(const verify *w);
kvasir_status verify_write_html(const verify *w, const char *path);

#endif
