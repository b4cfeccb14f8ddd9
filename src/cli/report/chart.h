/* Line charts as SVG, readable on a light and on a dark background. */
#ifndef KVASIR_CLI_REPORT_CHART_H
#define KVASIR_CLI_REPORT_CHART_H

#include <stdio.h>

typedef struct chart_line {
    const char *name;
    int colour;          /* a number; lines of one colour belong together */
    int dashed;          /* drawn thin, without points and without a place in the legend */
    const double *x, *y; /* n each, x ascending; a y that is not finite is left out */
    int n;
} chart_line;

/* x from 0 in numbers of tokens, y from 0. */
typedef struct chart_plot {
    const char *title, *x_label;
    const chart_line *lines;
    int n_lines;
} chart_plot;

/* Writes one <svg> element with the plots below each other. */
void chart_write(FILE *f, const char *title, const chart_plot *plots, int n_plots);

/* The start of a page that needs no other file: "NAME: SAYS" as its title and heading. It ends with </body></html>. */
void page_begin(FILE *f, const char *name, const char *says);
/* A line of a <dl>. */
void page_fact(FILE *f, const char *name, const char *value);

/* Text in XML or HTML. */
void xml_text(FILE *f, const char *s);

#endif
