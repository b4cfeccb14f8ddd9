/* Quantities in profiles: a plain number, or a number with a unit. */
#ifndef KVASIR_CLI_MACHINE_UNITS_H
#define KVASIR_CLI_MACHINE_UNITS_H

#include "base/format.h"

#include <stddef.h>

typedef enum quantity {
    QUANTITY_SIZE,    /* bytes: "24 GiB"; GB is 10^9 */
    QUANTITY_RATE,    /* bytes per second: "60 GB/s" */
    QUANTITY_OPS,     /* operations per second: "1.2 TOPS" */
    QUANTITY_SECONDS, /* "2 us" */
    QUANTITIES
} quantity;

/* A number and a unit of this quantity, perhaps with a space between. 0, or -1: no number, -2: no unit, -3: no unit of
   this quantity. */
enum { UNIT_OK = 0, UNIT_NO_NUMBER = -1, UNIT_MISSING = -2, UNIT_UNKNOWN = -3 };
int quantity_parse(quantity q, const char *text, double *out);

/* "a rate", with an example: "60 GB/s". */
const char *quantity_name(quantity q);
const char *quantity_example(quantity q);
/* All units of it, separated by commas. */
void quantity_units(quantity q, char *to, size_t n);
/* "71.7 GB/s", "24.0 GiB", "3.2 us", by base/format.h. */
const char *quantity_text(quantity q, double value, char to[FORMAT_BYTES]);

#endif
