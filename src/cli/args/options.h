/* Commands and their options as tables. Parsing, --help, the man pages and the shell completions all come
   from the same tables, so they cannot disagree. */
#ifndef KVASIR_CLI_ARGS_OPTIONS_H
#define KVASIR_CLI_ARGS_OPTIONS_H

#include "base/status.h"
#include <stddef.h>

/* How an option's argument is read, and the type of the field that it is stored in. */
typedef enum cli_type {
    CLI_FLAG,   /* int, set to 1; takes no argument */
    CLI_INT,    /* int */
    CLI_COUNT,  /* int, with K, M, G (binary): numbers of tokens */
    CLI_SIZE,   /* uint64_t, bytes with K, M, G (binary) */
    CLI_LONG,   /* int64_t */
    CLI_FLOAT,  /* float */
    CLI_TEXT,   /* const char * */
    CLI_FILE,   /* const char *; completed as a file name */
    CLI_LIST,   /* cli_list; may be given again and again */
    CLI_NOTHING /* accepted for the sake of another program's command lines; a note says that it has no effect
                 */
} cli_type;

typedef struct cli_list {
    const char **items;
    int n;
} cli_list;

typedef struct cli_option {
    const char *name; /* the long name; NULL ends a table */
    char letter;      /* the short name, 0: none */
    cli_type type;
    const char *others; /* other accepted names, separated by spaces: "--n-predict -ctk" */
    const char *value;  /* what the argument is called in the help; NULL for flags */
    size_t field;       /* offsetof the field in the group's struct */
    const char *help;
    double min, max;    /* of numbers; both 0: any */
    const char *values; /* what shells offer, separated by spaces; any other text is accepted too */
} cli_option;

/* Options that several commands share are one table, stored in a struct that the commands' structs contain.
 */
typedef struct cli_group {
    const char *title;
    const cli_option *options; /* NULL ends the list of groups */
    size_t base;               /* offsetof the group's struct in the command's */
} cli_group;

typedef struct cli_example {
    const char *command, *says; /* command NULL ends the list */
} cli_example;

typedef struct cli_command {
    const char *name;
    const char *argument; /* the positional argument's name, "MODEL.gguf"; NULL: none */
    int argument_optional, argument_many;
    size_t argument_field; /* a const char *, or a cli_list where there may be several */
    const char *summary;   /* a few words, no full stop */
    const char *about;     /* paragraphs, separated by an empty line */
    const cli_example *examples;
    const cli_group *groups;
    size_t size;                  /* of the command's struct */
    void (*defaults)(void *args); /* sets what is not zero by default; may be NULL */
    int (*run)(void *args);       /* the exit status */
} cli_command;

/* Every command, in the order of the help; ends with a NULL. */
extern const cli_command *const cli_commands[];
const cli_command *cli_find_command(const char *name);

/* Reads argv[1...] of `c` (argv[0] is "kvasir NAME") into `args`, which holds c->size bytes, and fills in the
   defaults. On wrong usage it says so on stderr and ends the process with status 2; --help prints to stdout
   and ends it with 0. */
void cli_parse(const cli_command *c, int argc, char **argv, void *args);
/* Frees what parsing allocated (lists). */
void cli_release(const cli_command *c, void *args);

/* Reads `text` as the argument of `o` into the field, or appends it to the list. KVASIR_E_ARGUMENT says what is wrong with it
   as the command line does; then the field is as before. */
kvasir_status cli_store(const cli_option *o, void *field, const char *text);

/* Reads a whole number with an optional K, M or G (1024 each; also KiB, KB, ...). KVASIR_E_ARGUMENT names the
 * text. */
kvasir_status cli_parse_size(const char *text, uint64_t *out);

/* Calls fn for every option of a command, group by group. */
typedef void (*cli_option_fn)(void *user, const cli_group *group, const cli_option *option);
void cli_each_option(const cli_command *c, cli_option_fn fn, void *user);

/* The next of the space-separated words in *list into `to` (n bytes); 0 at the end. */
int cli_next_word(const char **list, char *to, size_t n);

/* The next of the words between commas in *list, 0 at the end; *list NULL: none. Too long ones are cut, which makes them
   wrong. */
int cli_next_item(const char **list, char *to, size_t n);

#endif
