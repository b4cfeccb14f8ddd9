/* The rows for eyes and programs: a table, a JSON document, a page. */
#include "cli/verify/verify.h"
#include "cli/report/chart.h"
#include "cli/report/page.h"
#include "cli/report/xml.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 32, ALLOWED = 80, NAMED = 5 };

static void value_text(double x, const char *unit, char to[CELL])
{
    if (!isfinite(x))
        (void)snprintf(to, CELL, "-");
    else if (strcmp(unit, "bytes") == 0)
        (void)snprintf(to, CELL, "%s", bytes_text((uint64_t)fmax(0, x)));
    else
        (void)snprintf(to, CELL, "%.*f %s", strcmp(unit, "answers") == 0 ? 0 : fabs(x) < 10 ? 4 : 1, x, unit);
}

static const char *verdict_text(int verdict)
{
    return verdict > 0 ? "ok" : verdict == 0 ? "FAILED" : "-";
}

void verify_print_head(void)
{
    (void)printf("%-8s %-50s %18s %18s  %s\n", "step", "what", "predicted", "measured", "verdict");
}

void verify_print_row(const verify_check *c)
{
    char predicted[CELL], measured[CELL];
    value_text(c->predicted, c->unit, predicted);
    value_text(c->measured, c->unit, measured);
    (void)printf("%-8s %-50s %18s %18s  %s", verify_step_name(c->step), c->name, predicted, measured,
                 verdict_text(c->verdict));
    if (c->verdict == 0) (void)printf(" (%s)", c->why);
    (void)putchar('\n');
    (void)fflush(stdout);
}

/* ---- JSON ---- */

static json_t *json_check(const verify_check *c)
{
    json_t *ok = c->verdict < 0 ? json_null() : json_boolean(c->verdict);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "step", verify_step_name(c->step), "name",
                     c->name, "predicted", json_number(c->predicted), "low", json_number(c->low), "high",
                     json_number(c->high), "measured", json_number(c->measured), "unit", c->unit, "ok", ok, "why",
                     json_text_or_null(c->why));
}

static json_t *json_options(const verify *w)
{
    json_t *depths = json_array(), *steps = json_array();
    for (int i = 0; i < w->n_depths; i++) (void)json_array_append_new(depths, json_integer(w->depth[i]));
    for (int i = 0; i < VERIFY_STEPS; i++)
        if (w->wanted[i]) (void)json_array_append_new(steps, json_string(verify_step_name((verify_step)i)));
    return json_pack("{s:i, s:s, s:o, s:o, s:b, s:o}", "ctx", w->ctx, "kv", w->s.kv, "depths", depths, "steps", steps,
                     "quick", w->args->quick, "text", json_text_or_null(w->args->text));
}

json_t *verify_document(const verify *w)
{
    const kvasir_model_info *i = w->s.info;
    json_t *d = json_document("verify"), *checks = json_array(), *missing = json_array();
    int ok = w->n_missing == 0;
    for (int k = 0; k < w->n_checks; k++) {
        (void)json_array_append_new(checks, json_check(&w->checks[k]));
        ok = ok && w->checks[k].verdict != 0;
    }
    for (int k = 0; k < w->n_missing; k++) (void)json_array_append_new(missing, json_string(w->missing[k]));
    (void)json_object_update_new(
        d, json_pack("{s:s, s:{s:o, s:o, s:o}, s:{s:o, s:s, s:i, s:o}, s:o, s:o, s:o, s:i, s:b}", "version",
                     kvasir_version(), "model", "path", json_text_or_null(i->path), "name", json_text_or_null(i->name),
                     "architecture", json_text_or_null(i->architecture), "machine", "cpu",
                     json_text_or_null(w->info.cpu_model), "level", w->info.cpu_level, "threads", w->info.n_threads,
                     "profile", w->has_machine ? json_text_or_null(w->machine.name) : json_null(), "options",
                     json_options(w), "checks", checks, "missing", missing, "warnings", w->watch.n_warnings, "ok", ok));
    (void)json_object_set_new(d, "memory", json_memory(w->s.engine));
    return d;
}

/* ---- the page ---- */

enum { N_LINES = 4 };

/* One plot's points: measured, predicted, and the bounds. */
typedef struct series {
    double *x, *y[N_LINES];
    int n;
    chart_line lines[N_LINES];
} series;

static kvasir_status collect(const verify *w, verify_series kind, double scale, series *out)
{
    static const char *const names[N_LINES] = {"measured", "predicted", "lower bound", "upper bound"};
    size_t room = (size_t)w->n_checks + 1;
    double *values = mem_alloc((N_LINES + 1) * room, sizeof *values);
    if (!values) return fail_memory((N_LINES + 1) * room * sizeof *values);
    *out = (series){.x = values};
    for (size_t l = 0; l < N_LINES; l++) out->y[l] = values + (l + 1) * room;
    for (int k = 0; k < w->n_checks; k++) {
        const verify_check *c = &w->checks[k];
        if (c->series != kind) continue;
        const double y[N_LINES] = {c->measured, c->predicted, c->low, c->high};
        out->x[out->n] = c->depth;
        for (int l = 0; l < N_LINES; l++) out->y[l][out->n] = scale * y[l];
        out->n++;
    }
    for (int l = 0; l < N_LINES; l++)
        out->lines[l] =
            (chart_line){.name = names[l], .colour = l > 0, .dashed = l > 1, .x = out->x, .y = out->y[l], .n = out->n};
    return KVASIR_OK;
}

static kvasir_status draw(const verify *w, FILE *f)
{
    static const struct {
        verify_series kind;
        double scale;
        const char *title, *dashed;
    } kinds[] = {{VERIFY_DECODE, 1, "Decode, milliseconds per token (p50)", "the slowest that the plan allows"},
                 {VERIFY_PREFILL, 1, "Prefill, tokens per second", "the slowest that the plan allows"},
                 {VERIFY_RESIDENT, 0x1p-20, "Resident memory, MiB", "bounds"}};
    enum { N_KINDS = sizeof kinds / sizeof *kinds };
    series s[N_KINDS] = {0};
    chart_plot plots[N_KINDS];
    int n = 0;
    kvasir_status status = KVASIR_OK;
    for (int i = 0; i < N_KINDS && status == KVASIR_OK; i++) {
        status = collect(w, kinds[i].kind, kinds[i].scale, &s[i]);
        if (status == KVASIR_OK && s[i].n > 0)
            plots[n++] = (chart_plot){.title = kinds[i].title,
                                      .x_label = "tokens in the cache",
                                      .dashed = kinds[i].dashed,
                                      .lines = s[i].lines,
                                      .n_lines = N_LINES};
    }
    if (status == KVASIR_OK && n > 0) chart_figures(f, "verify", plots, n);
    for (int i = 0; i < N_KINDS; i++) mem_free(s[i].x);
    return status;
}

/* ---- the verdict ---- */

typedef struct tally {
    int judged, failed, unjudged;
} tally;

/* Of one step, or of all (VERIFY_STEPS). */
static tally count_checks(const verify *w, verify_step step)
{
    tally t = {0};
    for (int k = 0; k < w->n_checks; k++) {
        const verify_check *c = &w->checks[k];
        if (step != VERIFY_STEPS && c->step != step) continue;
        t.judged += c->verdict >= 0;
        t.failed += c->verdict == 0;
        t.unjudged += c->verdict < 0;
    }
    return t;
}

/* The sentence that the page begins with: the failed ones by name. */
static page_verdict verdict(const verify *w, FILE *f)
{
    const tally t = count_checks(w, VERIFY_STEPS);
    int named = 0;
    if (t.failed)
        (void)fprintf(f, "%d of %d checks failed: ", t.failed, t.judged);
    else if (t.judged > 1)
        (void)fprintf(f, "All %d checks hold", t.judged);
    else
        (void)fputs(t.judged ? "The one check holds" : "Nothing could be judged", f);
    for (int k = 0; k < w->n_checks && named < NAMED; k++)
        if (w->checks[k].verdict == 0) (void)fprintf(f, "%s%s", named++ ? "; " : "", w->checks[k].name);
    if (t.failed > NAMED) (void)fprintf(f, "; and %d other%s", t.failed - NAMED, t.failed == NAMED + 1 ? "" : "s");
    (void)fputc('.', f);
    if (t.unjudged)
        (void)fprintf(f, " %d number%s had nothing to be judged by.", t.unjudged, t.unjudged == 1 ? "" : "s");
    for (int k = 0; k < w->n_missing; k++) (void)fprintf(f, "%s%s", k ? "; " : " Not measured: ", w->missing[k]);
    if (w->n_missing) (void)fputc('.', f);
    return t.failed || w->n_missing ? PAGE_BAD : t.judged ? PAGE_GOOD : PAGE_NEUTRAL;
}

/* What a measurement may be. Bytes that are compared one by one are written out, since rounded ones could look the same. */
static void allowed_text(const verify_check *c, char to[ALLOWED])
{
    char low[CELL], high[CELL];
    const int is_bytes = strcmp(c->unit, "bytes") == 0;
    value_text(c->low, c->unit, low);
    value_text(c->high, c->unit, high);
    if (isfinite(c->low) && c->low == c->high && is_bytes)
        (void)snprintf(to, ALLOWED, "%s bytes", count_text((uint64_t)c->low));
    else if (isfinite(c->low) && c->low == c->high)
        (void)snprintf(to, ALLOWED, "%s", low);
    else if (isfinite(c->low) && isfinite(c->high))
        (void)snprintf(to, ALLOWED, "%s to %s", low, high);
    else if (isfinite(c->low))
        (void)snprintf(to, ALLOWED, "at least %s", low);
    else if (isfinite(c->high))
        (void)snprintf(to, ALLOWED, "at most %s", high);
    else
        (void)snprintf(to, ALLOWED, "-");
}

static void measured_text(const verify_check *c, char to[ALLOWED])
{
    char text[CELL];
    value_text(c->measured, c->unit, text);
    if (c->verdict == 0 && c->low == c->high && isfinite(c->measured) && strcmp(c->unit, "bytes") == 0)
        (void)snprintf(to, ALLOWED, "%s bytes", count_text((uint64_t)fmax(0, c->measured)));
    else
        (void)snprintf(to, ALLOWED, "%s", text);
}

/* ---- the page's parts ---- */

static void list_failed(const verify *w, FILE *f)
{
    char measured[ALLOWED], allowed[ALLOWED];
    if (count_checks(w, VERIFY_STEPS).failed == 0) return;
    (void)fputs("<h2>What failed</h2>\n<ul>\n", f);
    for (int k = 0; k < w->n_checks; k++) {
        const verify_check *c = &w->checks[k];
        if (c->verdict != 0) continue;
        measured_text(c, measured);
        allowed_text(c, allowed);
        (void)fprintf(f, "<li><strong>%s: ", verify_step_name(c->step));
        xml_text(f, c->name);
        (void)fputs("</strong>: measured ", f);
        xml_text(f, measured);
        (void)fputs(", allowed ", f);
        xml_text(f, allowed);
        if (c->why) (void)fputs(" (", f);
        xml_text(f, c->why);
        (void)fputs(c->why ? ")</li>\n" : "</li>\n", f);
    }
    (void)fputs("</ul>\n", f);
}

static void put_cell(FILE *f, const char *class, const char *text)
{
    (void)fprintf(f, "<td%s%s%s>", class ? " class=\"" : "", class ? class : "", class ? "\"" : "");
    xml_text(f, text);
    (void)fputs("</td>", f);
}

static void put_row(const verify_check *c, FILE *f)
{
    char text[ALLOWED];
    (void)fputs("<tr><th scope=\"row\" class=\"text\">", f);
    xml_text(f, c->name);
    (void)fputs("</th>", f);
    put_cell(f, c->verdict > 0 ? "ok" : c->verdict == 0 ? "failed" : NULL, verdict_text(c->verdict));
    value_text(c->predicted, c->unit, text);
    put_cell(f, NULL, text);
    measured_text(c, text);
    put_cell(f, NULL, text);
    allowed_text(c, text);
    put_cell(f, NULL, text);
    put_cell(f, "text", c->why);
    (void)fputs("</tr>\n", f);
}

/* A table for each step. */
static void tables(const verify *w, FILE *f)
{
    static const page_column heads[] = {
        {.title = "what", .is_text = 1}, {.title = "verdict"}, {.title = "predicted"},
        {.title = "measured"},           {.title = "allowed"}, {.title = "how it is judged", .is_text = 1}};
    static const char *const titles[VERIFY_STEPS] = {"KV cache", "Memory", "Speed", "Quality"};
    char text[96];
    (void)fputs("<h2>All checks</h2>\n", f);
    for (verify_step s = 0; s < VERIFY_STEPS; s++) {
        const tally t = count_checks(w, s);
        const int n = t.judged + t.unjudged;
        if (n == 0) continue;
        (void)fprintf(f, "<h3>%s</h3>\n", titles[s]);
        if (t.failed)
            (void)snprintf(text, sizeof text, "The table of %d rows: %d failed", n, t.failed);
        else
            (void)snprintf(text, sizeof text, "The table of %d rows: %s", n,
                           t.judged ? "none failed" : "none could be judged");
        page_table_begin(f, titles[s], text, n, heads, sizeof heads / sizeof *heads);
        for (int k = 0; k < w->n_checks; k++)
            if (w->checks[k].step == s) put_row(&w->checks[k], f);
        page_table_end(f, n);
    }
}

static void facts(const verify *w, FILE *f)
{
    char text[256];
    page_facts_begin(f, &w->info, 0);
    page_fact(f, "profile", w->has_machine ? w->machine.name : "none: speed is measured and not judged");
    page_fact(f, "file", w->s.info->path);
    (void)snprintf(text, sizeof text, "KV %s, %s tokens", w->s.kv, count_text((uint64_t)w->ctx));
    page_fact(f, "context", text);
    page_fact(f, "text", w->args->text ? w->args->text : "built in (Genesis)");
    page_facts_end(f);
}

static kvasir_status page(const void *what, FILE *f)
{
    const verify *w = what;
    const kvasir_model_info *i = w->s.info;
    char *sentence = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&sentence, &n);
    if (!to) return fail_memory(n);
    page_verdict kind = verdict(w, to);
    kvasir_status status = fclose(to) == 0 ? KVASIR_OK : fail_memory(n);
    if (status == KVASIR_OK) {
        page_begin(f, i->name && *i->name ? i->name : "model", "predicted and measured", kind, sentence);
        facts(w, f);
        list_failed(w, f);
        status = draw(w, f);
        if (w->n_checks) tables(w, f);
        page_end(f);
    }
    free(sentence);
    return status;
}

kvasir_status verify_write_html(const verify *w, const char *path)
{
    return write_document(path, page, w);
}
