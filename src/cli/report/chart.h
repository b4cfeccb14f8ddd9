/* Line charts as SVG, readable on a light and on a dark background, and without colours. */
#ifndef KVASIR_CLI_REPORT_CHART_H
#define KVASIR_CLI_REPORT_CHART_H

#include <stdio.h>

typedef struct chart_line {
    const char *name;
    int colour;          /* a number, of the colour and of the points' shape; lines of one number belong together */
    int dashed;          /* drawn thin, with small empty points and without a place in the legend */
    const double *x, *y; /* n each, x ascending; a y that is not finite is left out */
    int n;
} chart_line;

/* x from 0 in numbers of tokens, y from 0. */
typedef struct chart_plot {
    const char *title, *x_label;
    const char *dashed; /* what the dashed lines are, for the legend */
    const chart_line *lines;
    int n_lines;
} chart_plot;

/* Writes one <svg> element with the plots and their titles below each other, for a file of its own. */
void chart_write(FILE *f, const char *title, const chart_plot *plots, int n_plots);

/* Writes the plots into a page: each a section with its title as heading, drawn twice, for wide and for narrow windows, of
   which the page shows one. Letters so have about the size of the page's. `key` makes ids of their own. Wants chart_style() in the
   page's head. */
void chart_figures(FILE *f, const char *key, const chart_plot *plots, int n_plots);
/* The rules of a <style>. */
const char *chart_style(void);

#endif
