#include "cli/report/chart.h"
#include "cli/common/common.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 760,
    PLOT_HEIGHT = 330,
    LEFT = 64,
    RIGHT = 24,
    TOP = 64,
    BOTTOM = 52,
    LEGEND_SWATCH = 18,
    LEGEND_GAP = 14,
    CHARACTER = 7, /* about the width of one */
    X_TICKS = 8,
    Y_TICKS = 6
};

/* Distinct also for eyes that see fewer colours (close to Okabe and Ito's set), and on black as well as on white. */
static const char *const colours[] = {"#1a80c4", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#8c6d4f", "#888888"};
enum { N_COLOURS = sizeof colours / sizeof *colours };

static const char style[] =
    "<style>.bg{fill:#fff}.ink{fill:#222}.soft{fill:#666}.grid{stroke:#ddd}.axis{stroke:#888}"
    "@media(prefers-color-scheme:dark){.bg{fill:#16181c}.ink{fill:#eee}.soft{fill:#aaa}.grid{stroke:#333}"
    ".axis{stroke:#888}}</style>\n";

void xml_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        const char *entity = *s == '<'   ? "&lt;"
                             : *s == '>' ? "&gt;"
                             : *s == '&' ? "&amp;"
                             : *s == '"' ? "&quot;"
                                         : NULL;
        if (entity)
            (void)fputs(entity, f);
        else if ((unsigned char)*s >= ' ')
            (void)fputc(*s, f);
        else
            (void)fputc(' ', f); /* XML has no control characters */
    }
}

static const char *colour_of(const chart_line *l)
{
    return colours[l->colour % N_COLOURS];
}

/* The step between at most `most` ticks up to `high`: 1, 2 or 5 times a power of ten, or a power of two. */
static double tick_step(double high, int most, int binary)
{
    if (binary) {
        double step = 1;
        while (high / step > most) step *= 2;
        return step;
    }
    static const double round[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(high / most)));
    for (int i = 0; i < 4; i++)
        if (high / (round[i] * power) <= most) return round[i] * power;
    return 10 * power;
}

static void put_text(FILE *f, double x, double y, const char *anchor, const char *class, int size, const char *text)
{
    (void)fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\" font-size=\"%d\">", x, y, anchor,
                  class, size);
    xml_text(f, text);
    (void)fputs("</text>\n", f);
}

/* Where values lie on the page. */
typedef struct frame {
    double left, right, top, bottom, high_x, high_y;
} frame;

static double at_x(const frame *r, double x)
{
    return r->left + (r->right - r->left) * x / r->high_x;
}

static double at_y(const frame *r, double y)
{
    return r->bottom - (r->bottom - r->top) * y / r->high_y;
}

static frame make_frame(const chart_plot *p, double top)
{
    frame r = {.left = LEFT, .right = WIDTH - RIGHT, .top = top + TOP, .bottom = top + PLOT_HEIGHT - BOTTOM};
    for (int i = 0; i < p->n_lines; i++)
        for (int j = 0; j < p->lines[i].n; j++) {
            if (!isfinite(p->lines[i].y[j])) continue;
            r.high_x = fmax(r.high_x, p->lines[i].x[j]);
            r.high_y = fmax(r.high_y, p->lines[i].y[j]);
        }
    if (!(r.high_x > 0)) r.high_x = 1;
    if (!(r.high_y > 0)) r.high_y = 1;
    double step = tick_step(r.high_y, Y_TICKS, 0);
    r.high_y = ceil(r.high_y / step) * step;
    return r;
}

static void draw_axes(FILE *f, const chart_plot *p, const frame *r)
{
    char text[32];
    double step_x = tick_step(r->high_x, X_TICKS, 1), step_y = tick_step(r->high_y, Y_TICKS, 0);
    for (int i = 0; i * step_y <= r->high_y * 1.0001; i++) {
        double y = at_y(r, i * step_y);
        (void)fprintf(f, "<path d=\"M%.1f %.1fH%.1f\" class=\"%s\"/>\n", r->left, y, r->right, i ? "grid" : "axis");
        (void)snprintf(text, sizeof text, "%.6g", i * step_y);
        put_text(f, r->left - 8, y + 4, "end", "soft", 12, text);
    }
    for (int i = 0; i * step_x <= r->high_x * 1.0001; i++) {
        double x = at_x(r, i * step_x), tokens = i * step_x;
        (void)fprintf(f, "<path d=\"M%.1f %.1fv5\" class=\"axis\"/>\n", x, r->bottom);
        (void)snprintf(text, sizeof text, tokens >= 1024 ? "%.6gk" : "%.6g", tokens >= 1024 ? tokens / 1024 : tokens);
        put_text(f, x, r->bottom + 20, "middle", "soft", 12, text);
    }
    put_text(f, (r->left + r->right) / 2, r->bottom + 40, "middle", "soft", 12, p->x_label);
}

static void draw_legend(FILE *f, const chart_plot *p, const frame *r)
{
    double x = r->left;
    for (int i = 0; i < p->n_lines; i++) {
        const chart_line *l = &p->lines[i];
        if (l->dashed) continue;
        (void)fprintf(f, "<path d=\"M%.1f %.1fh%d\" stroke=\"%s\" stroke-width=\"3\"/>\n", x, r->top - 18,
                      LEGEND_SWATCH, colour_of(l));
        put_text(f, x + LEGEND_SWATCH + 6, r->top - 14, "start", "ink", 12, l->name);
        x += LEGEND_SWATCH + 6 + CHARACTER * (double)strlen(l->name) + LEGEND_GAP;
    }
}

static void draw_line(FILE *f, const chart_line *l, const frame *r)
{
    int started = 0;
    (void)fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"%s\"%s d=\"", colour_of(l),
                  l->dashed ? "1.2" : "2.2", l->dashed ? " stroke-dasharray=\"5 4\"" : "");
    for (int i = 0; i < l->n; i++)
        if (isfinite(l->y[i])) {
            (void)fprintf(f, "%c%.1f %.1f", started ? 'L' : 'M', at_x(r, l->x[i]), at_y(r, l->y[i]));
            started = 1;
        }
    (void)fputs(started ? "\"/>\n" : "M0 0\"/>\n", f);
    for (int i = 0; i < l->n && !l->dashed; i++)
        if (isfinite(l->y[i])) {
            (void)fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"><title>", at_x(r, l->x[i]),
                          at_y(r, l->y[i]), colour_of(l));
            xml_text(f, l->name);
            (void)fprintf(f, " at %.0f: %.4g</title></circle>\n", l->x[i], l->y[i]);
        }
}

void chart_write(FILE *f, const char *title, const chart_plot *plots, int n_plots)
{
    int height = n_plots * PLOT_HEIGHT;
    (void)fprintf(f,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                  "role=\"img\" font-family=\"system-ui, sans-serif\">\n<title>",
                  WIDTH, height, WIDTH, height);
    xml_text(f, title);
    (void)fprintf(f, "</title>\n%s<rect width=\"%d\" height=\"%d\" class=\"bg\"/>\n", style, WIDTH, height);
    for (int i = 0; i < n_plots; i++) {
        double top = (double)i * PLOT_HEIGHT;
        frame r = make_frame(&plots[i], top);
        put_text(f, LEFT, top + 26, "start", "ink", 15, plots[i].title);
        draw_axes(f, &plots[i], &r);
        draw_legend(f, &plots[i], &r);
        for (int j = 0; j < plots[i].n_lines; j++) draw_line(f, &plots[i].lines[j], &r);
    }
    (void)fputs("</svg>\n", f);
}

static const char page_style[] =
    "<style>\n:root{color-scheme:light dark}\n"
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}\n"
    "h1{font-size:1.4em}\ndl{display:grid;grid-template-columns:max-content 1fr;gap:.2em 1em;margin:1em 0}\n"
    "dt{opacity:.7}\ndd{margin:0}\n.wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:1em 0}\n"
    "th,td{padding:.25em .7em;text-align:right;white-space:nowrap;border-bottom:1px solid #8884}\n"
    "td.error,td.text{text-align:left;white-space:normal}\ntr.failed td{color:#d22;font-weight:600}\n"
    "svg{max-width:100%;height:auto}\n</style>\n";

void page_begin(FILE *f, const char *name, const char *says)
{
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
                f);
    xml_text(f, name);
    (void)fprintf(f, ": %s</title>\n%s</head>\n<body>\n<h1>", says, page_style);
    xml_text(f, name);
    (void)fprintf(f, ": %s</h1>\n", says);
}

void page_fact(FILE *f, const char *name, const char *value)
{
    (void)fprintf(f, "<dt>%s</dt><dd>", name);
    xml_text(f, value);
    (void)fputs("</dd>\n", f);
}
