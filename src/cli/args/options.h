/* Commands and their options as tables. Parsing, --help, the man pages and the shell completions all come
   from the same tables, so they cannot disagree. */
#ifndef KVASIR_CLI_ARGS_OPTIONS_H
#define KVASIR_CLI_ARGS_OPTIONS_H

#include "base/mem.h"
#include "base/status.h"
#include <stddef.h>
#include <stdio.h>

/* How an option's argument is read, and the type of the field that it is stored in. */
typedef enum cli_type {
    CLI_FLAG,  /* int, set to 1; takes no argument */
    CLI_INT,   /* int */
    CLI_COUNT, /* int, with K, M, G (binary) and no B: numbers of tokens */
    CLI_SIZE,  /* uint64_t, bytes with K, M, G (binary) */
    CLI_LONG,  /* int64_t */
    CLI_FLOAT, /* float */
    CLI_TEXT,  /* const char * */
    CLI_FILE,  /* const char *; completed as a file name */
    CLI_LIST,  /* cli_list; may be given again and again */
    CLI_MODEL, /* the command's argument, as an option */
    CLI_HUB,   /* the same, of a hub: OWNER/REPO[:WHAT] */
    /* For the sake of another program's command lines: */
    CLI_NOTHING, /* accepted; a note says that it has no effect */
    CLI_MAYBE,   /* the same, with an argument that may be absent: one of `values` */
    CLI_REFUSED /* never without effect, so the help says what to do instead; `values`: arguments that ask for nothing */
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
    const char *title;         /* NULL: not shown anywhere; for options of the last kinds alone */
    const cli_option *options; /* NULL ends the list of groups */
    size_t base;               /* offsetof the group's struct in the command's */
} cli_group;

typedef struct cli_example {
    const char *command, *says; /* command NULL ends the list */
} cli_example;

#define CLI_ARGUMENT_MODEL "MODEL"
#define CLI_ARGUMENT_NAME  "NAME" /* of a model in the cache */

typedef struct cli_command {
    const char *name;
    const char *argument; /* the positional argument's name; NULL: none. CLI_ARGUMENT_MODEL: a model (or several) */
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
/* Says that there is no such command, and which may have been meant; EXIT_USAGE. */
int cli_no_command(const char *name);
/* Is the argument a model? Then --model and --hf-repo are options, and llama.cpp's are known (cli_llama_options). */
int cli_takes_model(const cli_command *c);
/* The options of llama.cpp's programs that Kvasir has not (llama.c). */
extern const cli_option cli_llama_options[];
/* Three paragraphs, separated by empty lines: which of llama.cpp's names mean an option of this command, which are taken
   without effect, which are refused. Nothing for a command that takes no model. */
void cli_llama_print_names(const cli_command *c, FILE *f);

/* Reads argv[1...] of `c` (argv[0] is "kvasir NAME") into `args`, which holds c->size bytes, and fills in the
   defaults. On wrong usage it says so on stderr and ends the process with status 2; --help prints to stdout
   and ends it with 0. */
void cli_parse(const cli_command *c, int argc, char **argv, void *args);
/* Frees what parsing allocated (lists). */
void cli_release(const cli_command *c, void *args);

/* Reads `text` as the argument of `o`, which was given `as` "--predict" or "-n", into the field, or appends it to the list.
   KVASIR_E_ARGUMENT says what is wrong with it as the command line does; then the field is as before. */
kvasir_status cli_store(const cli_option *o, const char *as, void *field, const char *text);

/* Brings argv into the form that is parsed: names with one dash get a second one, except for letters, and nothing is left that
   has no effect (which a note says). What it writes is kept in `kept`. The new argc. An option that is not there, or is refused, ends the process
   as in cli_parse. */
int cli_rewrite(const cli_command *c, int argc, char **argv, arena *kept);

/* Reads a number of bytes with an optional K, M or G (1024 each; also KiB, KB, ...). KVASIR_E_ARGUMENT names the text. */
kvasir_status cli_parse_size(const char *text, uint64_t *out);
/* Reads a whole number of tokens with an optional K, M or G (1024 each), and no B, which bytes have. KVASIR_E_ARGUMENT says
   what is wrong with the text. */
kvasir_status cli_parse_count(const char *text, int64_t *out);
/* What is wrong with a word of --depths: what cli_parse_count has said of it (`status`), or that it is not in the range. */
kvasir_status cli_wrong_depth(kvasir_status status, const char *word, int min, int max);

/* Calls fn for every option of a command that is shown, group by group. */
typedef void (*cli_option_fn)(void *user, const cli_group *group, const cli_option *option);
void cli_each_option(const cli_command *c, cli_option_fn fn, void *user);

/* The next of the space-separated words in *list into `to` (n bytes); 0 at the end. */
int cli_next_word(const char **list, char *to, size_t n);

/* Is `word` one of the space-separated ones? NULL has none. */
int cli_has_word(const char *words, const char *word);

/* The next of the words between commas in *list, 0 at the end; *list NULL: none. Too long ones are cut, which makes them
   wrong. */
int cli_next_item(const char **list, char *to, size_t n);

#endif
