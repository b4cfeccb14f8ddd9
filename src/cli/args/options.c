#include "cli/args/options.h"
#include "cli/args/near.h"
#include "cli/common/common.h"
#include "base/mem.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_BASE = 1000, /* keys of options without a letter: KEY_BASE + number; argp wants them beyond the characters */
    MAX_OPTIONS = 256,
    WORD_BYTES = 64
};

const cli_command *cli_find_command(const char *name)
{
    for (int i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
    return NULL;
}

/* What other programs call a command. */
static const char *other_name(const char *name)
{
    static const char *const names[][2] = {{"ls", "list"},      {"models", "list"},   {"remove", "rm"},
                                           {"delete", "rm"},    {"download", "pull"}, {"fetch", "pull"},
                                           {"generate", "run"}, {"show", "inspect"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], name) == 0) return names[i][1];
    return NULL;
}

int cli_no_command(const char *name)
{
    if (strcmp(name, "chat") == 0)
        return usage_error(
            "there is no command chat: kvasir run MODEL opens one when it is given no prompt (-p, -f); kvasir "
            "help lists the commands");
    if (other_name(name))
        return usage_error("there is no command %s; did you mean %s? kvasir help lists them", name, other_name(name));
    near_word near = near_begin(name);
    const char *shown = quoted(name, strlen(name)), *dot = strrchr(name, '.');
    for (int i = 0; cli_commands[i]; i++) near_try(&near, cli_commands[i]->name);
    near_try(&near, "help");
    near_try(&near, "version");
    if (near.best[0])
        return usage_error("there is no command %s; did you mean %s? kvasir help lists them", shown, near.best);
    if (name[0] == '-')
        return usage_error("a command comes before options: kvasir run %s; kvasir help lists them", shown);
    if (dot && strcasecmp(dot, ".gguf") == 0)
        return usage_error("there is no command %s; kvasir run %s runs a model", shown, shown);
    return usage_error("there is no command %s; kvasir help lists them", shown);
}

static const cli_option model_options[] = {
    {"model", 'm', CLI_MODEL, "--model-url -mu", CLI_ARGUMENT_MODEL, 0,
     "The model, which may stand without this too: a path, a name that kvasir list shows, hf:OWNER/REPO[:WHAT] or a "
     "URL",
     0, 0, NULL},
    {"hf-repo", 0, CLI_HUB, "-hf -hfr", "OWNER/REPO[:WHAT]", 0, "The model hf:OWNER/REPO[:WHAT] (also -hf)", 0, 0,
     NULL},
    {0},
};
static const cli_group model_group = {"Model", model_options, 0};

int cli_takes_model(const cli_command *c)
{
    return c->argument && strcmp(c->argument, CLI_ARGUMENT_MODEL) == 0;
}

void cli_each_option(const cli_command *c, cli_option_fn fn, void *user)
{
    if (cli_takes_model(c))
        for (const cli_option *o = model_options; o->name; o++) fn(user, &model_group, o);
    for (const cli_group *g = c->groups; g->options; g++)
        for (const cli_option *o = g->options; g->title && o->name; o++) fn(user, g, o);
}

int cli_next_word(const char **list, char *to, size_t n)
{
    const char *s = *list ? *list + strspn(*list, " ") : "";
    size_t length = strcspn(s, " ");
    if (length == 0 || length >= n) return 0;
    memcpy(to, s, length);
    to[length] = 0;
    *list = s + length;
    return 1;
}

int cli_has_word(const char *words, const char *text)
{
    char word[WORD_BYTES];
    while (words && cli_next_word(&words, word, sizeof word))
        if (strcmp(word, text) == 0) return 1;
    return 0;
}

int cli_next_item(const char **list, char *to, size_t n)
{
    if (!*list) return 0;
    size_t length = strcspn(*list, ",");
    (void)snprintf(to, n, "%.*s", (int)(length < n ? length : n), *list);
    *list = (*list)[length] ? *list + length + 1 : NULL;
    return 1;
}

kvasir_status cli_parse_size(const char *text, uint64_t *out)
{
    static const char *const suffixes[][4] = {{"", "b", "B", NULL},
                                              {"k", "kb", "kib", NULL},
                                              {"m", "mb", "mib", NULL},
                                              {"g", "gb", "gib", NULL},
                                              {"t", "tb", "tib", NULL}};
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !(value >= 0))
        return fail(KVASIR_E_ARGUMENT, "'%s' is not a size", quoted(text, strlen(text)));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        for (int j = 0; suffixes[i][j]; j++)
            if (strcasecmp(end, suffixes[i][j]) == 0) {
                double bytes = ldexp(value, 10 * (int)i);
                if (bytes > 0x1p62) return fail(KVASIR_E_ARGUMENT, "'%s' is too large", quoted(text, strlen(text)));
                *out = (uint64_t)bytes;
                return KVASIR_OK;
            }
    return fail(KVASIR_E_ARGUMENT, "'%s' is not a size (a number, then K, M or G)", quoted(text, strlen(text)));
}

kvasir_status cli_parse_count(const char *text, int64_t *out)
{
    char *end = NULL;
    const char *shown = quoted(text, strlen(text));
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(value) || strpbrk(text, "xX"))
        return fail(KVASIR_E_ARGUMENT, "'%s' is no number of tokens (like 512, 8K or 1M)", shown);
    static const char letters[] = "kmgt";
    const char *letter = *end ? strchr(letters, tolower((unsigned char)*end)) : NULL;
    const char *rest = letter ? end + 1 : end;
    if (strcasecmp(rest, "b") == 0 || (letter && strcasecmp(rest, "ib") == 0))
        return fail(KVASIR_E_ARGUMENT, "'%s' is a number of bytes; numbers of tokens take K, M or G, but no B", shown);
    if (*rest) return fail(KVASIR_E_ARGUMENT, "'%s' is no number of tokens (like 512, 8K or 1M)", shown);
    double tokens = letter ? ldexp(value, 10 * (int)(letter - letters + 1)) : value;
    if (fabs(tokens) > 0x1p52) return fail(KVASIR_E_ARGUMENT, "'%s' is too large", shown);
    if (tokens != floor(tokens)) return fail(KVASIR_E_ARGUMENT, "'%s' is no whole number of tokens", shown);
    *out = (int64_t)tokens;
    return KVASIR_OK;
}

kvasir_status cli_wrong_depth(kvasir_status status, const char *word, int min, int max)
{
    char why[256];
    (void)snprintf(why, sizeof why, "%s", kvasir_message());
    if (status != KVASIR_OK) return fail(KVASIR_E_ARGUMENT, "--depths: %s", why);
    return fail(KVASIR_E_ARGUMENT, "--depths: '%s' is out of range (%d to %d tokens)", quoted(word, strlen(word)), min,
                max);
}

/* ---- one option's argument ---------------------------------------------------------------------------- */

static kvasir_status check_range(const cli_option *o, const char *as, const char *text, double value)
{
    if ((o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max)) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "%s %s is out of range (%.10g to %.10g)", as, quoted(text, strlen(text)), o->min,
                o->max);
}

static kvasir_status parse_number(const cli_option *o, const char *as, const char *text, void *field)
{
    char *end = NULL;
    errno = 0;
    if (o->type == CLI_FLOAT) {
        float value = strtof(text, &end);
        if (end == text || *end || !isfinite(value)) goto bad;
        TRY(check_range(o, as, text, (double)value));
        *(float *)field = value;
        return KVASIR_OK;
    }
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno != 0) goto bad;
    if (o->type != CLI_LONG && (value < INT_MIN || value > INT_MAX)) goto bad;
    TRY(check_range(o, as, text, (double)value));
    if (o->type == CLI_LONG)
        *(int64_t *)field = value;
    else
        *(int *)field = (int)value;
    return KVASIR_OK;
bad:
    return fail(KVASIR_E_ARGUMENT, "%s wants a number, not '%s'", as, quoted(text, strlen(text)));
}

static kvasir_status parse_size_option(const cli_option *o, const char *as, const char *text, uint64_t *field)
{
    uint64_t size = 0;
    if (cli_parse_size(text, &size) != KVASIR_OK)
        return fail(KVASIR_E_ARGUMENT, "%s wants a number like 512, 8K or 2G, not '%s'", as,
                    quoted(text, strlen(text)));
    TRY(check_range(o, as, text, (double)size));
    *field = size;
    return KVASIR_OK;
}

static kvasir_status parse_count_option(const cli_option *o, const char *as, const char *text, int *field)
{
    int64_t count = 0;
    char why[256];
    if (cli_parse_count(text, &count) != KVASIR_OK) {
        (void)snprintf(why, sizeof why, "%s", kvasir_message());
        return fail(KVASIR_E_ARGUMENT, "%s: %s", as, why);
    }
    TRY(check_range(o, as, text, (double)count));
    if (count < INT_MIN || count > INT_MAX)
        return fail(KVASIR_E_ARGUMENT, "%s %s is too large", as, quoted(text, strlen(text)));
    *field = (int)count;
    return KVASIR_OK;
}

static kvasir_status add_to_list(cli_list *list, const char *text)
{
    size_t n = (size_t)list->n;
    const char **items = mem_grow(list->items, n, n + 1, sizeof *items);
    if (!items) return fail_memory((n + 1) * sizeof *items);
    items[n] = text;
    *list = (cli_list){items, list->n + 1};
    return KVASIR_OK;
}

kvasir_status cli_store(const cli_option *o, const char *as, void *field, const char *text)
{
    switch (o->type) {
    case CLI_FLAG:
        *(int *)field = 1;
        return KVASIR_OK;
    case CLI_TEXT:
    case CLI_FILE:
        *(const char **)field = text;
        return KVASIR_OK;
    case CLI_LIST:
        return add_to_list(field, text);
    case CLI_INT:
    case CLI_LONG:
    case CLI_FLOAT:
        return parse_number(o, as, text, field);
    case CLI_COUNT:
        return parse_count_option(o, as, text, field);
    case CLI_SIZE:
        return parse_size_option(o, as, text, field);
    case CLI_MODEL: /* on_argp takes these two */
    case CLI_HUB:
    case CLI_NOTHING: /* and these are gone before */
    case CLI_MAYBE:
    case CLI_REFUSED:
        break;
    }
    return KVASIR_OK;
}

/* ---- argp --------------------------------------------------------------------------------------------- */

typedef struct slot {
    const cli_option *option;
    const cli_group *group;
} slot;

/* Names that are cut out of cli_option.others, for argp and in argv, and repositories; freed by cli_release. */
static arena words;

/* Everything that one parse needs. */
typedef struct parse_state {
    const cli_command *command;
    char *args;
    slot slots[MAX_OPTIONS];
    int n_slots;
    struct argp_option options[MAX_OPTIONS + 1];
    int n_options;
    const cli_group *last_group;
    int group_number, n_arguments;
} parse_state;

static void add_argp_option(parse_state *s, struct argp_option o)
{
    if (s->n_options < MAX_OPTIONS) s->options[s->n_options++] = o;
}

/* Another name of the option before. One dash is not in the help: in argv it has got a second one (cli_rewrite). */
static void add_alias(parse_state *s, const char *word, int key)
{
    const int hidden = word[1] == '-' ? 0 : OPTION_HIDDEN;
    const char *name = arena_text(&words, word + (hidden ? 1 : 2), strlen(word + (hidden ? 1 : 2)));
    if (name) add_argp_option(s, (struct argp_option){name, key, NULL, OPTION_ALIAS | hidden, NULL, s->group_number});
}

static void collect_option(void *user, const cli_group *group, const cli_option *o)
{
    parse_state *s = user;
    if (s->n_slots == MAX_OPTIONS) return;
    if (group != s->last_group) {
        s->last_group = group;
        add_argp_option(s, (struct argp_option){.doc = group->title, .group = ++s->group_number});
    }
    int key = o->letter ? o->letter : KEY_BASE + s->n_slots;
    s->slots[s->n_slots++] = (slot){o, group};
    add_argp_option(s, (struct argp_option){o->name, key, o->value, 0, o->help, s->group_number});
    const char *others = o->others;
    char word[WORD_BYTES];
    while (cli_next_word(&others, word, sizeof word)) add_alias(s, word, key);
}

static const slot *slot_of_key(const parse_state *s, int key)
{
    if (key >= KEY_BASE && key < KEY_BASE + s->n_slots) return &s->slots[key - KEY_BASE];
    for (int i = 0; i < s->n_slots; i++)
        if (s->slots[i].option->letter && s->slots[i].option->letter == key) return &s->slots[i];
    return NULL;
}

static cli_list *argument_list(const parse_state *s)
{
    return (cli_list *)(void *)(s->args + s->command->argument_field);
}

static void look_for_prompt(void *user, const cli_group *g, const cli_option *o)
{
    (void)g;
    if (strcmp(o->name, "prompt") == 0) *(int *)user = 1;
}

static int takes_prompt(const cli_command *c)
{
    int found = 0;
    cli_each_option(c, look_for_prompt, &found);
    return found;
}

static error_t take_argument(parse_state *s, const struct argp_state *state, const char *text)
{
    const cli_command *c = s->command;
    if (!c->argument) argp_error(state, "takes no argument, but '%s' was given", quoted(text, strlen(text)));
    if (c->argument_many) {
        s->n_arguments++;
        return add_to_list(argument_list(s), text) == KVASIR_OK ? 0 : ENOMEM;
    }
    if (s->n_arguments++ > 0)
        argp_error(state, "one %s only, but '%s' was given too%s", c->argument, quoted(text, strlen(text)),
                   takes_prompt(c) ? "; a prompt is given with -p, in quotes: -p 'TEXT'" : "");
    *(const char **)(void *)(s->args + c->argument_field) = text;
    return 0;
}

/* A hub's repository as the other names have it. */
static error_t take_repository(parse_state *s, const struct argp_state *state, const char *text)
{
    static const char hub[] = "hf:";
    size_t n = strlen(hub), length = strlen(text);
    char *name = arena_alloc(&words, n + length + 1, 1);
    if (!name) return ENOMEM;
    if (strncmp(text, hub, n) != 0) memcpy(name, hub, n);
    memcpy(name + strlen(name), text, length + 1);
    return take_argument(s, state, name);
}

/* The name by which an option was given, from the word of argv that argp has just read. */
static void typed_name(const cli_option *o, const struct argp_state *state, const char *text, char to[WORD_BYTES])
{
    const char *word = state->argv[state->next - 1];
    const bool is_inside = text && text > word && text <= word + strlen(word);
    if (text && !is_inside && state->next > 1) word = state->argv[state->next - 2];
    if (word[0] != '-' || word[1] != '-') {
        (void)snprintf(to, WORD_BYTES, "-%c", o->letter);
        return;
    }
    (void)snprintf(to, WORD_BYTES, "%.*s", (int)strcspn(word, "="), word);
    if (cli_has_word(o->others, to + 1)) memmove(to, to + 1, strlen(to));
}

static error_t on_argp(int key, char *text, struct argp_state *state)
{
    parse_state *s = state->input;
    const cli_command *c = s->command;
    if (key == ARGP_KEY_ARG) return take_argument(s, state, text);
    if (key == ARGP_KEY_END) {
        if (c->argument && !c->argument_optional && s->n_arguments == 0)
            argp_error(state, "%s is missing", c->argument);
        return 0;
    }
    const slot *found = slot_of_key(s, key);
    if (!found) return ARGP_ERR_UNKNOWN;
    const cli_option *o = found->option;
    if (o->type == CLI_MODEL) return take_argument(s, state, text);
    if (o->type == CLI_HUB) return take_repository(s, state, text);
    char as[WORD_BYTES];
    typed_name(o, state, text, as);
    if (cli_store(o, as, s->args + found->group->base + o->field, text) != KVASIR_OK)
        argp_error(state, "%s", kvasir_message());
    return 0;
}

/* What --help prints around the options: the summary and the paragraphs before, the examples after (argp's
 * \v). */
static char *help_text(const cli_command *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    (void)fprintf(f, "%s.\n\n%s\vExamples:\n", c->summary, c->about);
    for (const cli_example *e = c->examples; e->command; e++) (void)fprintf(f, "\n  %s\n      %s", e->command, e->says);
    if (cli_takes_model(c)) (void)fputs("\n\nllama.cpp's names:\n\n", f);
    cli_llama_print_names(c, f);
    (void)fprintf(f, "\n\nExit status: 0 done, 1 failed while running, 2 wrong usage, 3 bad or unsupported model file, "
                     "4 does not fit in memory or in the context, 5 a check failed, 130 stopped by Ctrl-C.");
    (void)fclose(f);
    return text;
}

void cli_parse(const cli_command *c, int argc, char **argv, void *args)
{
    parse_state *s = mem_alloc(1, sizeof *s);
    char *doc = help_text(c), argument[64] = "";
    if (!s || !doc) exit(failed(fail_memory(sizeof *s)));
    s->command = c;
    s->args = args;
    if (c->defaults) c->defaults(args);
    cli_each_option(c, collect_option, s);
    argc = cli_rewrite(c, argc, argv, &words);
    if (c->argument)
        (void)snprintf(argument, sizeof argument, "%s%s%s%s", c->argument_optional ? "[" : "", c->argument,
                       c->argument_many ? "..." : "", c->argument_optional ? "]" : "");
    struct argp argp = {.options = s->options, .parser = on_argp, .args_doc = argument, .doc = doc};
    argp_err_exit_status = EXIT_USAGE;
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, s);
    if (error) exit(failed(fail(KVASIR_E_ARGUMENT, "%s", strerror(error))));
    free(doc);
    mem_free(s);
}

static void release_option(void *user, const cli_group *g, const cli_option *o)
{
    char *args = user;
    if (o->type == CLI_LIST) mem_free(((cli_list *)(void *)(args + g->base + o->field))->items);
}

void cli_release(const cli_command *c, void *args)
{
    cli_each_option(c, release_option, args);
    if (c->argument_many) mem_free(((cli_list *)(void *)((char *)args + c->argument_field))->items);
    arena_free(&words);
}
