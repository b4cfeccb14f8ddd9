/* A sweep for eyes: the table, sparklines, and the chart, alone or in a page. */
#include "cli/sweep/sweep.h"
#include "cli/report/chart.h"
#include "cli/report/page.h"
#include "cli/report/xml.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 32, N_PLOTS = 2 };

/* ---- table ---- */

typedef enum column {
    C_DEPTH,
    C_TYPE,
    C_PREFILL,
    C_DECODE,
    C_P50,
    C_P95,
    C_TTFT,
    C_RESIDENT,
    C_KV,
    C_FAULTS,
    C_FLOOR,
    C_RATIO,
    COLUMNS
} column;

static const struct {
    const char *title;
    int width;
} columns[COLUMNS] = {
    [C_DEPTH] = {"depth", 9},        [C_TYPE] = {"KV", 8},           [C_PREFILL] = {"prefill t/s", 12},
    [C_DECODE] = {"decode t/s", 11}, [C_P50] = {"ms p50", 8},        [C_P95] = {"ms p95", 8},
    [C_TTFT] = {"TTFT ms", 9},       [C_RESIDENT] = {"resident", 9}, [C_KV] = {"KV bytes", 9},
    [C_FAULTS] = {"faults", 7},      [C_FLOOR] = {"floor ms", 9},    [C_RATIO] = {"x floor", 8},
};

static void cell(const sweep_row *r, column c, char to[CELL_BYTES])
{
    const double real[COLUMNS] = {[C_PREFILL] = r->prefill_tps, [C_DECODE] = r->decode_tps, [C_P50] = r->decode_ms_p50,
                                  [C_P95] = r->decode_ms_p95,   [C_TTFT] = r->ttft_ms,      [C_FLOOR] = r->floor_ms,
                                  [C_RATIO] = r->floor_ratio};
    if (c == C_DEPTH)
        (void)snprintf(to, CELL_BYTES, "%s", count_text((uint64_t)r->depth));
    else if (c == C_TYPE)
        sweep_type_text(r->kv_k, r->kv_v, to);
    else if (c == C_RESIDENT)
        (void)snprintf(to, CELL_BYTES, "%s", bytes_text((uint64_t)r->rss_bytes));
    else if (c == C_KV)
        (void)snprintf(to, CELL_BYTES, "%s", bytes_text((uint64_t)r->kv_bytes));
    else if (c == C_FAULTS)
        (void)snprintf(to, CELL_BYTES, "%lld", (long long)r->major_faults);
    else
        (void)snprintf(to, CELL_BYTES, "%.*f", c == C_PREFILL || c == C_TTFT ? 1 : 2, real[c]);
}

void sweep_print_head(void)
{
    for (int c = 0; c < COLUMNS; c++) (void)printf("%*s", columns[c].width, columns[c].title);
    (void)putchar('\n');
}

void sweep_print_row(const sweep_row *r)
{
    char text[CELL_BYTES];
    for (column c = 0; c < COLUMNS; c++) {
        if (c == C_PREFILL && r->state == SWEEP_FAILED) {
            (void)printf("  %s", r->error);
            break;
        }
        cell(r, c, text);
        (void)printf("%*s", columns[c].width, text);
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

/* ---- sparklines ---- */

void sweep_print_sparklines(const sweep *w)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    enum { BARS = sizeof bars / sizeof *bars };
    double most = 0;
    for (int i = 0; i < sweep_n_rows(w); i++)
        if (w->rows[i].state == SWEEP_DONE) most = fmax(most, w->rows[i].decode_tps);
    for (int t = 0; t < w->plan.n_types; t++) {
        const sweep_row *first = NULL, *last = NULL;
        for (int d = 0; d < w->plan.n_depths; d++) {
            const sweep_row *r = sweep_row_at(w, t, d);
            if (r->state != SWEEP_DONE) continue;
            if (!first) (void)printf("%sdecode %s  ", t ? "" : "\n", w->plan.kv[t]);
            (void)fputs(bars[(int)fmin(BARS - 1, BARS * r->decode_tps / most)], stdout);
            first = first ? first : r;
            last = r;
        }
        if (!first) continue;
        (void)printf("  %.1f t/s at %s", first->decode_tps, count_text((uint64_t)first->depth));
        if (last != first)
            (void)printf(", %.1f (%.0f%%) at %s", last->decode_tps, 100 * last->decode_tps / first->decode_tps,
                         count_text((uint64_t)last->depth));
        (void)putchar('\n');
    }
}

/* ---- the chart ---- */

/* The lines of both plots: prefill; decode, and what decode could be at the memory's full speed. */
typedef struct chart_data {
    double *values; /* of all lines, n_depths for each */
    double depth[SWEEP_MAX_DEPTHS];
    chart_line prefill[SWEEP_MAX_TYPES], decode[2 * SWEEP_MAX_TYPES];
} chart_data;

static chart_line make_line(const sweep *w, chart_data *d, int type, int kind)
{
    int n = w->plan.n_depths;
    double *y = d->values + (size_t)(3 * type + kind) * (size_t)n;
    for (int i = 0; i < n; i++) {
        const sweep_row *r = sweep_row_at(w, type, i);
        double values[] = {r->prefill_tps, r->decode_tps, 1e3 / r->floor_ms};
        y[i] = r->state == SWEEP_DONE ? values[kind] : (double)NAN;
    }
    return (chart_line){.name = w->plan.kv[type], .colour = type, .dashed = kind == 2, .x = d->depth, .y = y, .n = n};
}

/* Hands the plots to `show`. */
static kvasir_status draw(const sweep *w, FILE *f, void (*show)(FILE *f, const chart_plot *plots, int n_plots))
{
    int n_types = w->plan.n_types;
    size_t n = (size_t)(3 * sweep_n_rows(w));
    chart_data *d = mem_alloc(1, sizeof *d);
    double *values = mem_alloc(n, sizeof *values);
    if (d && values) {
        d->values = values;
        for (int i = 0; i < w->plan.n_depths; i++) d->depth[i] = w->plan.depth[i];
        for (int t = 0; t < n_types; t++) {
            d->prefill[t] = make_line(w, d, t, 0);
            d->decode[t] = make_line(w, d, t, 1);
            d->decode[n_types + t] = make_line(w, d, t, 2);
        }
        const chart_plot plots[N_PLOTS] = {{.title = "Decode, tokens per second",
                                            .x_label = "tokens in the cache",
                                            .dashed = "as fast as memory can be read",
                                            .lines = d->decode,
                                            .n_lines = 2 * n_types},
                                           {.title = "Prefill, tokens per second",
                                            .x_label = "tokens in the cache",
                                            .lines = d->prefill,
                                            .n_lines = n_types}};
        show(f, plots, N_PLOTS);
    }
    kvasir_status status = d && values ? KVASIR_OK : fail_memory(sizeof *d + n * sizeof *values);
    mem_free(values);
    mem_free(d);
    return status;
}

static void show_alone(FILE *f, const chart_plot *plots, int n_plots)
{
    chart_write(f, "Speed as the context fills", plots, n_plots);
}

static void show_in_page(FILE *f, const chart_plot *plots, int n_plots)
{
    chart_figures(f, "sweep", plots, n_plots);
}

static kvasir_status svg(const void *what, FILE *f)
{
    const sweep *w = what;
    return draw(w, f, show_alone);
}

/* ---- the verdict ---- */

/* The deepest depth at which at least `n` types were measured; -1: none. */
static int deepest_of(const sweep *w, int n)
{
    for (int d = w->plan.n_depths - 1; d >= 0; d--) {
        int done = 0;
        for (int t = 0; t < w->plan.n_types; t++) done += sweep_row_at(w, t, d)->state == SWEEP_DONE;
        if (done >= n) return d;
    }
    return -1;
}

/* How far the steps of a row lie apart, as a share of the middle one. */
static double spread_of(const sweep_row *r)
{
    return r->decode_ms_p50 > 0 && r->decode_ms_p95 > r->decode_ms_p50 ? r->decode_ms_p95 / r->decode_ms_p50 - 1 : 0;
}

/* The fastest type at a depth that two have, beside the first one named, which most often is f16; where that is itself the
   fastest, beside the second. */
static void compare_types(const sweep *w, int depth, FILE *f)
{
    const sweep_row *best = NULL, *first = NULL, *second = NULL;
    for (int t = 0; t < w->plan.n_types; t++) {
        const sweep_row *r = sweep_row_at(w, t, depth);
        if (r->state != SWEEP_DONE) continue;
        first = first ? first : r;
        if (!best || r->decode_tps > best->decode_tps) {
            second = best;
            best = r;
        } else if (!second || r->decode_tps > second->decode_tps)
            second = r;
    }
    const sweep_row *other = best == first ? second : first;
    if (!best || !other) return; /* two were asked for */
    char a[SWEEP_TYPE_BYTES], b[SWEEP_TYPE_BYTES];
    sweep_type_text(best->kv_k, best->kv_v, a);
    sweep_type_text(other->kv_k, other->kv_v, b);
    const double ratio = best->decode_tps / other->decode_tps, spread = fmax(spread_of(best), spread_of(other));
    if (ratio < 1.005)
        (void)fprintf(f, "%s decodes as fast as %s", a, b);
    else if (ratio - 1 < spread) { /* it may be chance, or another program */
        (void)fprintf(
            f, "No clear difference: the spread is wider. At %s tokens %s decodes %.0f%% faster than %s, and the ",
            count_text((uint64_t)best->depth), a, 100 * (ratio - 1), b);
        (void)fprintf(f, "steps of one type lie %.0f%% apart (p50 to p95)", 100 * spread);
        return;
    } else
        (void)fprintf(f, "%s decodes %.2f times as fast as %s", a, ratio, b);
    (void)fprintf(f, " at %s tokens", count_text((uint64_t)best->depth));
}

/* How fast the one type is at its deepest, and beside its shallowest depth. */
static void describe_type(const sweep *w, int depth, FILE *f)
{
    const sweep_row *first = NULL, *last = NULL;
    char name[SWEEP_TYPE_BYTES];
    for (int t = 0; t < w->plan.n_types && !last; t++)
        if (sweep_row_at(w, t, depth)->state == SWEEP_DONE) {
            last = sweep_row_at(w, t, depth);
            for (int d = depth; d >= 0; d--)
                if (sweep_row_at(w, t, d)->state == SWEEP_DONE) first = sweep_row_at(w, t, d);
        }
    if (!last) return; /* one was asked for */
    sweep_type_text(last->kv_k, last->kv_v, name);
    if (last->decode_tps < 1000)
        (void)fprintf(f, "%s decodes %.1f", name, last->decode_tps);
    else
        (void)fprintf(f, "%s decodes %s", name, count_text((uint64_t)last->decode_tps));
    (void)fprintf(f, " tokens per second at %s tokens", count_text((uint64_t)last->depth));
    if (first != last)
        (void)fprintf(f, ", %.0f%% of its speed at %s", 100 * last->decode_tps / first->decode_tps,
                      count_text((uint64_t)first->depth));
}

/* What memory is too short for, by type: the shallowest depth, since all deeper ones are too large as well. */
static void name_failed(const sweep *w, int n_failed, FILE *f)
{
    int n_types = 0;
    (void)fprintf(f, "; %d of %d rows %s not fit the memory: ", n_failed, sweep_n_rows(w),
                  n_failed == 1 ? "does" : "do");
    for (int t = 0; t < w->plan.n_types; t++) {
        const sweep_row *first = NULL;
        for (int d = w->plan.n_depths - 1; d >= 0; d--)
            if (sweep_row_at(w, t, d)->state == SWEEP_FAILED) first = sweep_row_at(w, t, d);
        if (!first) continue;
        const char *more = first->depth < w->plan.depth[w->plan.n_depths - 1] ? "from" : "at";
        (void)fprintf(f, "%s%s %s %s", n_types++ ? ", " : "", w->plan.kv[t], more, count_text((uint64_t)first->depth));
    }
    (void)fputs(" tokens", f);
}

/* The sentence that the page begins with. */
static page_verdict verdict(const sweep *w, FILE *f)
{
    int n_rows = sweep_n_rows(w), n_failed = 0, n_missing = 0;
    const int alone = deepest_of(w, 1), together = w->plan.n_types > 1 ? deepest_of(w, 2) : -1;
    for (int i = 0; i < n_rows; i++) {
        n_failed += w->rows[i].state == SWEEP_FAILED;
        n_missing += w->rows[i].state == SWEEP_MISSING;
    }
    if (together >= 0)
        compare_types(w, together, f);
    else if (alone >= 0)
        describe_type(w, alone, f);
    else
        (void)fputs("Nothing was measured", f);
    if (n_failed == 0 && n_missing == 0) (void)fputs("; every depth fits", f);
    if (n_failed) name_failed(w, n_failed, f);
    if (n_missing)
        (void)fprintf(f, "; %d of %d rows %s not measured", n_missing, n_rows, n_missing == 1 ? "was" : "were");
    (void)fputc('.', f);
    return n_failed || n_missing ? PAGE_BAD : PAGE_GOOD;
}

/* ---- files ---- */

kvasir_status sweep_write_svg(const sweep *w, const char *path)
{
    return write_document(path, svg, w);
}

static void facts(const sweep *w, FILE *f)
{
    const sweep_plan *p = &w->plan;
    const kvasir_model_info *i = w->s.info;
    char text[256];
    page_facts_begin(f, &w->info, w->read_bytes_per_s);
    (void)snprintf(text, sizeof text, "%s, %s parameters, %s", i->architecture, count_text(i->n_parameters),
                   bytes_text(i->file_bytes));
    page_fact(f, "model", text);
    page_fact(f, "file", i->path);
    (void)snprintf(text, sizeof text, "prefill of %d tokens and decode of %d behind each depth, %d time%s", p->pp,
                   p->tg, p->repeat, p->repeat == 1 ? "" : "s");
    page_fact(f, "measured", text);
    page_fact(f, "text", p->text ? p->text : "built in (Genesis)");
    page_facts_end(f);
}

static void table(const sweep *w, FILE *f)
{
    char text[CELL_BYTES];
    page_column heads[COLUMNS] = {0};
    int n = 0;
    for (int c = 0; c < COLUMNS; c++) heads[c] = (page_column){.title = columns[c].title, .is_key = c == C_TYPE};
    for (int i = 0; i < sweep_n_rows(w); i++) n += w->rows[i].state != SWEEP_MISSING;
    (void)fputs("<h2>All rows</h2>\n", f);
    (void)snprintf(text, sizeof text, "The table of %d rows", n);
    page_table_begin(f, "All rows", text, n, heads, COLUMNS);
    for (int i = 0; i < sweep_n_rows(w); i++) {
        const sweep_row *r = &w->rows[i];
        if (r->state == SWEEP_MISSING) continue;
        (void)fputs("<tr>", f);
        for (column c = 0; c < (r->state == SWEEP_FAILED ? C_PREFILL : COLUMNS); c++) {
            cell(r, c, text);
            (void)fputs(c == C_DEPTH ? "<th scope=\"row\">" : c == C_TYPE ? "<td class=\"key\">" : "<td>", f);
            xml_text(f, text);
            (void)fputs(c == C_DEPTH ? "</th>" : "</td>", f);
        }
        if (r->state == SWEEP_FAILED) {
            (void)fprintf(f, "<td class=\"error\" colspan=\"%d\">", COLUMNS - C_PREFILL);
            xml_text(f, r->error);
            (void)fputs("</td>", f);
        }
        (void)fputs("</tr>\n", f);
    }
    page_table_end(f, n);
}

static kvasir_status page(const void *what, FILE *f)
{
    const sweep *w = what;
    const kvasir_model_info *i = w->s.info;
    char *sentence = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&sentence, &n);
    if (!to) return fail_memory(n);
    page_verdict kind = verdict(w, to);
    kvasir_status status = fclose(to) == 0 ? KVASIR_OK : fail_memory(n);
    if (status == KVASIR_OK) {
        page_begin(f, i->name && *i->name ? i->name : "model", "speed as the context fills", kind, sentence);
        facts(w, f);
        status = draw(w, f, show_in_page);
        table(w, f);
        page_end(f);
    }
    free(sentence);
    return status;
}

kvasir_status sweep_write_html(const sweep *w, const char *path)
{
    return write_document(path, page, w);
}
