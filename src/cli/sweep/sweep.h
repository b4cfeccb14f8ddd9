/* kvasir sweep: what its files share. sweep.c has the options and the order of things, plan.c what is to be
   measured, measure.c measures, file.c keeps it as JSON and CSV, report.c shows it, compare.c
   puts two kept ones side by side. */
#ifndef KVASIR_CLI_SWEEP_SWEEP_H
#define KVASIR_CLI_SWEEP_SWEEP_H

#include "cli/session/session.h"

typedef struct sweep_args {
    const char *model, *depths, *kv, *text, *svg, *html, *csv, *out, *resume, *compare;
    int pp, tg, repeat; /* 0: not given */
    engine_args engine;
    output_args output;
} sweep_args;

enum {
    SWEEP_MAX_DEPTHS = 64,
    SWEEP_MAX_TYPES = 8,
    SWEEP_MAX_PP = 1 << 20,
    SWEEP_MAX_TG = 1 << 14,
    SWEEP_MAX_REPEAT = 100,
    SWEEP_TYPE_BYTES = 16, /* "f16:f16" */
    SWEEP_ERROR_BYTES = 512,
    SWEEP_HASH_BYTES = 17 /* 64 bits in hexadecimal */
};

/* What a row measures, under its name in JSON and CSV: numbers, and whole numbers. */
#define SWEEP_REAL_MAP(X)                                                                                              \
    X(prefill_tps)                                                                                                     \
    X(decode_tps) X(decode_ms_p50) X(decode_ms_p95) X(ttft_ms) X(read_bytes_per_s) X(floor_ms) X(floor_ratio)
#define SWEEP_WHOLE_MAP(X) X(rss_bytes) X(kv_bytes) X(step_bytes) X(major_faults)

typedef enum sweep_state { SWEEP_MISSING, SWEEP_DONE, SWEEP_FAILED } sweep_state;

typedef struct sweep_row {
    char kv_k[SWEEP_TYPE_BYTES / 2], kv_v[SWEEP_TYPE_BYTES / 2];
    int depth;
    sweep_state state;
    char error[SWEEP_ERROR_BYTES]; /* of SWEEP_FAILED */
#define X(name) double name;
    SWEEP_REAL_MAP(X)
#undef X
#define X(name) int64_t name;
    SWEEP_WHOLE_MAP(X)
#undef X
} sweep_row;

/* What is to be measured, and with what. */
typedef struct sweep_plan {
    int depth[SWEEP_MAX_DEPTHS], n_depths; /* ascending */
    char kv[SWEEP_MAX_TYPES][SWEEP_TYPE_BYTES];
    int n_types;
    int pp, tg, repeat;
    const char *text; /* NULL: the built-in one */
    int behind;       /* tokens that are measured behind a depth at most */
    int32_t *ids;     /* depth + behind of the deepest row */
    int n_ids;
    char text_hash[SWEEP_HASH_BYTES];
} sweep_plan;

typedef struct sweep {
    const sweep_args *args;
    engine_args engine; /* the command line's, or what the document of --resume says */
    session s;
    kvasir_engine_info info; /* of the start */
    sweep_plan plan;
    double read_bytes_per_s;
    char fingerprint[SWEEP_HASH_BYTES];
    sweep_row *rows; /* by type, then depth */
    json_t *saved;   /* the document of --resume; NULL without */
} sweep;

static inline sweep_row *sweep_row_at(const sweep *w, int type, int depth)
{
    return &w->rows[type * w->plan.n_depths + depth];
}
static inline int sweep_n_rows(const sweep *w)
{
    return w->plan.n_types * w->plan.n_depths;
}

/* ---- plan.c ---- */

/* What the options and the document of --resume say, as far as it can be known without a model. */
kvasir_status sweep_plan_options(sweep *w);
/* The rest of it, with the model: KV types and depths that it can have, the text's tokens, the empty rows, the
   fingerprint. A KVASIR_E_CONTEXT names the depth. */
kvasir_status sweep_plan_model(sweep *w);
void sweep_plan_free(sweep *w);
/* The first depth + behind tokens of a text (path NULL: of the built-in one, which begins again where it ends), and a hash
   of it. *ids is the caller's (mem_free). KVASIR_E_ARGUMENT where a file is too short. */
kvasir_status sweep_text_ids(const session *s, const char *path, int depth, int behind, int32_t **ids,
                             char hash[SWEEP_HASH_BYTES]);
/* Of everything in the header that decides about speed, and the file's size; not of the weights' values. */
kvasir_status sweep_fingerprint(const session *s, char to[SWEEP_HASH_BYTES]);
/* "q8", or "q8:q4" where K and V differ. */
void sweep_type_text(const char *kv_k, const char *kv_v, char to[SWEEP_TYPE_BYTES]);

/* ---- measure.c ---- */

/* Measures the missing rows one after the other. on_row is called for every row in order, those that were there too.
   A row that memory is too short for is SWEEP_FAILED and the next ones are tried; any other failure ends it. */
kvasir_status sweep_measure(sweep *w, kvasir_status (*on_row)(sweep *w, const sweep_row *r, int is_new));

/* ---- file.c ---- */

/* The document, a new reference. */
json_t *sweep_document(const sweep *w);
/* Writes it so that PATH holds the old or the new one whole at any time. */
kvasir_status sweep_save(const sweep *w, const char *path);
kvasir_status sweep_write_csv(const sweep *w, const char *path);
/* Reads a document that a sweep has written: KVASIR_E_ARGUMENT where it is none. */
kvasir_status sweep_read(const char *path, json_t **out);
/* One row of a document's "rows"; the state says whether it was measured. */
kvasir_status sweep_read_row(const json_t *from, sweep_row *out);
/* Takes over the rows that the document of --resume has, after checking that it was made with the same model, machine
   and options: KVASIR_E_ARGUMENT names what differs. */
kvasir_status sweep_take_rows(sweep *w);

/* ---- report.c ---- */

void sweep_print_head(void);
void sweep_print_row(const sweep_row *r);
/* A line for each KV type: how decoding slows down. */
void sweep_print_sparklines(const sweep *w);
kvasir_status sweep_write_svg(const sweep *w, const char *path);
kvasir_status sweep_write_html(const sweep *w, const char *path);

/* ---- compare.c ---- */

/* The ratios of the rows that two documents share; the exit status. */
int sweep_compare(const char *path_a, const char *path_b, int as_json);

#endif
