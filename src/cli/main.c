/* The kvasir command: finds the subcommand, reads its options, runs it. */
#include "cli/common/common.h"
#include "cli/args/docs.h"
#include "cli/args/options.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

extern const cli_command run_command, inspect_command, tokenize_command, template_command, eval_command, sweep_command,
    bench_command, plan_command, probe_command, pull_command, verify_command, tune_command, serve_command, list_command,
    rm_command;

const cli_command *const cli_commands[] = {
    &run_command,    &inspect_command, &tokenize_command, &template_command,
    &eval_command,   &plan_command,    &probe_command,    &tune_command,
    &verify_command, &sweep_command,   &serve_command,    &bench_command,
    &pull_command,   &list_command,    &rm_command,       NULL,
};

static int run_command_with(const cli_command *c, int argc, char **argv)
{
    char name[64];
    void *args = mem_alloc(1, c->size);
    if (!args) return failed(fail_memory(c->size));
    (void)snprintf(name, sizeof name, "kvasir %s", c->name);
    argv[0] = name;
    cli_parse(c, argc, argv, args);
    int code = c->run(args);
    cli_release(c, args);
    mem_free(args);
    return code;
}

static int print_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    (void)printf("kvasir %s\n", kvasir_version());
    return finish_output(EXIT_DONE);
}

static int help(int argc, char **argv);

static int dump(int argc, char **argv)
{
    if (argc < 3) return usage_error("--dump-docs makes man, bash, zsh and fish");
    return dump_docs(argv[2], argc > 3 ? argv[3] : NULL);
}

/* What is no command with options of its own. */
static const struct builtin {
    const char *names; /* separated by spaces */
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not listed */
} builtins[] = {{"help --help -h", help, "List the commands, or explain one: kvasir help run"},
                {"version --version -V", print_version, "Print the version"},
                {"--dump-docs", dump, NULL}};
enum { N_BUILTINS = sizeof builtins / sizeof *builtins };

static const struct builtin *find_builtin(const char *name)
{
    for (int i = 0; i < N_BUILTINS; i++)
        if (cli_has_word(builtins[i].names, name)) return &builtins[i];
    return NULL;
}

static void print_help(FILE *to)
{
    (void)fprintf(to, "Usage: kvasir COMMAND [MODEL] [options]\n\nRuns language models from GGUF files.\n\n");
    for (int i = 0; cli_commands[i]; i++)
        (void)fprintf(to, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    for (int i = 0; i < N_BUILTINS; i++)
        if (builtins[i].summary)
            (void)fprintf(to, "  %-10.*s %s\n", (int)strcspn(builtins[i].names, " "), builtins[i].names,
                          builtins[i].summary);
    (void)fprintf(to, "\nMODEL is a path, a name that kvasir list shows, hf:OWNER/REPO[:WHAT] or a URL.\n"
                      "kvasir COMMAND --help has the options and examples.\n");
}

/* The list, or what a command says of itself; the list explains what is no command. */
static int help(int argc, char **argv)
{
    const char *name = argc > 2 ? argv[2] : NULL;
    const cli_command *c = name ? cli_find_command(name) : NULL;
    if (c) {
        char option[] = "--help", *words[] = {argv[0], option, NULL};
        return run_command_with(c, 2, words);
    }
    if (name && !find_builtin(name)) return cli_no_command(name);
    print_help(stdout);
    return finish_output(EXIT_DONE);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const struct builtin *builtin = find_builtin(argv[1]);
    const cli_command *c = builtin ? NULL : cli_find_command(argv[1]);
    if (builtin) return builtin->run(argc, argv);
    return c ? run_command_with(c, argc - 1, argv + 1) : cli_no_command(argv[1]);
}
