/* A sweep for eyes: the table, sparklines, and the chart, alone or in a page. */
#include "cli/sweep/sweep.h"
#include "cli/report/chart.h"
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

static kvasir_status draw(const sweep *w, FILE *f)
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
        const chart_plot plots[N_PLOTS] = {{"decode, tokens per second (dashed: as fast as memory can be read)",
                                            "tokens in the cache", d->decode, 2 * n_types},
                                           {"prefill, tokens per second", "tokens in the cache", d->prefill, n_types}};
        chart_write(f, "Speed as the context fills", plots, N_PLOTS);
    }
    kvasir_status status = d && values ? KVASIR_OK : fail_memory(sizeof *d + n * sizeof *values);
    mem_free(values);
    mem_free(d);
    return status;
}

/* ---- files ---- */

static kvasir_status write_through(const sweep *w, const char *path, kvasir_status (*write)(const sweep *w, FILE *f))
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return fail_memory(n);
    kvasir_status status = write(w, f);
    if (fclose(f) != 0 && status == KVASIR_OK) status = fail_memory(n);
    if (status == KVASIR_OK) status = write_file(path, text, n);
    free(text);
    return status;
}

kvasir_status sweep_write_svg(const sweep *w, const char *path)
{
    return write_through(w, path, draw);
}

static void facts(const sweep *w, FILE *f)
{
    const sweep_plan *p = &w->plan;
    const kvasir_model_info *i = w->s.info;
    char text[256];
    (void)fputs("<dl>\n", f);
    (void)snprintf(text, sizeof text, "%s, %s parameters, %s", i->architecture, count_text(i->n_parameters),
                   bytes_text(i->file_bytes));
    page_fact(f, "model", text);
    page_fact(f, "file", i->path);
    (void)snprintf(text, sizeof text, "%s, %s, %d thread%s, reads %.1f GB/s", w->info.cpu_model, w->info.cpu_level,
                   w->info.n_threads, w->info.n_threads == 1 ? "" : "s", w->read_bytes_per_s * 1e-9);
    page_fact(f, "machine", text);
    (void)snprintf(text, sizeof text, "prefill of %d tokens and decode of %d behind each depth, %d times", p->pp, p->tg,
                   p->repeat);
    page_fact(f, "measured", text);
    page_fact(f, "text", p->text ? p->text : "built in (Genesis)");
    (void)snprintf(text, sizeof text, "kvasir %s", kvasir_version());
    page_fact(f, "made by", text);
    (void)fputs("</dl>\n", f);
}

static void table(const sweep *w, FILE *f)
{
    char text[CELL_BYTES];
    (void)fputs("<div class=\"wide\"><table>\n<tr>", f);
    for (int c = 0; c < COLUMNS; c++) (void)fprintf(f, "<th>%s</th>", columns[c].title);
    (void)fputs("</tr>\n", f);
    for (int i = 0; i < sweep_n_rows(w); i++) {
        const sweep_row *r = &w->rows[i];
        if (r->state == SWEEP_MISSING) continue;
        (void)fputs("<tr>", f);
        for (column c = 0; c < (r->state == SWEEP_FAILED ? C_PREFILL : COLUMNS); c++) {
            cell(r, c, text);
            (void)fprintf(f, "<td>%s</td>", text);
        }
        if (r->state == SWEEP_FAILED) {
            (void)fprintf(f, "<td class=\"error\" colspan=\"%d\">", COLUMNS - C_PREFILL);
            xml_text(f, r->error);
            (void)fputs("</td>", f);
        }
        (void)fputs("</tr>\n", f);
    }
    (void)fputs("</table></div>\n", f);
}

static kvasir_status page(const sweep *w, FILE *f)
{
    const kvasir_model_info *i = w->s.info;
    const char *name = i->name && *i->name ? i->name : "model";
    page_begin(f, name, "speed as the context fills");
    facts(w, f);
    kvasir_status status = draw(w, f);
    table(w, f);
    (void)fputs("</body>\n</html>\n", f);
    return status;
}

kvasir_status sweep_write_html(const sweep *w, const char *path)
{
    return write_through(w, path, page);
}
