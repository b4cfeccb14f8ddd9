/* Which fields of a request are done, which are refused, and which have no effect. */
#include "server/openai/read.h"
#include "server/request/fields.h"

#include <stdio.h>
#include <string.h>

/* Read by read.c, request.c and the prompt. */
static const char *const done[] = {"model",
                                   "stream",
                                   "stream_options",
                                   "max_tokens",
                                   "max_completion_tokens",
                                   "n_predict",
                                   "min_tokens",
                                   "ignore_eos",
                                   "stop",
                                   "temperature",
                                   "top_p",
                                   "top_k",
                                   "min_p",
                                   "typical_p",
                                   "seed",
                                   "repeat_penalty",
                                   "repetition_penalty",
                                   "repeat_last_n",
                                   "frequency_penalty",
                                   "presence_penalty",
                                   "logit_bias",
                                   "dry_multiplier",
                                   "dry_base",
                                   "dry_allowed_length",
                                   "dry_penalty_last_n",
                                   "xtc_probability",
                                   "xtc_threshold",
                                   "add_special_tokens",
                                   "skip_special_tokens",
                                   NULL};
static const char *const done_chat[] = {"messages",
                                        "chat_template_kwargs",
                                        "add_generation_prompt",
                                        "continue_final_message",
                                        "reasoning_effort",
                                        "verbosity",
                                        "documents",
                                        NULL};
static const char *const done_plain[] = {"prompt", NULL};

/* Values that ask for nothing. */
enum { IS_FALSE = 1, IS_TRUE = 2, IS_ZERO = 4, IS_ONE = 8, IS_BELOW_ZERO = 16, IS_EMPTY = 32, IS_NONE_OR_AUTO = 64 };

/* What would change the answer and is not done. An answer that looks as if it had been would mislead. */
typedef struct refused_field {
    const char *name;
    int neutral;
    const char *instead; /* NULL: leave it out */
} refused_field;

static const char no_rules[] = "leave it out, and check the answer's form yourself",
                  no_logprobs[] = "leave it out; `kvasir eval --logits` gives a text's logits",
                  use_kwargs[] = "say it in chat_template_kwargs", as_many[] = "ask as often as you want answers",
                  use_template[] = "start the server with --template FILE", use_stop[] = "say the tokens' text in stop",
                  use_bias[] = "use logit_bias", say_prompt[] = "put it into the prompt",
                  no_tools[] = "leave it out, and describe tools in a message";

static const refused_field refused[] = {
    {"tools", IS_EMPTY, no_tools},
    {"functions", IS_EMPTY, no_tools},
    {"tool_choice", IS_NONE_OR_AUTO, no_tools},
    {"function_call", IS_NONE_OR_AUTO, no_tools},
    {"logprobs", IS_FALSE, no_logprobs},
    {"top_logprobs", IS_ZERO, no_logprobs},
    {"prompt_logprobs", 0, no_logprobs},
    {"n_probs", IS_ZERO, no_logprobs},
    {"n", IS_ONE, as_many},
    {"best_of", IS_ONE, as_many},
    {"echo", IS_FALSE, NULL},
    {"suffix", IS_EMPTY, say_prompt},
    {"audio", 0, NULL},
    {"web_search_options", 0, NULL},
    {"grammar", IS_EMPTY, no_rules},
    {"json_schema", 0, no_rules},
    {"structured_outputs", 0, no_rules},
    {"structural_tag", 0, no_rules},
    {"regex", IS_EMPTY, no_rules},
    {"ebnf", IS_EMPTY, no_rules},
    {"format", IS_EMPTY, no_rules},
    {"chat_template", 0, use_template},
    {"enable_thinking", 0, use_kwargs},
    {"thinking_token_budget", IS_BELOW_ZERO, NULL},
    {"thinking_budget_tokens", IS_BELOW_ZERO, NULL},
    {"reasoning_budget", IS_BELOW_ZERO, NULL},
    {"stop_token_ids", IS_EMPTY, use_stop},
    {"stop_regex", IS_EMPTY, "use stop"},
    {"include_stop_str_in_output", IS_FALSE, NULL},
    {"allowed_token_ids", 0, use_bias},
    {"bad_words", IS_EMPTY, use_bias},
    {"logits_processors", IS_EMPTY, use_bias},
    {"use_beam_search", IS_FALSE, NULL},
    {"truncate_prompt_tokens", 0, "cut the prompt yourself"},
    {"mirostat", IS_ZERO, "use top_p or min_p"},
    {"top_n_sigma", IS_ZERO | IS_BELOW_ZERO, "use top_p or min_p"},
    {"dynatemp_range", IS_ZERO, "use temperature"},
    {"min_keep", IS_ZERO, NULL},
    {"samplers", IS_EMPTY, "the order is fixed"},
    {"t_max_predict_ms", IS_ZERO | IS_BELOW_ZERO, "use max_tokens"},
    {"lora", IS_EMPTY, NULL},
    {"image_data", IS_EMPTY, "a message is text alone"},
};

static int is_neutral(const json_t *value, int neutral)
{
    double x = json_number_value(value);
    if (json_is_boolean(value)) return neutral & (json_is_true(value) ? IS_TRUE : IS_FALSE);
    if (json_is_number(value)) return neutral & (x == 0 ? IS_ZERO : x == 1 ? IS_ONE : x < 0 ? IS_BELOW_ZERO : 0);
    if (is_text(value, "none") || is_text(value, "auto")) return neutral & IS_NONE_OR_AUTO;
    int is_empty =
        json_is_string(value) ? json_string_length(value) == 0 : json_array_size(value) + json_object_size(value) == 0;
    return is_empty ? neutral & IS_EMPTY : 0;
}

int refuse_unsupported(http_error *e, const char *param, const char *instead)
{
    return http_refuse(e, 400, "unsupported", param, "%s is not supported by this version; %s", param,
                       instead ? instead : "leave it out");
}

static const refused_field *find_refused(const char *name)
{
    static const refused_field guided = {"guided_", 0, no_rules};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcmp(name, refused[i].name) == 0) return &refused[i];
    return strncmp(name, guided.name, strlen(guided.name)) == 0 ? &guided : NULL;
}

/* Two fields with values that have parts. 0, or the status; *known: the field is one of them. */
static int check_formats(const char *name, const json_t *value, int *known, http_error *e)
{
    const json_t *one;
    size_t i;
    *known = 1;
    if (strcmp(name, "response_format") == 0)
        return is_text(json_object_get(value, "type"), "text") ? 0 : refuse_unsupported(e, name, no_rules);
    *known = strcmp(name, "modalities") == 0;
    if (!*known) return 0;
    if (!json_is_array(value)) return refuse_value(e, name, "an array");
    json_array_foreach(value, i, one)
    {
        if (!is_text(one, "text")) return refuse_unsupported(e, name, "an answer is text alone");
    }
    return 0;
}

static int is_in(const char *const *list, const char *name)
{
    while (*list && strcmp(*list, name) != 0) list++;
    return *list != NULL;
}

/* Without effect in either way: the value says that this is wanted. */
static int asks_for_nothing(const char *name, const json_t *value)
{
    static const char *const unless_true[] = {
        "store", "return_token_ids", "return_tokens", "timings_per_token", "post_sampling_probs", "parse_tool_calls",
        NULL};
    if (strcmp(name, "cache_prompt") == 0) return json_is_true(value);
    return json_is_false(value) && is_in(unless_true, name);
}

int check_supported(const json_t *d, request *q, http_error *e)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)d, name, value)
    {
        int known = 0, status;
        if (json_is_null(value) || is_in(done, name) || is_in(q->chat ? done_chat : done_plain, name)) continue;
        status = check_formats(name, value, &known, e);
        if (status) return status;
        const refused_field *f = find_refused(name);
        if (f && f->neutral == IS_ONE && !(json_is_integer(value) && json_integer_value(value) > 0))
            return refuse_value(e, name, "a whole number, 1 or more");
        if (f && !is_neutral(value, f->neutral)) return refuse_unsupported(e, name, f->instead);
        if (!known && !f && !asks_for_nothing(name, value)) ignore_field(q->ignored, NULL, name);
    }
    return 0;
}
