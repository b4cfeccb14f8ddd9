/* The tables of what every template can call by name: filters, tests, methods. All functions here return NULL for a
   name that is not in their table. */
#ifndef KVASIR_JINJA_BUILTINS_BUILTINS_H
#define KVASIR_JINJA_BUILTINS_BUILTINS_H

#include "jinja/values/values.h"

const jfunction *j_find(const jfunction *table, size_t n, const jstr *name); /* looks in a table sorted by name */
const jfunction *j_find_filter(const jstr *name);             /* all filters: filters.c's and those on sequences */
const jfunction *j_find_test(const jstr *name);               /* what may stand after `is` */
const jfunction *j_find_sequence_filter(const jstr *name);    /* those of seq_filters.c alone */
const jfunction *j_find_str_method(const jstr *name);         /* the methods of str */
const jfunction *j_find_method(jkind kind, const jstr *name); /* of a value of this kind */

/* html_filters.c: filters for HTML and URLs, which filters.c has in its table. */
kvasir_status do_forceescape(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status do_escape(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status do_safe(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status do_striptags(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status do_urlencode(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status do_xmlattr(jrun *r, jval self, const jargs *a, jval *out);

#endif
