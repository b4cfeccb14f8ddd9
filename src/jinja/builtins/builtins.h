/* The tables of what every template can call by name: filters, tests, methods. NULL where a name is none. */
#ifndef KVASIR_JINJA_BUILTINS_BUILTINS_H
#define KVASIR_JINJA_BUILTINS_BUILTINS_H

#include "jinja/values/values.h"

const jfunction *j_find(const jfunction *table, size_t n, const jstr *name); /* in a table sorted by name */
const jfunction *j_find_filter(const jstr *name);
const jfunction *j_find_test(const jstr *name);
const jfunction *j_find_sequence_filter(const jstr *name);
const jfunction *j_find_str_method(const jstr *name);
const jfunction *j_find_method(jkind kind, const jstr *name);

#endif
