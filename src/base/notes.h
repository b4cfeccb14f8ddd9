/* Sentences about a file that loads all the same: what it has and what is not used. */
#ifndef KVASIR_BASE_NOTES_H
#define KVASIR_BASE_NOTES_H

#include "base/mem.h"
#include "base/status.h"

enum { NOTES_MOST = 16 };

typedef struct notes {
    arena *memory; /* of the texts */
    const char *text[NOTES_MOST];
    int n, more; /* more: how many there was no room for */
} notes;

/* Adds a sentence. KVASIR_E_MEMORY alone is an error; one too many is counted. */
kvasir_status note_add(notes *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
