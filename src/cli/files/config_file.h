/* Configurations that `tune` finds and other commands read: a JSON document, "kvasir.config/1" (docs/tune.md). */
#ifndef KVASIR_CLI_FILES_CONFIG_FILE_H
#define KVASIR_CLI_FILES_CONFIG_FILE_H

#include "cli/session/session.h"

/* Where `tune` writes and `--config auto` reads the configuration of a model: tuned/NAME.json in kvasir's folder of
   XDG_CONFIG_HOME or ~/.config. `model` is the path of its file. KVASIR_E_ARGUMENT where there is no home folder. */
kvasir_status config_default_path(const char *model, char *to, size_t n);

/* Reads a document and checks its fields, as far as they are there. Keys that are not known are noted on stderr.
   KVASIR_E_ARGUMENT names file and field. */
kvasir_status config_read(const char *path, json_t **out);
/* Writes it whole or not at all, making the folder of the default path where it lacks. */
kvasir_status config_write(const char *path, const json_t *document);

/* Fills in what the command line left open from the file of --config, if one was given. `kv` is where the command keeps
   its KV type, `draft` (may be NULL) its draft. Notes what differs when the file is of another model or machine. The
   exit status. */
int config_apply(const char *model, engine_args *e, const char **kv, const char **draft);

#endif
