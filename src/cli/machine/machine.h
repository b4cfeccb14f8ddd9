/* Profiles of machines as JSON, which people write too: docs/probe.md has the format. */
#ifndef KVASIR_CLI_MACHINE_MACHINE_H
#define KVASIR_CLI_MACHINE_MACHINE_H

#include "cli/files/json_file.h"

#include <stdbool.h>

/* ---- file.c ---- */

extern const json_kind machine_kind;

/* Takes a profile from its document. `where` names it in messages. KVASIR_E_ARGUMENT names the field, what it holds and
   what is expected; keys that nobody knows are noted on stderr. */
kvasir_status machine_take(const json_t *d, const char *where, kvasir_machine *out);
/* The document "kvasir.probe/1": what machine_take reads. */
json_t *machine_json(const kvasir_machine *m);

/* ---- find.c ---- */

/* Finds and reads a profile: a file's path, or the name of one that comes with the command; NULL: what kvasir probe
   stored about this machine, which is noted on stderr when it is of another one. KVASIR_E_IO says what to do where
   there is none, KVASIR_E_ARGUMENT lists the names where `name` is none. */
kvasir_status machine_find(const char *name, kvasir_machine *out);
/* The same as the document, which is the caller's. `where` (n bytes) becomes what it is called in messages. */
kvasir_status machine_find_json(const char *name, char *where, size_t n, json_t **out);

/* Where this machine's profile is stored: $XDG_CONFIG_HOME/kvasir/machine.json, or ~/.config/... KVASIR_E_ARGUMENT when
   there is no such place or its path is longer than n. */
kvasir_status machine_default_path(char *to, size_t n);
/* A folder for files that may be lost: $XDG_CACHE_HOME/kvasir, or ~/.cache/kvasir. */
kvasir_status machine_cache_folder(char *to, size_t n);
/* ---- table.c ---- */

/* Was the machine busy when this was measured? Then a sentence in `to` (n bytes) says by what that shows. */
bool machine_was_busy(const kvasir_machine *m, char *to, size_t n);
/* Prints a profile for people. */
void machine_print(const kvasir_machine *m);

#endif
