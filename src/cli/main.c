/* The kvasir command: finds the subcommand, reads its options, runs it. */
#include "cli/common/common.h"
#include "cli/args/docs.h"
#include "cli/args/options.h"
#include "base/mem.h"

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

static void print_help(FILE *to)
{
    (void)fprintf(to, "Usage: kvasir COMMAND [MODEL] [options]\n\nRuns language models from GGUF files.\n\n");
    for (int i = 0; cli_commands[i]; i++)
        (void)fprintf(to, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    (void)fprintf(to, "  %-10s %s\n  %-10s %s\n", "help", "List the commands, or explain one: kvasir help run",
                  "version", "Print the version");
    (void)fprintf(to, "\nMODEL is a path, a name that kvasir list shows, hf:OWNER/REPO[:WHAT] or a URL.\n"
                      "kvasir COMMAND --help has the options and examples.\n");
}

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

static int help(int argc, char **argv)
{
    const cli_command *c = argc > 2 ? cli_find_command(argv[2]) : NULL;
    if (argc > 2 && !c) return cli_no_command(argv[2]);
    if (!c) {
        print_help(stdout);
        return finish_output(EXIT_DONE);
    }
    char option[] = "--help", *words[] = {argv[0], option, NULL};
    return run_command_with(c, 2, words);
}

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(first, "help") == 0 || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) return help(argc, argv);
    if (strcmp(first, "version") == 0 || strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        (void)printf("kvasir %s\n", kvasir_version());
        return finish_output(EXIT_DONE);
    }
    if (strcmp(first, "--dump-docs") == 0 && argc > 2) return dump_docs(argv[2], argc > 3 ? argv[3] : NULL);
    const cli_command *c = cli_find_command(first);
    if (!c) return cli_no_command(first);
    return run_command_with(c, argc - 1, argv + 1);
}
