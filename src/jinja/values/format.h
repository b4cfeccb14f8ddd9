/* What Python's two ways to format share: a specification, and values written as it says (format.c). */
#ifndef KVASIR_JINJA_VALUES_FORMAT_H
#define KVASIR_JINJA_VALUES_FORMAT_H

#include "jinja/run/run.h"

typedef struct spec {
    const char *fill; /* one character */
    size_t n_fill;
    char align; /* < > ^ =, 0: by type */
    char sign;  /* + - or blank */
    bool alternate, zero;
    size_t width;
    char group;     /* , or _ or 0 */
    long precision; /* -1: none */
    char type;
} spec;

/* Head and text, padded to the width. With '=' the padding goes between them. */
kvasir_status emit_padded(jrun *r, const spec *p, char align, const char *head, const char *s, size_t n);
/* A text, cut to the precision. */
kvasir_status emit_text(jrun *r, const spec *p, const jstr *s);
/* A number: sign and prefix, digits. */
kvasir_status emit_number(jrun *r, const spec *p, bool minus, const char *prefix, const char *digits);
kvasir_status emit_integer(jrun *r, const spec *p, jint i);
kvasir_status emit_real(jrun *r, const spec *p, double f);
void upper_ascii(char *s); /* the letters a to z */

/* Reads the digits at s[*i], which moves behind them; none are 0. False when the number is too large. */
bool read_width(const jstr *s, size_t *i, size_t *out);

/* str_format.c: a value as text by 'r' (repr), 's' (str) or 'a' (ascii). */
kvasir_status convert(jrun *r, char how, jval *v);

#endif
