/* /set: the options of sampling and of the answer, by their names on the command line. */
#include "cli/chat/chat.h"

#include <stdio.h>
#include <string.h>

/* What a setting is and where its value lies in run_args. */
typedef struct setting {
    const cli_option *option;
    size_t base;
} setting;

static const struct {
    const cli_option *options;
    size_t base;
} groups[] = {{reply_options, 0}, {sampling_options, offsetof(run_args, sampling)}};
enum { N_GROUPS = sizeof groups / sizeof *groups };

/* The i-th of all; its option is NULL behind the last. */
static setting setting_at(int i)
{
    for (int g = 0; g < N_GROUPS; g++)
        for (const cli_option *o = groups[g].options; o->name; o++)
            if (i-- == 0) return (setting){o, groups[g].base};
    return (setting){0};
}

const char *setting_name(int i)
{
    const cli_option *o = setting_at(i).option;
    return o ? o->name : NULL;
}

/* Is `name` (without dashes) the option's name, its letter, or one of its others? */
static int is_called(const cli_option *o, const char *name)
{
    const char *others = o->others;
    char word[64];
    if (strcmp(name, o->name) == 0 || (o->letter && name[0] == o->letter && !name[1])) return 1;
    while (cli_next_word(&others, word, sizeof word))
        if (strcmp(word + strspn(word, "-"), name) == 0) return 1;
    return 0;
}

/* Is it an option of the command line that is no setting? NULL: it is none. */
static const char *option_of_start(const char *name)
{
    static const cli_option *const tables[] = {kv_options, engine_options, output_options};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const cli_option *o = tables[t]; o->name; o++)
            if (is_called(o, name)) return o->name;
    return NULL;
}

static void *field_of(const chat_state *c, setting s)
{
    return (char *)c->args + s.base + s.option->field;
}

static void print_setting(const chat_state *c, setting s)
{
    const void *field = field_of(c, s);
    (void)fprintf(stderr, "%-19s ", s.option->name);
    switch (s.option->type) {
    case CLI_FLAG:
        (void)fprintf(stderr, "%s\n", *(const int *)field ? "on" : "off");
        return;
    case CLI_FLOAT:
        (void)fprintf(stderr, "%g\n", (double)*(const float *)field);
        return;
    case CLI_LONG:
        (void)fprintf(stderr, "%lld\n", (long long)*(const int64_t *)field);
        return;
    case CLI_LIST: {
        const cli_list *list = field;
        if (list->n == 0) (void)fputs("none", stderr);
        for (int i = 0; i < list->n; i++)
            (void)fprintf(stderr, "%s'%s'", i ? " " : "", quoted(list->items[i], strlen(list->items[i])));
        (void)fputc('\n', stderr);
        return;
    }
    case CLI_TEXT:
    case CLI_FILE: {
        const char *text = *(const char *const *)field;
        (void)fprintf(stderr, "%s\n", text ? quoted(text, strlen(text)) : "none");
        return;
    }
    default: /* numbers; the tables that can be set have nothing else */
        break;
    }
    (void)fprintf(stderr, "%d\n", *(const int *)field);
}

/* What the tables cannot check: would the next answer begin? */
static kvasir_status check(const chat_state *c)
{
    sampling_args trial = c->args->sampling;
    kvasir_sampler *sampler = NULL;
    TRY(check_reply_args(c->args));
    if (trial.seed < 0) trial.seed = 0; /* none is drawn for this */
    TRY(sampling_create(&trial, c->s->model, 0, &sampler));
    kvasir_sampler_free(sampler);
    return KVASIR_OK;
}

static kvasir_status store(chat_state *c, const cli_option *o, void *field, const char *text)
{
    int off = strcmp(text, "off") == 0;
    if (o->type == CLI_FLAG && !off && strcmp(text, "on") != 0)
        return fail(KVASIR_E_ARGUMENT, "--%s wants on or off, not '%s'", o->name, quoted(text, strlen(text)));
    if (o->type == CLI_FLAG) {
        *(int *)field = !off;
        return KVASIR_OK;
    }
    if (o->type == CLI_LIST && strcmp(text, "none") == 0) {
        ((cli_list *)field)->n = 0;
        return KVASIR_OK;
    }
    if (o->type == CLI_TEXT || o->type == CLI_LIST) { /* the option refers to it */
        text = arena_text(&c->words, text, strlen(text));
        if (!text) return fail_memory(0);
    }
    char as[64];
    (void)snprintf(as, sizeof as, "--%s", o->name);
    return cli_store(o, as, field, text);
}

static size_t field_bytes(const cli_option *o)
{
    return o->type == CLI_FLOAT                         ? sizeof(float)
           : o->type == CLI_LONG                        ? sizeof(int64_t)
           : o->type == CLI_TEXT || o->type == CLI_FILE ? sizeof(const char *)
           : o->type == CLI_LIST                        ? sizeof(cli_list)
                                                        : sizeof(int);
}

/* Sets a value, or leaves all as it was. */
static kvasir_status change(chat_state *c, setting s, const char *text)
{
    char *field = field_of(c, s), before[sizeof(cli_list)];
    memcpy(before, field, field_bytes(s.option));
    kvasir_status status = store(c, s.option, field, text);
    if (status == KVASIR_OK) status = check(c);
    if (status == KVASIR_OK) {
        if (s.option->type == CLI_LONG) c->turns = 0; /* the seed: the answers follow from it as in a new chat */
        return KVASIR_OK;
    }
    if (s.option->type == CLI_LIST) { /* its items may lie elsewhere by now */
        cli_list was;
        memcpy(&was, before, sizeof was);
        ((cli_list *)(void *)field)->n = was.n;
    } else {
        memcpy(field, before, field_bytes(s.option));
    }
    return status;
}

void cmd_set(chat_state *c, const char *rest)
{
    char name[64];
    size_t n = strcspn(rest, " \t");
    const char *value = rest + n + strspn(rest + n, " \t"), *start = rest + strspn(rest, "-");
    setting s = {0};
    if (!*rest) {
        for (int i = 0; (s = setting_at(i)).option; i++) print_setting(c, s);
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(n - (size_t)(start - rest)), start);
    for (int i = 0; (s = setting_at(i)).option && !is_called(s.option, name); i++) continue;
    if (!s.option) {
        const char *fixed = option_of_start(name);
        if (fixed) {
            (void)fprintf(stderr,
                          "%s cannot be changed in a chat: it needs a new start with --%s (/save and /load take the "
                          "conversation along)\n",
                          quoted(name, strlen(name)), fixed);
            return;
        }
        const char *meant = nearest_name(name, setting_name);
        (void)fprintf(stderr, "%s is no setting; %s%s%s\n", quoted(name, strlen(name)),
                      meant ? "did you mean " : "/set lists them", meant ? meant : "", meant ? "?" : "");
        return;
    }
    if (*value && change(c, s, value) != KVASIR_OK) {
        (void)failed(KVASIR_E_ARGUMENT);
        return;
    }
    print_setting(c, s);
    if (!*value) say("%s", s.option->help);
}
