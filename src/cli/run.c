/* kvasir run: a prompt in, text out; at a terminal without a prompt, a chat. */
#include "cli/session/generate.h"
#include "cli/files/config_file.h"
#include "base/mem.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIELD(name) offsetof(run_args, name)
static const cli_option prompt_options[] = {
    {"prompt", 'p', CLI_TEXT, NULL, "TEXT", FIELD(prompt), "The prompt; with -f it follows the file's text", 0, 0,
     NULL},
    {"file", 'f', CLI_FILE, "--binary-file -bf", "FILE", FIELD(file), "Read the prompt from a file; - is stdin", 0, 0,
     NULL},
    {"system", 0, CLI_TEXT, "--system-prompt -sys", "TEXT", FIELD(system), "System message of the chat template", 0, 0,
     NULL},
    {"system-file", 0, CLI_FILE, "--system-prompt-file -sysf", "FILE", FIELD(system_file),
     "Read the system message from a file", 0, 0, NULL},
    {"chat", 0, CLI_FLAG, "--conversation -cnv", NULL, FIELD(chat),
     "Chat, also when a prompt is given or stdin is no terminal", 0, 0, NULL},
    {"single-turn", 0, CLI_FLAG, "-st", NULL, FIELD(single), "Answer one prompt and end, whatever --chat says", 0, 0,
     NULL},
    {"raw", 0, CLI_FLAG, "--no-conversation -no-cnv", NULL, FIELD(raw),
     "Take the prompt as it is, without the chat template", 0, 0, NULL},
    {"template", 0, CLI_FILE, "--chat-template-file", "FILE", FIELD(template_file),
     "A chat template (Jinja) instead of the model's own", 0, 0, NULL},
    {"escape", 'e', CLI_FLAG, NULL, NULL, FIELD(escape),
     "Read \\n, \\t, \\r, \\\\, \\\", \\' and \\xHH in --prompt, --system and --stop as the characters that they stand "
     "for",
     0, 0, NULL},
    {"no-special", 0, CLI_FLAG, "--no-parse-special", NULL, FIELD(plain),
     "With --raw: control tokens written in the prompt are plain text", 0, 0, NULL},
    {0},
};
const cli_option reply_options[] = {
    {"predict", 'n', CLI_COUNT, "--n-predict", "N", FIELD(n_predict),
     "Generate at most N tokens, K and M allowed; -1: until the model ends (default)", -1, 1 << 27, NULL},
    {"stop", 0, CLI_LIST, "--reverse-prompt -r", "TEXT", FIELD(stop), "Stop before this text; may be repeated", 0, 0,
     NULL},
    {"draft", 0, CLI_TEXT, NULL, "HOW", FIELD(draft),
     "Propose tokens and check several in one step: none (default), or lookup, which repeats what followed the last "
     "words earlier in the text; the answer is the same, only faster where much is repeated",
     0, 0, "none lookup"},
    {"special", 0, CLI_FLAG, "-sp", NULL, FIELD(special), "Show control tokens in the text", 0, 0, NULL},
    {"ignore-eos", 0, CLI_FLAG, NULL, NULL, FIELD(ignore_end), "Go on after the model's end of text", 0, 0, NULL},
    {0},
};
static const cli_group run_groups[] = {
    {"Prompt", prompt_options, 0},
    {"Answer", reply_options, 0},
    {"Sampling", sampling_options, FIELD(sampling)},
    {"KV cache", kv_options, FIELD(engine)},
    {"Engine", engine_options, FIELD(engine)},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example run_examples[] = {
    {"kvasir run model.gguf", "Chat at the terminal; /help lists what can be typed."},
    {"kvasir run model.gguf -p 'Why is the sky blue?' -n 200", "One answer of at most 200 tokens."},
    {"kvasir run model.gguf -f book.txt -p 'Who did it?' -c 128K", "A question about a long text."},
    {"kvasir run model.gguf -f main.c -p 'Rename x to count.' --draft lookup",
     "An answer that repeats much of the prompt comes faster."},
    {"kvasir run model.gguf --raw --temp 0 -p 'Once upon a time' --json",
     "Plain continuation, always the best token, as JSON."},
    {0},
};

static void run_defaults(void *args)
{
    run_args *a = args;
    sampling_defaults(&a->sampling);
    a->n_predict = -1;
}

/* The prompt's text from -f, -p or stdin. */
static kvasir_status read_prompt(const run_args *a, char **text, size_t *n)
{
    char *file = NULL;
    size_t n_file = 0, n_prompt = a->prompt ? strlen(a->prompt) : 0;
    if (a->file || !a->prompt) TRY(read_text(a->file ? a->file : "-", &file, &n_file));
    if (!a->prompt) {
        *text = file;
        *n = n_file;
        return KVASIR_OK;
    }
    char *both = malloc(n_file + n_prompt + 3);
    if (!both) {
        free(file);
        return fail_memory(n_file + n_prompt + 3);
    }
    size_t gap = 0;
    if (file) {
        memcpy(both, file, n_file);
        both[n_file] = both[n_file + 1] = '\n';
        gap = 2;
    }
    memcpy(both + n_file + gap, a->prompt, n_prompt + 1);
    free(file);
    *text = both;
    *n = n_file + gap + n_prompt;
    return KVASIR_OK;
}

static kvasir_status prompt_ids(const session *s, const run_args *a, const char *template_text, const char *system_text,
                                const char *text, size_t n, int32_t **ids, size_t *n_ids)
{
    if (a->raw || !(template_text || s->info->chat_template)) {
        TRY(kvasir_tokenize(s->model, text, n, 1, !a->plain, ids, n_ids));
        if (s->info->adds_eos && *n_ids && (*ids)[*n_ids - 1] == s->info->eos) --*n_ids; /* the text is to go on */
        note_double_bos(s->info, *ids, *n_ids);
        return KVASIR_OK;
    }
    json_t *messages = json_array();
    kvasir_status status = system_text ? add_message(messages, "system", system_text, strlen(system_text)) : KVASIR_OK;
    if (status == KVASIR_OK) status = add_message(messages, "user", text, n);
    if (status == KVASIR_OK) status = conversation_ids(s->model, template_text, messages, 1, ids, n_ids);
    json_decref(messages);
    return status;
}

static json_t *run_document(const session *s, const run_args *a, const kvasir_seq *seq, const reply *r)
{
    const kvasir_stats *t = &r->stats;
    int timed = t->generated_tokens - 1;
    json_t *d = json_document("run");
    (void)json_object_set_new(d, "model", json_text_or_null(s->path));
    (void)json_object_set_new(d, "text", json_text(r->text, r->n));
    (void)json_object_set_new(d, "ids", json_ids(r->ids, (size_t)r->n_ids));
    (void)json_object_set_new(d, "prompt_tokens", json_integer(t->prompt_tokens));
    (void)json_object_set_new(d, "generated_tokens", json_integer(t->generated_tokens));
    (void)json_object_set_new(d, "drafted", json_integer(t->drafted));
    (void)json_object_set_new(d, "accepted", json_integer(t->accepted));
    (void)json_object_set_new(d, "stop_reason", json_string(stop_name(t->stop)));
    (void)json_object_set_new(d, "depth", json_integer(t->depth));
    (void)json_object_set_new(d, "ctx", json_integer(kvasir_seq_ctx(seq)));
    (void)json_object_set_new(d, "seed", json_integer(a->sampling.seed));
    json_t *timings = json_object();
    (void)json_object_set_new(timings, "load_ms", json_number(1000 * s->load_s));
    (void)json_object_set_new(timings, "prefill_ms", json_number(1000 * t->prefill_s));
    (void)json_object_set_new(timings, "prefill_tps", json_number(tokens_per_second(t->prompt_tokens, t->prefill_s)));
    (void)json_object_set_new(timings, "ttft_ms", json_number(1000 * t->ttft_s));
    (void)json_object_set_new(timings, "decode_ms_per_token",
                              json_number(timed > 0 ? 1000 * t->decode_s / timed : NAN));
    (void)json_object_set_new(timings, "decode_tps",
                              json_number(timed > 0 ? tokens_per_second(timed, t->decode_s) : NAN));
    (void)json_object_set_new(d, "timings", timings);
    (void)json_object_set_new(d, "kv", json_kv(s->engine, seq));
    (void)json_object_set_new(d, "memory", json_memory(s->engine));
    return d;
}

/* One prompt, one answer. */
static int answer(session *s, run_args *a, const int32_t *ids, size_t n_ids)
{
    kvasir_seq *seq = NULL;
    int code = session_sequence(s, NULL, &seq);
    if (code != EXIT_DONE) return code;
    reply r;
    kvasir_status status = generate(s, seq, a, ids, n_ids, 0, !a->output.json, &r);
    int partial = status == KVASIR_E_CANCELLED && r.stats.generated_tokens > 0;
    if (status == KVASIR_OK || partial) {
        if (a->output.json) {
            code = print_json(run_document(s, a, seq, &r));
        } else {
            if (r.n == 0 || r.text[r.n - 1] != '\n') (void)putchar('\n');
            code = finish_output(EXIT_DONE);
            print_summary(s, &r.stats);
        }
    }
    if (status != KVASIR_OK && code == EXIT_DONE) code = failed(status);
    reply_free(&r);
    kvasir_seq_free(seq);
    return code;
}

/* In place, since the text gets no longer. What is no escape stays as it is. */
static void read_escapes(char *text)
{
    static const char letters[] = "ntr\\\"'", meant[] = "\n\t\r\\\"'";
    char *to = text;
    for (const char *s = text; *s; s++) {
        const char *letter = *s == '\\' && s[1] ? strchr(letters, s[1]) : NULL;
        char hex[3] = "", *end = hex;
        if (*s == '\\' && s[1] == 'x' && isxdigit((unsigned char)s[2]) && isxdigit((unsigned char)s[3]))
            (void)snprintf(hex, sizeof hex, "%.2s", s + 2);
        long code = strtol(hex, &end, 16);
        if (code > 0) { /* a NUL would end the text */
            *to++ = (char)code;
            s += 3;
        } else if (letter) {
            *to++ = meant[letter - letters];
            s++;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* --escape; the texts are in argv, which is ours. */
static void apply_escapes(const run_args *a)
{
    if (!a->escape) return;
    if (a->prompt) read_escapes((char *)(uintptr_t)a->prompt);
    if (a->system) read_escapes((char *)(uintptr_t)a->system);
    for (int i = 0; i < a->stop.n; i++) read_escapes((char *)(uintptr_t)a->stop.items[i]);
}

/* What cannot be meant. */
static int check_args(const run_args *a, int wants_chat)
{
    if (check_reply_args(a) != KVASIR_OK) return failed(KVASIR_E_ARGUMENT);
    if (a->system && a->system_file) return usage_error("--system and --system-file exclude each other");
    if (a->chat && a->output.json)
        return usage_error(
            "--json gives one answer as a document, and --chat is a conversation: leave one of them out");
    if (wants_chat && a->output.json) return usage_error("--json needs a prompt: -p TEXT, -f FILE or stdin");
    if (a->chat && a->raw) return usage_error("--chat needs the chat template that --raw leaves out");
    if (a->raw && (a->system || a->system_file || a->template_file))
        return usage_error(
            "--raw leaves out the chat template, so there is no place for a system message or a template");
    return EXIT_DONE;
}

/* The texts that the arguments name, read before the model is: a wrong path is said at once. */
typedef struct run_texts {
    char *template, *system, *prompt;
    size_t n_prompt;
} run_texts;

static kvasir_status read_texts(const run_args *a, int wants_chat, run_texts *t)
{
    size_t n = 0;
    if (a->template_file) TRY(read_text(a->template_file, &t->template, &n));
    if (a->system_file) TRY(read_text(a->system_file, &t->system, &n));
    if (!wants_chat || a->prompt || a->file) TRY(read_prompt(a, &t->prompt, &t->n_prompt));
    return KVASIR_OK;
}

/* Says which template it was. */
static int failed_template(const run_args *a, kvasir_status status)
{
    if (status != KVASIR_E_TEMPLATE) return failed(status);
    note("%s: %s", a->template_file ? a->template_file : "the model's chat template", kvasir_message());
    return EXIT_FAILED;
}

/* Whatever can be wrong with the template is said before the weights are read: there is none, it cannot be parsed, or it
   does not take this conversation. */
static int check_template(const session *s, const run_args *a, int wants_chat, const run_texts *t,
                          const char *system_text)
{
    if (!t->template && !s->info->chat_template && (wants_chat || system_text))
        return usage_error("%s has no chat template; give one with --template FILE, or a prompt with --raw -p TEXT",
                           s->path);
    if (!wants_chat) return EXIT_DONE; /* the prompt itself is rendered */
    int32_t *ids = NULL;
    size_t n_ids = 0;
    json_t *messages = json_array();
    kvasir_status status = system_text ? add_message(messages, "system", system_text, strlen(system_text)) : KVASIR_OK;
    if (status == KVASIR_OK) status = add_message(messages, "user", "Hello", 5);
    if (status == KVASIR_OK) status = conversation_ids(s->model, t->template, messages, 1, &ids, &n_ids);
    json_decref(messages);
    kvasir_free(ids);
    return status == KVASIR_OK ? EXIT_DONE : failed_template(a, status);
}

static int run_session(session *s, run_args *a, int wants_chat, const run_texts *t)
{
    const char *system_text = t->system ? t->system : a->system;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    if (!wants_chat && !a->prompt && !a->file && t->n_prompt == 0) /* a template would make a prompt of nothing */
        return usage_error("stdin is empty, and so is the prompt; give one with -p TEXT or -f FILE");
    int code = check_template(s, a, wants_chat, t, system_text);
    if (code == EXIT_DONE && !wants_chat) {
        kvasir_status status = prompt_ids(s, a, t->template, system_text, t->prompt, t->n_prompt, &ids, &n_ids);
        code = status != KVASIR_OK ? failed_template(a, status)
               : n_ids == 0        ? usage_error("the prompt is empty; give one with -p TEXT, -f FILE or on stdin")
                                   : EXIT_DONE;
    }
    if (code == EXIT_DONE) sampling_complete(&a->sampling, s->model);
    if (code == EXIT_DONE) code = session_load(&a->engine, 0, s);
    if (code == EXIT_DONE)
        code = wants_chat ? chat(s, a, t->template, system_text, t->prompt) : answer(s, a, ids, n_ids);
    kvasir_free(ids);
    return code;
}

static int run_main(void *args)
{
    run_args *a = args;
    if (a->single) a->chat = 0;
    int wants_chat = a->chat || (!a->single && !a->prompt && !a->file && isatty(STDIN_FILENO));
    int code = check_args(a, wants_chat);
    if (code == EXIT_DONE) code = config_apply(a->model, &a->engine, &a->engine.kv, &a->draft);
    if (code != EXIT_DONE) return code;
    run_texts texts = {0};
    session s = {0};
    catch_interrupts();
    apply_escapes(a);
    kvasir_status status = read_texts(a, wants_chat, &texts);
    if (status == KVASIR_OK) {
        code = session_open_model(a->model, &a->engine, &a->output, &s);
        if (code == EXIT_DONE) code = run_session(&s, a, wants_chat, &texts);
    } else {
        code = failed(status);
    }
    session_close(&s);
    free(texts.template);
    free(texts.system);
    free(texts.prompt);
    return code;
}

const cli_command run_command = {
    .name = "run",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Generate text or chat",
    .about = "Reads a prompt (-p, -f or stdin), puts it into the model's chat template unless --raw is "
             "given, and writes the "
             "answer to stdout as it comes. At a terminal without a prompt it is a chat.\n\n"
             "A prompt that does not fit the context is refused with both numbers (exit status 4); nothing "
             "is ever cut.",
    .examples = run_examples,
    .groups = run_groups,
    .size = sizeof(run_args),
    .defaults = run_defaults,
    .run = run_main,
};
