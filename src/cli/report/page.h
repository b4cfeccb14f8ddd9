/* HTML pages that need no other file, no network and no script: readable on a phone, on light and dark, and on paper. */
#ifndef KVASIR_CLI_REPORT_PAGE_H
#define KVASIR_CLI_REPORT_PAGE_H

#include <kvasir/kvasir.h>
#include <stdio.h>

enum { PAGE_FOLD_ROWS = 12 }; /* a table with more rows is folded */

typedef enum page_verdict { PAGE_NEUTRAL, PAGE_GOOD, PAGE_BAD } page_verdict;

/* The page's start: "NAME: SAYS" as title and heading, below it the verdict, a sentence. `name` may be any text. */
void page_begin(FILE *f, const char *name, const char *says, page_verdict kind, const char *verdict);
void page_end(FILE *f);

/* The list of facts, beginning with the date and the machine; read_bytes_per_s 0: not known. */
void page_facts_begin(FILE *f, const kvasir_engine_info *info, double read_bytes_per_s);
void page_fact(FILE *f, const char *name, const char *value);
/* The last fact is Kvasir's version. */
void page_facts_end(FILE *f);

typedef struct page_column {
    const char *title;
    int is_text; /* to the left; numbers stand to the right */
    int is_key;  /* the second column where it names the row too: stays in view, as the first one does */
} page_column;

/* A table of n_rows rows under n_columns headings, in a box of its own that scrolls sideways. A long one is folded below
   `summary`; `label` is its name for who does not see it. */
void page_table_begin(FILE *f, const char *label, const char *summary, int n_rows, const page_column *columns,
                      int n_columns);
void page_table_end(FILE *f, int n_rows);

#endif
