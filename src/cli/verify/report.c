/* The rows for eyes and programs: a table, a JSON document, a page. */
#include "cli/verify/verify.h"
#include "cli/report/chart.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 32 };

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
        const char *title;
    } kinds[] = {{VERIFY_DECODE, 1, "decode, ms per token (p50; dashed: the plan's bound)"},
                 {VERIFY_PREFILL, 1, "prefill, tokens per second (dashed: the plan's bound)"},
                 {VERIFY_RESIDENT, 0x1p-20, "resident memory, MiB (dashed: bounds)"}};
    enum { N_KINDS = sizeof kinds / sizeof *kinds };
    series s[N_KINDS] = {0};
    chart_plot plots[N_KINDS];
    int n = 0;
    kvasir_status status = KVASIR_OK;
    for (int i = 0; i < N_KINDS && status == KVASIR_OK; i++) {
        status = collect(w, kinds[i].kind, kinds[i].scale, &s[i]);
        if (status == KVASIR_OK && s[i].n > 0)
            plots[n++] = (chart_plot){kinds[i].title, "tokens in the cache", s[i].lines, N_LINES};
    }
    if (status == KVASIR_OK && n > 0) chart_write(f, "Predicted and measured", plots, n);
    for (int i = 0; i < N_KINDS; i++) mem_free(s[i].x);
    return status;
}

static void table(const verify *w, FILE *f)
{
    char text[CELL];
    (void)fputs("<div class=\"wide\"><table>\n<tr><th>step</th><th>what</th><th>predicted</th><th>measured</th>"
                "<th>verdict</th><th>how it is judged</th></tr>\n",
                f);
    for (int k = 0; k < w->n_checks; k++) {
        const verify_check *c = &w->checks[k];
        (void)fprintf(f, "<tr%s><td>%s</td><td class=\"text\">", c->verdict == 0 ? " class=\"failed\"" : "",
                      verify_step_name(c->step));
        xml_text(f, c->name);
        value_text(c->predicted, c->unit, text);
        (void)fprintf(f, "</td><td>%s</td>", text);
        value_text(c->measured, c->unit, text);
        (void)fprintf(f, "<td>%s</td><td>%s</td><td class=\"text\">%s</td></tr>\n", text, verdict_text(c->verdict),
                      c->why ? c->why : "");
    }
    (void)fputs("</table></div>\n", f);
}

static kvasir_status page(const verify *w, FILE *f)
{
    const kvasir_model_info *i = w->s.info;
    char text[256];
    page_begin(f, i->name && *i->name ? i->name : "model", "predicted and measured");
    (void)fputs("<dl>\n", f);
    page_fact(f, "file", i->path);
    (void)snprintf(text, sizeof text, "%s, %s, %d threads", w->info.cpu_model, w->info.cpu_level, w->info.n_threads);
    page_fact(f, "machine", text);
    page_fact(f, "profile", w->has_machine ? w->machine.name : "none: speed is measured and not judged");
    (void)snprintf(text, sizeof text, "KV %s, %s tokens", w->s.kv, count_text((uint64_t)w->ctx));
    page_fact(f, "context", text);
    page_fact(f, "text", w->args->text ? w->args->text : "built in (Genesis)");
    for (int k = 0; k < w->n_missing; k++) page_fact(f, "not measured", w->missing[k]);
    (void)fputs("</dl>\n", f);
    kvasir_status status = draw(w, f);
    table(w, f);
    (void)fputs("</body>\n</html>\n", f);
    return status;
}

kvasir_status verify_write_html(const verify *w, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return fail_memory(n);
    kvasir_status status = page(w, f);
    if (fclose(f) != 0 && status == KVASIR_OK) status = fail_memory(n);
    if (status == KVASIR_OK) status = write_file(path, text, n);
    free(text);
    return status;
}
