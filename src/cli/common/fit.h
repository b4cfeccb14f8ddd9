/* A line for a terminal, as long as it is wide. */
#ifndef KVASIR_CLI_COMMON_FIT_H
#define KVASIR_CLI_COMMON_FIT_H

#include <stddef.h>

/* The columns that a text takes: wide characters two, marks on others none, and what is no character, or would move the cursor,
   one, as which fit_line shows it. */
int text_columns(const char *text);

/* The parts of a progress line: "LABEL DONE (PERCENT), SPEED, LEFT, EXTRA". NULL: there is none; label and percent are there. */
typedef struct fit_parts {
    const char *label, *done, *percent, *speed, *left, *extra;
} fit_parts;

enum { FIT_BYTES = 1024 };

/* The line in less than `columns` columns (a character in the last one makes some terminals go to the next line). What does not fit
   is left out: first the speed, then the time left, then extra, which tells of the whole, then done. Then the label is cut,
   and at last only the percentage is there, or nothing. */
void fit_line(const fit_parts *p, int columns, char to[FIT_BYTES]);

#endif
