/* Files that the command carries: tools/embed.py makes these lists, src/cli/meson.build says of what. */
#ifndef KVASIR_CLI_FILES_EMBEDDED_H
#define KVASIR_CLI_FILES_EMBEDDED_H

#include <stddef.h>

typedef struct embedded {
    const char *name; /* the file's, without folder and extension: "rtx-4090" */
    const char *text; /* a NUL is behind it */
    size_t bytes;
} embedded;

/* Each list ends with a name of NULL. */
extern const embedded
    embedded_texts[]; /* examples/text: what is read where the user names no text; the first to measure
                                              speed, the last, which is long, to judge quality */
extern const embedded embedded_machines[]; /* share/machines: profiles */
extern const embedded embedded_quality[];  /* share/quality: what kvasir verify measured of models */

#endif
