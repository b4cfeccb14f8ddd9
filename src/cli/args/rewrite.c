/* Command lines before they are parsed. getopt reads -ctk as -c tk and takes beginnings of long names, which other options
   may come to share: here every option has to be there by one of its names, and what is not is said with what may have been
   meant. */
#include "cli/args/near.h"
#include "cli/args/options.h"
#include "cli/common/common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96 };

/* ---- the option of a name ----------------------------------------------------------------------------- */

/* What a walk over options looks for. */
typedef struct search {
    const char *word; /* with its dashes */
    char letter;      /* or this, where it is not 0 */
    const cli_option *found;
    near_word *near; /* or what may have been meant; NULL: not asked for */
} search;

static void look_at(void *user, const cli_group *g, const cli_option *o)
{
    search *s = user;
    char name[NAME_BYTES];
    (void)g;
    if (s->found) return;
    if (s->letter) {
        if (o->letter == s->letter) s->found = o;
        return;
    }
    (void)snprintf(name, sizeof name, "--%s", o->name);
    if (s->near) near_try(s->near, name);
    if (strcmp(s->word, name) == 0) s->found = o;
    for (const char *others = o->others; others && cli_next_word(&others, name, sizeof name);) {
        if (s->near) near_try(s->near, name);
        if (strcmp(s->word, name) == 0) s->found = o;
    }
}

static void look_at_table(search *s, const cli_option *table)
{
    for (const cli_option *o = table; o->name; o++) look_at(s, NULL, o);
}

/* A command's own options, the hidden ones last, and then those of llama.cpp. */
static const cli_option *find(const cli_command *c, search s)
{
    cli_each_option(c, look_at, &s);
    for (const cli_group *g = c->groups; g->options; g++)
        if (!g->title) look_at_table(&s, g->options);
    if (cli_takes_model(c) && !s.letter) look_at_table(&s, cli_llama_options);
    return s.found;
}

static const cli_option *find_name(const cli_command *c, const char *word)
{
    return find(c, (search){.word = word});
}

/* ---- what is not there -------------------------------------------------------------------------------- */

/* Ends the process with a sentence about a command's option. */
static void __attribute__((noreturn, format(printf, 3, 4)))
refuse(const cli_command *c, int show_help, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "kvasir %s: ", c->name);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    if (show_help) (void)fprintf(stderr, "kvasir %s --help lists the options.\n", c->name);
    exit(EXIT_USAGE);
}

/* The commands that have the option, "run, plan"; 0: none has. */
static int who_has(const char *word, char *to, size_t n)
{
    size_t used = 0;
    to[0] = '\0';
    for (int i = 0; cli_commands[i]; i++) {
        search s = {.word = word, .letter = word[1] != '-' && !word[2] ? word[1] : '\0'};
        cli_each_option(cli_commands[i], look_at, &s);
        if (s.found && used < n)
            used += (size_t)snprintf(to + used, n - used, "%s%s", used ? ", " : "", cli_commands[i]->name);
    }
    return used > 0;
}

static void __attribute__((noreturn)) not_there(const cli_command *c, const char *word)
{
    char who[256], twice[NAME_BYTES];
    const char *shown = quoted(word, strlen(word));
    near_word near = near_begin(word);
    (void)snprintf(twice, sizeof twice, "-%s", word);
    if (word[1] != '-' && word[2] && find_name(c, twice))
        refuse(c, 1, "there is no option %s; did you mean %s?", shown, twice);
    if (!c->argument && (strcmp(word, "-m") == 0 || strcmp(word, "--model") == 0))
        refuse(c, 1, "there is no option %s: it takes no model", shown);
    if (who_has(word, who, sizeof who))
        refuse(c, 1, "there is no option %s here; these commands have it: %s", shown, who);
    cli_each_option(c, look_at, &(search){.word = word, .near = &near});
    if (word[1] && word[2] && near.best[0]) refuse(c, 1, "there is no option %s; did you mean %s?", shown, near.best);
    refuse(c, 1, "there is no option %s", shown);
}

/* Is it a name like -ctk that another command or llama.cpp has? Then it is not -c with tk behind it. */
static int is_dash_name(const char *word)
{
    search s = {.word = word};
    for (int i = 0; cli_commands[i] && !s.found; i++) cli_each_option(cli_commands[i], look_at, &s);
    if (!s.found) look_at_table(&s, cli_llama_options);
    return s.found != NULL;
}

/* ---- rewriting ---------------------------------------------------------------------------------------- */

typedef struct rewriting {
    const cli_command *command;
    int argc, at, n; /* the word that is read, and how many are kept */
    char **argv;
    arena *kept;
} rewriting;

static void keep(rewriting *r, char *word)
{
    r->argv[r->n++] = word;
}

static void keep_next(rewriting *r)
{
    if (r->at + 1 < r->argc) keep(r, r->argv[++r->at]);
}

/* Letters behind one dash; the last one may have its argument in the same word or in the next. */
static void take_letters(rewriting *r, char *word)
{
    char one[3] = "-", twice[NAME_BYTES];
    (void)snprintf(twice, sizeof twice, "-%s", word);
    if (word[2] && (is_dash_name(word) || find_name(r->command, twice))) not_there(r->command, word);
    keep(r, word);
    for (const char *s = word + 1; *s; s++) {
        const cli_option *o = find(r->command, (search){.letter = *s});
        one[1] = *s;
        if (!o) not_there(r->command, s == word + 1 && word[2] ? word : one);
        if (!o->value) continue;
        if (!s[1]) keep_next(r);
        return;
    }
}

/* An option without effect here, or with one that is not to be had, and its argument (`value` where it stands behind =). */
static void drop(rewriting *r, const cli_option *o, const char *name, const char *value)
{
    const char *next = r->at + 1 < r->argc ? r->argv[r->at + 1] : NULL;
    int takes_next = !value && o->value && next && (o->type != CLI_MAYBE || cli_has_word(o->values, next));
    if (takes_next) value = next;
    if (o->type == CLI_REFUSED && !(value && cli_has_word(o->values, value)))
        refuse(r->command, 0, "%s: %s", name, o->help);
    if (o->type == CLI_NOTHING && o->value && !value) refuse(r->command, 1, "%s wants an argument", name);
    if (takes_next) r->at++;
    if (o->type != CLI_REFUSED) note("%s: %s", name, o->help);
}

/* The option of a word like -fa=on or -ngl99: the longest name with one dash behind which an equals sign or a number stands,
   and which is no letter of the command's own. *value is what stands behind it. */
static const cli_option *find_with_value(const rewriting *r, char *word, char name[NAME_BYTES], char **value)
{
    for (size_t n = strlen(word) < NAME_BYTES ? strlen(word) - 1 : NAME_BYTES - 1; n > 1; n--) {
        if (word[n] != '=' && !(word[n] >= '0' && word[n] <= '9')) continue;
        if (n == 2 && find(r->command, (search){.letter = word[1]})) return NULL;
        (void)snprintf(name, NAME_BYTES, "%.*s", (int)n, word);
        const cli_option *o = find_name(r->command, name);
        if (!o) continue;
        *value = word + n + (word[n] == '=');
        return o;
    }
    return NULL;
}

static void __attribute__((noreturn)) print_version(void)
{
    (void)printf("kvasir %s\n", kvasir_version());
    exit(finish_output(EXIT_DONE));
}

static void take_option(rewriting *r, char *word)
{
    const int dashes = word[1] == '-' ? 2 : 1;
    char name[NAME_BYTES], *equals = dashes == 2 ? strchr(word, '=') : NULL, *value = equals ? equals + 1 : NULL;
    (void)snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - word) : (int)strlen(word), word);
    const cli_option *o = find_name(r->command, name);
    if (!o && strcmp(word, "--version") == 0) print_version();
    if (!o && dashes == 1) o = find_with_value(r, word, name, &value);
    if (!o && dashes == 1) {
        take_letters(r, word);
        return;
    }
    if (!o) not_there(r->command, name);
    if (o->type == CLI_NOTHING || o->type == CLI_MAYBE || o->type == CLI_REFUSED) {
        drop(r, o, name, value);
        return;
    }
    if (value && !o->value) refuse(r->command, 1, "%s takes no argument", name);
    size_t room = strlen(name) + 3 + (value ? strlen(value) : 0);
    char *kept = arena_alloc(r->kept, room, 1);
    if (!kept) exit(failed(fail_memory(room)));
    (void)snprintf(kept, room, "%s%s%s%s", dashes == 1 ? "-" : "", name, value ? "=" : "", value ? value : "");
    keep(r, kept);
    if (o->value && !value) keep_next(r);
}

int cli_rewrite(const cli_command *c, int argc, char **argv, arena *kept)
{
    static char help[] = "--help"; /* argp has no -h; people type it all the same */
    rewriting r = {.command = c, .argc = argc, .at = 1, .n = 1, .argv = argv, .kept = kept};
    for (; r.at < argc; r.at++) {
        char *word = argv[r.at];
        if (strcmp(word, "--") == 0) break;
        if (word[0] != '-' || !word[1] || strcmp(word, "--usage") == 0 || strcmp(word, "-?") == 0)
            keep(&r, word);
        else if (strcmp(word, "-h") == 0 || strcmp(word, help) == 0)
            keep(&r, help);
        else
            take_option(&r, word);
    }
    for (; r.at < argc; r.at++) keep(&r, argv[r.at]);
    argv[r.n] = NULL; /* n is argc at most */
    return r.n;
}
