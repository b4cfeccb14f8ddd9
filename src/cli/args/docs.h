/* The man pages and shell completions, made from the option tables at build time. */
#ifndef KVASIR_CLI_ARGS_DOCS_H
#define KVASIR_CLI_ARGS_DOCS_H

/* Writes "man" (of one command, or of kvasir itself when `command` is NULL), "bash", "zsh" or "fish" to
   stdout. The exit status. */
int dump_docs(const char *kind, const char *command);

#endif
