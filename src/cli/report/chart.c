#include "cli/report/chart.h"
#include "cli/common/common.h"
#include "cli/report/xml.h"

#include <math.h>
#include <string.h>

enum {
    FONT = 13,
    CHARACTER = 8, /* about the width of one in the widest of the usual fonts */
    LEGEND_SWATCH = 26,
    LEGEND_GAP = 14,
    LEGEND_ROW = 20,
    TITLE_ROW = 34,
    MARGIN = 16,
    TICK = 8, /* between a number and its axis */
    BOTTOM = 50,
    N_COLOURS = 8 /* of the style, and shapes of points */
};

/* A drawing for one width. */
typedef struct layout {
    const char *class;
    int width, height; /* the height of the area that is plotted in */
    int left, right;   /* margins */
    int x_ticks, y_ticks;
} layout;

static const layout wide = {"wide", 960, 300, 48, 24, 10, 6}, narrow = {"narrow", 350, 230, 40, 20, 5, 5};

/* Colours are distinct also for eyes that see fewer of them (after Okabe and Ito), and have a contrast of at least 4.5 with the
   ground, light or dark. On paper it is light. */
static const char style[] = ".chart{background:#fff}.bg{fill:#fff}.ink{fill:#1c1e21}.soft{fill:#555b63}.grid{stroke:#"
                            "dde0e4}.axis{stroke:#858b93}"
                            ".k{stroke:#555b63}.line{fill:none}"
                            ".c0{stroke:#0b66a8}.c1{stroke:#b34700}.c2{stroke:#00734d}.c3{stroke:#a03a80}"
                            ".c4{stroke:#7d5c00}.c5{stroke:#5a4fcf}.c6{stroke:#7a4a2b}.c7{stroke:#5f6368}"
                            ".f0{fill:#0b66a8}.f1{fill:#b34700}.f2{fill:#00734d}.f3{fill:#a03a80}"
                            ".f4{fill:#7d5c00}.f5{fill:#5a4fcf}.f6{fill:#7a4a2b}.f7{fill:#5f6368}\n"
                            "@media screen and (prefers-color-scheme:dark){"
                            ".chart{background:#16181c}.bg{fill:#16181c}.ink{fill:#e8eaed}.soft{fill:#a8b0ba}.grid{"
                            "stroke:#31353b}.axis{stroke:#7d858f}"
                            ".k{stroke:#a8b0ba}"
                            ".c0{stroke:#5db4f0}.c1{stroke:#ff9248}.c2{stroke:#3ccb98}.c3{stroke:#ea9acb}"
                            ".c4{stroke:#f0c040}.c5{stroke:#b0a8ff}.c6{stroke:#d3a888}.c7{stroke:#b4bac1}"
                            ".f0{fill:#5db4f0}.f1{fill:#ff9248}.f2{fill:#3ccb98}.f3{fill:#ea9acb}"
                            ".f4{fill:#f0c040}.f5{fill:#b0a8ff}.f6{fill:#d3a888}.f7{fill:#b4bac1}}\n";

/* Points around 0 0. */
static const char *const shapes[N_COLOURS] = {
    "M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0Z", /* circle */
    "M-3.8 -3.8H3.8V3.8H-3.8Z",                          /* square */
    "M0 -5L4.8 3.6H-4.8Z",                               /* triangle */
    "M0 -5.2L5.2 0L0 5.2L-5.2 0Z",                       /* diamond */
    "M0 5L4.8 -3.6H-4.8Z",                               /* triangle, pointing down */
    "M-1.6 -5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
    "M0 -5.2L1.5 -1.7L5.2 -1.4L2.4 1L3.2 4.6L0 2.7L-3.2 4.6L-2.4 1L-5.2 -1.4L-1.5 -1.7Z",
    "M-5 -2.4H5V2.4H-5Z"};

const char *chart_style(void)
{
    return style;
}

static int number_of(const chart_line *l)
{
    return l->colour % N_COLOURS;
}

/* Points that can be drawn. */
static int n_points(const chart_line *l)
{
    int n = 0;
    for (int i = 0; i < l->n; i++) n += isfinite(l->y[i]);
    return n;
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

/* "4k", "1M": short, for ticks. */
static void tokens_text(double tokens, char *to, size_t n)
{
    int unit = tokens >= 0x1p20 ? 2 : tokens >= 0x1p10 ? 1 : 0;
    (void)snprintf(to, n, "%.6g%s", tokens / pow(1024, unit), unit == 2 ? "M" : unit ? "k" : "");
}

/* "1,500", "2.5", "3M" */
static void number_text(double x, char *to, size_t n)
{
    if (x >= 1e6)
        (void)snprintf(to, n, "%.4gM", x / 1e6);
    else if (x >= 1000)
        (void)snprintf(to, n, "%s", count_text((uint64_t)(x + 0.5)));
    else
        (void)snprintf(to, n, "%.4g", x);
}

static void put_text(FILE *f, double x, double y, const char *anchor, const char *class, const char *text)
{
    (void)fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, class);
    xml_text(f, text);
    (void)fputs("</text>\n", f);
}

/* ---- the legend ---- */

/* Writes the legend's entries in rows from `top` on, or only counts the rows where f is NULL. */
static int legend(FILE *f, const chart_plot *p, const layout *y, double top, int titled)
{
    int rows = 1, dashes = 0;
    const double edge = titled ? MARGIN : 1; /* a page has its own margin */
    double x = edge;
    for (int i = 0; i <= p->n_lines; i++) {
        const chart_line *l = i < p->n_lines ? &p->lines[i] : NULL;
        if (l && l->dashed) dashes += n_points(l);
        if (l ? l->dashed || n_points(l) == 0 : !p->dashed || dashes == 0) continue;
        const char *name = l ? l->name : p->dashed;
        double width = LEGEND_SWATCH + 6 + CHARACTER * (double)strlen(name);
        if (x > edge && x + width > y->width - edge) {
            x = edge;
            rows++;
        }
        double middle = top + LEGEND_ROW * (rows - 0.5);
        if (f && l)
            (void)fprintf(f,
                          "<path d=\"M%.1f %.1fh%d\" class=\"c%d\" stroke-width=\"2.2\"/>\n"
                          "<path d=\"%s\" transform=\"translate(%.1f %.1f)\" class=\"f%d\"/>\n",
                          x, middle, LEGEND_SWATCH, number_of(l), shapes[number_of(l)], x + LEGEND_SWATCH / 2.0, middle,
                          number_of(l));
        else if (f)
            (void)fprintf(f, "<path d=\"M%.1f %.1fh%d\" class=\"k\" stroke-width=\"1.4\" stroke-dasharray=\"5 4\"/>\n",
                          x, middle, LEGEND_SWATCH);
        if (f) put_text(f, x + LEGEND_SWATCH + 6, middle + 4.5, "start", "ink", name);
        x += width + LEGEND_GAP;
    }
    return rows;
}

/* ---- one plot ---- */

/* Where values lie in the drawing. */
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

static double head_height(const chart_plot *p, const layout *y, int titled)
{
    return (titled ? TITLE_ROW : 0) + LEGEND_ROW * legend(NULL, p, y, 0, titled) + 14;
}

static double plot_height(const chart_plot *p, const layout *y, int titled)
{
    return head_height(p, y, titled) + y->height + BOTTOM;
}

static frame make_frame(const chart_plot *p, const layout *y, double top)
{
    frame r = {.left = y->left, .right = y->width - y->right, .top = top, .bottom = top + y->height};
    for (int i = 0; i < p->n_lines; i++)
        for (int j = 0; j < p->lines[i].n; j++) {
            if (!isfinite(p->lines[i].y[j])) continue;
            r.high_x = fmax(r.high_x, p->lines[i].x[j]);
            r.high_y = fmax(r.high_y, p->lines[i].y[j]);
        }
    if (!(r.high_x > 0)) r.high_x = 1024;
    if (!(r.high_y > 0)) r.high_y = 1;
    double step = tick_step(r.high_y, y->y_ticks, 0);
    r.high_y = ceil(r.high_y / step - 1e-9) * step;
    for (int i = 0; i * step <= r.high_y * 1.0001; i++) {
        char text[32];
        number_text(i * step, text, sizeof text);
        r.left = fmax(r.left, 1.5 * TICK + CHARACTER * (double)strlen(text));
    }
    return r;
}

static void draw_axes(FILE *f, const chart_plot *p, const layout *y, const frame *r)
{
    char text[32];
    double step_x = tick_step(r->high_x, y->x_ticks, 1), step_y = tick_step(r->high_y, y->y_ticks, 0);
    for (int i = 0; i * step_y <= r->high_y * 1.0001; i++) {
        double at = at_y(r, i * step_y);
        (void)fprintf(f, "<path d=\"M%.1f %.1fH%.1f\" class=\"%s\"/>\n", r->left, at, r->right, i ? "grid" : "axis");
        number_text(i * step_y, text, sizeof text);
        put_text(f, r->left - TICK, at + 4.5, "end", "soft", text);
    }
    for (int i = 0; i * step_x <= r->high_x * 1.0001; i++) {
        double at = at_x(r, i * step_x);
        (void)fprintf(f, "<path d=\"M%.1f %.1fv5\" class=\"axis\"/>\n", at, r->bottom);
        tokens_text(i * step_x, text, sizeof text);
        put_text(f, at, r->bottom + 20, "middle", "soft", text);
    }
    put_text(f, (r->left + r->right) / 2, r->bottom + 41, "middle", "soft", p->x_label);
}

static void draw_line(FILE *f, const chart_line *l, const frame *r)
{
    int started = 0, number = number_of(l);
    if (n_points(l) == 0) return;
    (void)fprintf(f, "<path class=\"line c%d\" stroke-width=\"%s\" d=\"", number,
                  l->dashed ? "1.4\" stroke-dasharray=\"5 4" : "2.2");
    for (int i = 0; i < l->n; i++)
        if (isfinite(l->y[i])) {
            (void)fprintf(f, "%c%.1f %.1f", started ? 'L' : 'M', at_x(r, l->x[i]), at_y(r, l->y[i]));
            started = 1;
        }
    (void)fputs("\"/>\n", f);
    for (int i = 0; i < l->n; i++) {
        char text[32];
        if (!isfinite(l->y[i])) continue;
        (void)fprintf(f, "<g class=\"%s\" transform=\"translate(%.1f %.1f)\"><title>", l->dashed ? "bound" : "point",
                      at_x(r, l->x[i]), at_y(r, l->y[i]));
        xml_text(f, l->name);
        number_text(l->y[i], text, sizeof text);
        (void)fprintf(f, " at %s: %s</title><path d=\"%s\" class=\"%s%d\"%s/></g>\n", count_text((uint64_t)l->x[i]),
                      text, shapes[number], l->dashed ? "bg c" : "f", number,
                      l->dashed ? " transform=\"scale(.7)\"" : "");
    }
}

static void draw_plot(FILE *f, const chart_plot *p, const layout *y, double top, int titled)
{
    double head = head_height(p, y, titled);
    frame r = make_frame(p, y, top + head);
    if (titled) {
        (void)fprintf(f, "<text x=\"%d\" y=\"%.1f\" class=\"ink\" font-size=\"16\" font-weight=\"600\">", MARGIN,
                      top + 24);
        xml_text(f, p->title);
        (void)fputs("</text>\n", f);
    }
    (void)legend(f, p, y, top + (titled ? TITLE_ROW : 0), titled);
    draw_axes(f, p, y, &r);
    for (int pass = 1; pass >= 0; pass--) /* bounds below what was measured */
        for (int i = 0; i < p->n_lines; i++)
            if (p->lines[i].dashed == pass) draw_line(f, &p->lines[i], &r);
}

/* ---- elements ---- */

/* What a plot shows, for those who do not see it: each line's first and last point. */
static void describe(FILE *f, const chart_plot *p)
{
    xml_text(f, p->title);
    (void)fputs(", by tokens in the cache.", f);
    for (int i = 0; i < p->n_lines; i++) {
        const chart_line *l = &p->lines[i];
        int first = 0, last = l->n - 1;
        char text[32];
        if (l->dashed || n_points(l) == 0) continue;
        while (!isfinite(l->y[first])) first++;
        while (!isfinite(l->y[last])) last--;
        (void)fputc(' ', f);
        xml_text(f, l->name);
        number_text(l->y[first], text, sizeof text);
        (void)fprintf(f, ": %s at %s", text, count_text((uint64_t)l->x[first]));
        number_text(l->y[last], text, sizeof text);
        if (last > first) (void)fprintf(f, ", %s at %s", text, count_text((uint64_t)l->x[last]));
        (void)fputc('.', f);
    }
}

/* The start tag; `ids` ends with what is behind the key in the ids of title and description. */
static void svg_begin(FILE *f, const layout *y, double height, const char *key, int number)
{
    (void)fprintf(f,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart %s\" viewBox=\"0 0 %d %.0f\" width=\"%d\" "
                  "height=\"%.0f\" role=\"img\" aria-labelledby=\"%s%d-%s-t %s%d-%s-d\" font-size=\"%d\" "
                  "font-family=\"system-ui, sans-serif\">\n<title id=\"%s%d-%s-t\">",
                  y->class, y->width, height, y->width, height, key, number, y->class, key, number, y->class, FONT, key,
                  number, y->class);
}

static void svg_describe(FILE *f, const layout *y, const char *key, int number)
{
    (void)fprintf(f, "</title>\n<desc id=\"%s%d-%s-d\">", key, number, y->class);
}

void chart_write(FILE *f, const char *title, const chart_plot *plots, int n_plots)
{
    double height = 0, top = 0;
    for (int i = 0; i < n_plots; i++) height += plot_height(&plots[i], &wide, 1);
    svg_begin(f, &wide, height, "chart", 0);
    xml_text(f, title);
    svg_describe(f, &wide, "chart", 0);
    for (int i = 0; i < n_plots; i++) {
        if (i) (void)fputc(' ', f);
        describe(f, &plots[i]);
    }
    (void)fprintf(f, "</desc>\n<style>%s</style>\n<rect width=\"%d\" height=\"%.0f\" class=\"bg\"/>\n", style,
                  wide.width, height);
    for (int i = 0; i < n_plots; top += plot_height(&plots[i], &wide, 1), i++) draw_plot(f, &plots[i], &wide, top, 1);
    (void)fputs("</svg>\n", f);
}

void chart_figures(FILE *f, const char *key, const chart_plot *plots, int n_plots)
{
    static const layout *const layouts[] = {&wide, &narrow};
    (void)fputs("<div class=\"charts\">\n", f);
    for (int i = 0; i < n_plots; i++) {
        (void)fputs("<section>\n<h2>", f);
        xml_text(f, plots[i].title);
        (void)fputs("</h2>\n", f);
        for (int k = 0; k < 2; k++) {
            svg_begin(f, layouts[k], plot_height(&plots[i], layouts[k], 0), key, i);
            xml_text(f, plots[i].title);
            svg_describe(f, layouts[k], key, i);
            describe(f, &plots[i]);
            (void)fputs("</desc>\n", f);
            draw_plot(f, &plots[i], layouts[k], 0, 0);
            (void)fputs("</svg>\n", f);
        }
        (void)fputs("</section>\n", f);
    }
    (void)fputs("</div>\n", f);
}
