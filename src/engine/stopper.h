/* Stop strings may begin in one token's text and end in another's. So text that may be the beginning of one is held
   back until that is certain. */
#ifndef KVASIR_ENGINE_STOPPER_H
#define KVASIR_ENGINE_STOPPER_H

#include "base/status.h"

enum {
    STOPPER_MAX_STRINGS = 256,
    STOPPER_MAX_BYTES = 1 << 16 /* of all stop strings together */
};

typedef struct stopper stopper;

/* Copies the strings. n may be 0: then nothing is ever held back. KVASIR_E_ARGUMENT for empty strings, too long ones,
   or too many. */
kvasir_status stopper_create(const char *const *strings, int n, stopper **out);
void stopper_free(stopper *s); /* NULL is fine */

/* The most bytes that may be held back: one less than the longest string, 0 when there is none. */
size_t stopper_holds(const stopper *s);

/* Takes n bytes and writes what may be shown now to `to`, which has room for stopper_holds() + n bytes. Returns how
   many bytes that are. *stopped becomes the index of the stop string that has been found, else -1. The string that ends
   first counts, and of those that end together the longest. Text is shown up to where it begins; later calls show
   nothing and repeat *stopped. Linear in n, without allocation. */
size_t stopper_next(stopper *s, const char *piece, size_t n, char *to, int *stopped);

/* The text has ended: writes what was held back (at most stopper_holds() bytes), and starts anew. */
size_t stopper_end(stopper *s, char *to);

#endif
