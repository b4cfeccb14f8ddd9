#include "cli/args/docs.h"
#include "cli/common/common.h"
#include "cli/args/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const exit_texts[][2] = {
    {"0", "Done."},
    {"1", "Failed while running."},
    {"2", "Wrong usage."},
    {"3", "The model file is bad or unsupported; the message says what, and at which byte or tensor."},
    {"4", "Does not fit in memory or in the context; the message has both numbers. Nothing was cut."},
    {"5", "A check failed."},
    {"130", "Stopped by Ctrl-C."},
};
enum { N_EXIT_TEXTS = sizeof exit_texts / sizeof *exit_texts };

/* ---- man ---------------------------------------------------------------------------------------------- */

/* Text for roff: backslashes, hyphens that are typed, and control characters at the start of a line. */
static void man_text(const char *s)
{
    int line_start = 1;
    for (; *s; s++) {
        if (s[0] == '\n' && s[1] == '\n') {
            (void)printf("\n.PP\n");
            s++;
            line_start = 1;
            continue;
        }
        if (line_start && (*s == '.' || *s == '\'')) (void)printf("\\&");
        if (*s == '\\')
            (void)printf("\\e");
        else if (*s == '-')
            (void)printf("\\-");
        else if (*s == '\'')
            (void)printf("\\(aq");
        else if (*s == '"')
            (void)printf("\\(dq");
        else if (*s == '~')
            (void)printf("\\(ti");
        else if (*s == '^')
            (void)printf("\\(ha");
        else if (*s == '`')
            (void)printf("\\(ga");
        else
            (void)putchar(*s);
        line_start = *s == '\n';
    }
}

static void man_option(void *user, const cli_group *g, const cli_option *o)
{
    const cli_group **last = user;
    if (g != *last) {
        (void)printf(".SS ");
        man_text(g->title);
        (void)printf("\n");
        *last = g;
    }
    (void)printf(".TP\n");
    if (o->letter)
        (void)printf("\\fB\\-%c\\fR%s%s%s, ", o->letter, o->value ? " \\fI" : "", o->value ? o->value : "",
                     o->value ? "\\fR" : "");
    (void)printf("\\fB");
    man_text("--");
    man_text(o->name);
    (void)printf("\\fR");
    if (o->value) (void)printf("=\\fI%s\\fR", o->value);
    const char *others = o->others;
    char word[64];
    while (cli_next_word(&others, word, sizeof word)) {
        (void)printf(", \\fB");
        man_text(word);
        (void)printf("\\fR");
    }
    (void)printf("\n");
    man_text(o->help);
    (void)printf(".\n");
}

static void man_exit_status(void)
{
    (void)printf(".SH EXIT STATUS\n");
    for (int i = 0; i < N_EXIT_TEXTS; i++) {
        (void)printf(".TP\n.B %s\n", exit_texts[i][0]);
        man_text(exit_texts[i][1]);
        (void)printf("\n");
    }
}

static void man_environment(void)
{
    (void)printf(
        ".SH ENVIRONMENT\n.TP\n.B KVASIR_CPU\nThe instruction set that is used when \\-\\-cpu is not given.\n"
        ".TP\n.B KVASIR_CACHE\nThe folder of fetched models.\n"
        ".TP\n.B KVASIR_HF_TOKEN\nThe hub\\(aqs token, for models that need one; it is sent to the hub alone.\n"
        ".TP\n.B KVASIR_HF_ENDPOINT\nThe hub, where it is not https://huggingface.co.\n"
        ".TP\n.B NO_COLOR\nWhen set, nothing is coloured.\n"
        ".TP\n.BR XDG_CONFIG_HOME , \" XDG_CACHE_HOME\"\nWhere the machine\\(aqs profile is kept "
        "(~/.config), and where its disk is measured (~/.cache).\n");
}

static void man_head(const char *page, const char *summary)
{
    (void)printf(".\\\" Made from the option tables by kvasir \\-\\-dump\\-docs man\n");
    (void)printf(".TH \"%s\" 1 \"\" \"Kvasir %s\" \"Kvasir\"\n.SH NAME\n", page, kvasir_version());
    man_text(page);
    (void)printf(" \\- ");
    man_text(summary);
    (void)printf("\n");
}

static void man_llama_names(const cli_command *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = cli_takes_model(c) ? open_memstream(&text, &n) : NULL;
    if (!f) return;
    cli_llama_print_names(c, f);
    if (fclose(f) == 0) {
        (void)printf(".SH NAMES OF LLAMA.CPP\n");
        man_text(text);
        (void)printf("\n");
    }
    free(text);
}

static int man_command(const cli_command *c)
{
    char page[64];
    const cli_group *last = NULL;
    (void)snprintf(page, sizeof page, "kvasir-%s", c->name);
    man_head(page, c->summary);
    (void)printf(".SH SYNOPSIS\n.B kvasir %s\n", c->name);
    if (c->argument)
        (void)printf("%s\\fI%s\\fR%s%s\n", c->argument_optional ? "[" : "", c->argument, c->argument_many ? " ..." : "",
                     c->argument_optional ? "]" : "");
    (void)printf("[\\fIoptions\\fR]\n.SH DESCRIPTION\n");
    man_text(c->about);
    (void)printf("\n.SH OPTIONS\n");
    cli_each_option(c, man_option, (void *)&last);
    (void)printf(".SH EXAMPLES\n");
    for (const cli_example *e = c->examples; e->command; e++) {
        (void)printf(".TP\n.B ");
        man_text(e->command);
        (void)printf("\n");
        man_text(e->says);
        (void)printf("\n");
    }
    man_llama_names(c);
    man_exit_status();
    man_environment();
    (void)printf(".SH SEE ALSO\n.BR kvasir (1)\n");
    return EXIT_DONE;
}

static int man_main(void)
{
    man_head("kvasir", "long-context language models on this machine");
    (void)printf(".SH SYNOPSIS\n.B kvasir\n\\fICOMMAND\\fR [\\fIMODEL\\fR] [\\fIoptions\\fR]\n.SH DESCRIPTION\n"
                 "Kvasir runs language models from GGUF files, with the KV cache planned to the byte.\n"
                 "Results go to standard output, everything else to standard error.\n.SH COMMANDS\n");
    for (int i = 0; cli_commands[i]; i++) {
        (void)printf(".TP\n.BR kvasir\\-%s (1)\n", cli_commands[i]->name);
        man_text(cli_commands[i]->summary);
        (void)printf(".\n");
    }
    man_exit_status();
    man_environment();
    return EXIT_DONE;
}

/* ---- completions -------------------------------------------------------------------------------------- */

/* Text inside single quotes of a shell. */
static void quote_shell(const char *s)
{
    for (; *s; s++)
        if (*s == '\'')
            (void)printf("'\\''");
        else
            (void)putchar(*s);
}

static void bash_name(void *user, const cli_group *g, const cli_option *o)
{
    (void)user, (void)g;
    if (o->letter) (void)printf("-%c ", o->letter);
    (void)printf("--%s ", o->name);
}

/* One branch of bash's case over the previous word: what its argument may be. */
static void bash_value(void *user, const cli_group *g, const cli_option *o)
{
    const char *command = user;
    (void)g;
    if (!o->value) return;
    (void)printf("    '%s --%s'", command, o->name);
    if (o->letter) (void)printf("|'%s -%c'", command, o->letter);
    if (o->type == CLI_MODEL)
        (void)printf(") _kvasir_models; return ;;\n");
    else if (o->type == CLI_FILE)
        (void)printf(") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n");
    else if (o->values)
        (void)printf(") COMPREPLY=($(compgen -W '%s' -- \"$word\")); return ;;\n", o->values);
    else
        (void)printf(") return ;;\n");
}

static int takes_name(const cli_command *c)
{
    return c->argument && strcmp(c->argument, CLI_ARGUMENT_NAME) == 0;
}

static int bash_completion(void)
{
    (void)printf(
        "# bash completion for kvasir, made from its option tables\n"
        "_kvasir_names() {\n  COMPREPLY+=($(compgen -W \"$(\"${COMP_WORDS[0]}\" list --names 2>/dev/null)\" -- "
        "\"$word\"))\n}\n"
        "_kvasir_models() {\n  COMPREPLY=($(compgen -f -X '!*.gguf' -- \"$word\") $(compgen -d -- \"$word\"))\n"
        "  _kvasir_names\n}\n_kvasir() {\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
        "  COMPREPLY=()\n  compopt -o filenames 2>/dev/null\n"
        "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W '");
    for (int i = 0; cli_commands[i]; i++) (void)printf("%s ", cli_commands[i]->name);
    (void)printf("help version' -- \"$word\"))\n    return\n  fi\n  case \"$command $before\" in\n");
    for (int i = 0; cli_commands[i]; i++)
        cli_each_option(cli_commands[i], bash_value, (void *)(uintptr_t)cli_commands[i]->name);
    (void)printf("  esac\n  case \"$command $word\" in\n");
    for (int i = 0; cli_commands[i]; i++) {
        (void)printf("    '%s -'*) COMPREPLY=($(compgen -W '", cli_commands[i]->name);
        cli_each_option(cli_commands[i], bash_name, NULL);
        (void)printf("--help' -- \"$word\")) ;;\n");
    }
    for (int i = 0; cli_commands[i]; i++)
        if (cli_commands[i]->argument && !cli_takes_model(cli_commands[i]))
            (void)printf("    '%s '*) %s ;;\n", cli_commands[i]->name,
                         takes_name(cli_commands[i]) ? "_kvasir_names" : "COMPREPLY=($(compgen -f -- \"$word\"))");
    (void)printf("    *) _kvasir_models ;;\n  esac\n}\n"
                 "complete -F _kvasir kvasir\n");
    return EXIT_DONE;
}

/* Inside zsh's specifications brackets and colons have a meaning. */
static void zsh_text(const char *s)
{
    for (; *s; s++) {
        if (strchr("[]:\\", *s)) (void)putchar('\\');
        if (*s == '\'')
            (void)printf("'\\''");
        else
            (void)putchar(*s);
    }
}

static void zsh_spec(const cli_option *o, const char *name, const char *exclude)
{
    (void)printf("        '(%s)%s%s[", exclude, name, o->value && name[1] == '-' ? "=" : "");
    zsh_text(o->help);
    (void)printf("]");
    if (o->value) {
        (void)printf(":");
        zsh_text(o->value);
        if (o->type == CLI_MODEL)
            (void)printf(":_kvasir_models");
        else if (o->type == CLI_FILE)
            (void)printf(":_files");
        else if (o->values)
            (void)printf(":(%s)", o->values);
        else
            (void)printf(": ");
    }
    (void)printf("' \\\n");
}

static void zsh_option(void *user, const cli_group *g, const cli_option *o)
{
    char exclude[96], name[72];
    (void)user, (void)g;
    int repeated = o->type == CLI_LIST;
    if (o->letter && !repeated)
        (void)snprintf(exclude, sizeof exclude, "-%c --%s", o->letter, o->name);
    else
        (void)snprintf(exclude, sizeof exclude, "%s%s", repeated ? "" : "--", repeated ? "" : o->name);
    (void)snprintf(name, sizeof name, "--%s", o->name);
    zsh_spec(o, name, exclude);
    if (!o->letter) return;
    (void)snprintf(name, sizeof name, "-%c", o->letter);
    zsh_spec(o, name, exclude);
}

static int zsh_completion(void)
{
    (void)printf("#compdef kvasir\n# made from kvasir's option tables\n"
                 "_kvasir_names() {\n  local -a names\n  names=(${(f)\"$(kvasir list --names 2>/dev/null)\"})\n"
                 "  compadd -a names\n}\n"
                 "_kvasir_models() {\n  _kvasir_names\n  _files -g '*.gguf'\n}\n_kvasir() {\n  local -a commands\n  "
                 "commands=(\n");
    for (int i = 0; cli_commands[i]; i++) {
        (void)printf("    '%s:", cli_commands[i]->name);
        zsh_text(cli_commands[i]->summary);
        (void)printf("'\n");
    }
    (void)printf("    'help:List the commands, or explain one'\n    'version:Print the version'\n  )\n"
                 "  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
                 "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n");
    for (int i = 0; cli_commands[i]; i++) {
        (void)printf("    %s)\n      _arguments \\\n", cli_commands[i]->name);
        cli_each_option(cli_commands[i], zsh_option, NULL);
        (void)printf("        '--help[Explain the command]'%s ;;\n",
                     takes_name(cli_commands[i])        ? " \\\n        '*:model:_kvasir_names'"
                     : cli_commands[i]->argument_many   ? " \\\n        '*:model:_kvasir_models'"
                     : cli_takes_model(cli_commands[i]) ? " \\\n        '1:model:_kvasir_models'"
                     : cli_commands[i]->argument        ? " \\\n        '1:file:_files'"
                                                        : "");
    }
    (void)printf("  esac\n}\n_kvasir \"$@\"\n");
    return EXIT_DONE;
}

static void fish_option(void *user, const cli_group *g, const cli_option *o)
{
    const char *command = user;
    (void)g;
    (void)printf("complete -c kvasir -n '__fish_seen_subcommand_from %s' -l %s", command, o->name);
    if (o->letter) (void)printf(" -s %c", o->letter);
    if (o->value) (void)printf(o->type == CLI_FILE || o->type == CLI_MODEL ? " -r -F" : " -x");
    if (o->values) (void)printf(" -a '%s'", o->values);
    (void)printf(" -d '");
    quote_shell(o->help);
    (void)printf("'\n");
}

static int fish_completion(void)
{
    (void)printf("# fish completion for kvasir, made from its option tables\ncomplete -c kvasir -f\n");
    for (int i = 0; cli_commands[i]; i++) {
        (void)printf("complete -c kvasir -n __fish_use_subcommand -a %s -d '", cli_commands[i]->name);
        quote_shell(cli_commands[i]->summary);
        (void)printf("'\n");
    }
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name;
        static const char names[] = "(kvasir list --names 2>/dev/null)";
        if (takes_name(cli_commands[i]))
            (void)printf("complete -c kvasir -n '__fish_seen_subcommand_from %s' -a '%s'\n", name, names);
        else if (cli_takes_model(cli_commands[i]))
            (void)printf(
                "complete -c kvasir -n '__fish_seen_subcommand_from %s' -a '%s (__fish_complete_suffix .gguf)'\n", name,
                names);
        else if (cli_commands[i]->argument)
            (void)printf("complete -c kvasir -n '__fish_seen_subcommand_from %s' -F\n", name);
        cli_each_option(cli_commands[i], fish_option, (void *)(uintptr_t)name);
    }
    return EXIT_DONE;
}

int dump_docs(const char *kind, const char *command)
{
    const cli_command *c = command ? cli_find_command(command) : NULL;
    if (command && !c) return cli_no_command(command);
    int code = strcmp(kind, "man") == 0    ? c ? man_command(c) : man_main()
                  : strcmp(kind, "bash") == 0 ? bash_completion()
               : strcmp(kind, "zsh") == 0  ? zsh_completion()
               : strcmp(kind, "fish") == 0 ? fish_completion()
                                           : usage_error("--dump-docs makes man, bash, zsh and fish");
    return finish_output(code);
}
