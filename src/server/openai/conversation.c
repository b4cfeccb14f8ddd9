/* A conversation and what a request says to its template, to the prompt's text. */
#include "server/openai/conversation.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <string.h>

/* Stands behind the last message where the answer goes on with it, and in the prompt where it is then cut off. */
static const char cut_mark[] = "Kvscutq";

int refuse_status(http_error *e, kvasir_status status, const char *param)
{
    switch (status) {
    case KVASIR_E_ARGUMENT:
    case KVASIR_E_FORMAT:
    case KVASIR_E_TEMPLATE:
        return http_refuse(e, 400, "invalid_value", param, "%s", kvasir_message());
    case KVASIR_E_MEMORY:
        return http_refuse_memory(e);
    default:
        return http_refuse(e, 500, "internal", NULL, "%s", kvasir_message());
    }
}

/* ---- variables ----------------------------------------------------------------------------------------- */

static int put(json_t *variables, const char *name, json_t *value, http_error *e)
{
    return json_object_set(variables, name, value) == 0 ? 0 : http_refuse_memory(e);
}

static int uses(const request_rules *r, const char *name, int *to, http_error *e)
{
    kvasir_status status = kvasir_template_uses(r->model, r->template_text, name, to);
    return status == KVASIR_OK ? 0 : refuse_status(e, status, "messages");
}

/* chat_template_kwargs: what the template does not read would have no effect, so it is refused. */
static int put_variables(const request_rules *r, const json_t *body, json_t *variables, http_error *e)
{
    static const char *const own[] = {"messages", "add_generation_prompt", "continue_final_message"};
    const json_t *given = field(body, "chat_template_kwargs");
    const char *name;
    json_t *value;
    if (given && !json_is_object(given)) return refuse_value(e, "chat_template_kwargs", "an object");
    json_object_foreach((json_t *)given, name, value)
    {
        int used = 0, status = uses(r, name, &used, e);
        if (status) return status;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            if (strcmp(name, own[i]) == 0)
                return http_refuse(e, 400, "invalid_value", "chat_template_kwargs",
                                   "%s is a field of the request: say it there, not in chat_template_kwargs", name);
        if (!used)
            return http_refuse(e, 400, "unsupported", "chat_template_kwargs",
                               "the model's chat template has no variable '%s', so it would have no effect: leave it "
                               "out",
                               quoted(name, strlen(name)));
        status = put(variables, name, value, e);
        if (status) return status;
    }
    return 0;
}

/* Fields of the request that are variables of some templates. */
static int put_fields(const request_rules *r, const json_t *body, json_t *variables, char *ignored, http_error *e)
{
    static const char *const hints[] = {"reasoning_effort", "verbosity"};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        const json_t *value = field(body, hints[i]);
        int used = 0, status = value ? uses(r, hints[i], &used, e) : 0;
        if (!status && used && !json_object_get(variables, hints[i]))
            status = put(variables, hints[i], (json_t *)value, e);
        if (status) return status;
        if (value && !used) ignore_field(ignored, NULL, hints[i]);
    }
    const json_t *documents = field(body, "documents");
    int used = 0, status = documents ? uses(r, "documents", &used, e) : 0;
    if (status || !documents) return status;
    if (used) return put(variables, "documents", (json_t *)documents, e);
    return http_refuse(e, 400, "unsupported", "documents",
                       "the model's chat template has no place for documents: put them into a message");
}

/* ---- the last message ---------------------------------------------------------------------------------- */

/* Puts the mark behind the last message. */
static int mark_end(json_t *variables, http_error *e)
{
    json_t *messages = json_object_get(variables, "messages");
    json_t *last = json_array_get(messages, json_array_size(messages) - 1), *content = json_object_get(last, "content");
    if (json_object_get(last, "tool_calls"))
        return refuse_value(e, "continue_final_message", "false where the last message calls tools");
    size_t n = json_string_length(content), k = sizeof cut_mark - 1;
    char *text = mem_alloc(n + k, 1);
    if (!text) return http_refuse_memory(e);
    memcpy(text, json_string_value(content), n);
    memcpy(text + n, cut_mark, k);
    int ok = json_object_set_new(last, "content", json_stringn_nocheck(text, n + k)) == 0;
    mem_free(text);
    return ok ? 0 : http_refuse_memory(e);
}

static int cut_at_end(char *text, size_t *n, http_error *e)
{
    size_t k = sizeof cut_mark - 1;
    for (size_t at = *n; at >= k; at--) {
        if (memcmp(text + at - k, cut_mark, k) != 0) continue;
        *n = at - k;
        text[*n] = 0;
        return 0;
    }
    return http_refuse(e, 400, "unsupported", "continue_final_message",
                       "the model's chat template does not show where the last message ends: leave "
                       "continue_final_message out");
}

/* ---- the prompt ---------------------------------------------------------------------------------------- */

static int fill(const request_rules *r, const json_t *body, json_t *variables, int *goes_on, char *ignored,
                http_error *e)
{
    int begins = -1, status = request_flag(body, "continue_final_message", goes_on, e);
    if (!status) status = request_flag(body, "add_generation_prompt", &begins, e);
    if (!status && *goes_on && begins == 1)
        status =
            refuse_value(e, "continue_final_message",
                         "false where add_generation_prompt is true: an answer goes on with a message or begins one");
    if (begins < 0) begins = !*goes_on;
    if (!status) status = put_variables(r, body, variables, e);
    if (!status) status = put_fields(r, body, variables, ignored, e);
    if (!status && json_object_set_new(variables, "add_generation_prompt", json_boolean(begins)) != 0)
        status = http_refuse_memory(e);
    return status;
}

int chat_text(const request_rules *r, const json_t *body, char **text, size_t *n, char *ignored, http_error *e)
{
    json_t *messages = read_messages(body, e), *variables = messages ? json_pack("{s:o}", "messages", messages) : NULL;
    int goes_on = 0;
    *text = NULL;
    if (!variables) return e->status ? e->status : http_refuse_memory(e);
    int status = fill(r, body, variables, &goes_on, ignored, e);
    if (!status) status = fit_messages(r, variables, body, ignored, e);
    if (!status && goes_on) status = mark_end(variables, e);
    kvasir_status rendered = status ? KVASIR_OK : render_variables(r, variables, text, n);
    json_decref(variables);
    if (rendered != KVASIR_OK) return refuse_status(e, rendered, "messages");
    if (!status && goes_on) status = cut_at_end(*text, n, e);
    if (!status) return 0;
    kvasir_free(*text);
    *text = NULL;
    return status;
}
