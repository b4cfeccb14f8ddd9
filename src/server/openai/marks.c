/* What a chat template does with messages, found out by rendering them with marks in place of their texts: a mark that
   does not come out is a text that would have been dropped. This needs no list of templates, and no reading of them. */
#include "server/openai/conversation.h"
#include "server/request/fields.h"
#include "base/checked.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A mark is "Kvs7q"; the number is its place in the list. */
static const char mark_begin[] = "Kvs", strange_role[] = "kvsrole", argument[] = "kvsargument";

typedef struct mark {
    size_t message;
    const char *key;
    int seen;
} mark;

typedef struct marks {
    mark *list;
    size_t n, room;
    int texts_alone;       /* contents are marked, and nothing else */
    int text_arguments;    /* arguments of calls are texts */
    const char *developer; /* the role that developers' messages get; NULL: their own */
} marks;

kvasir_status render_variables(const request_rules *r, const json_t *variables, char **text, size_t *n)
{
    char *json = json_dumps(variables, JSON_COMPACT);
    *text = NULL;
    if (!json) return fail_memory(0);
    kvasir_status status = kvasir_template_render(r->model, r->template_text, json, 0, text, n);
    free(json);
    return status;
}

/* ---- putting marks ------------------------------------------------------------------------------------- */

/* A new text, the next mark. NULL when out of memory. */
static json_t *new_mark(marks *m, size_t message, const char *key)
{
    char text[40];
    if (m->n == m->room) {
        size_t room = m->room ? 2 * m->room : 64;
        mark *more = mem_grow(m->list, m->room, room, sizeof *more);
        if (!more) return NULL;
        m->list = more;
        m->room = room;
    }
    (void)snprintf(text, sizeof text, "%s%zuq", mark_begin, m->n);
    m->list[m->n++] = (mark){message, key, 0};
    return json_string(text);
}

static int is_blank(const json_t *text)
{
    const char *s = json_string_value(text);
    return strspn(s, " \t\r\n") == json_string_length(text);
}

/* Calls keep their ids: some templates look at those. 0 when out of memory. */
static int mark_calls(marks *m, json_t *calls, size_t message)
{
    json_t *call;
    size_t i;
    json_array_foreach(calls, i, call)
    {
        json_t *function = json_object_get(call, "function");
        json_t *value = new_mark(m, message, "tool_calls"), *arguments = NULL;
        if (value && m->text_arguments)
            arguments = json_sprintf("{\"%s\": \"%s\"}", argument, json_string_value(value));
        else if (value)
            arguments = json_pack("{s:O}", argument, value);
        int ok = value && arguments && json_object_set(function, "name", value) == 0 &&
                 json_object_set(function, "arguments", arguments) == 0;
        json_decref(value);
        json_decref(arguments);
        if (!ok) return 0;
    }
    return 1;
}

/* What of a message is a text that only the template decides about. */
static int is_marked(const marks *m, const char *key, const json_t *value)
{
    if (!json_is_string(value) || is_blank(value)) return 0;
    if (strcmp(key, "content") == 0) return 1;
    return !m->texts_alone && strcmp(key, "role") != 0 && strcmp(key, "tool_call_id") != 0;
}

/* A copy of message i with marks. NULL when out of memory. */
static json_t *marked_message(marks *m, const json_t *message, size_t i)
{
    const char *key;
    json_t *value, *copy = json_copy((json_t *)message);
    int ok = copy != NULL;
    json_object_foreach((json_t *)message, key, value)
    {
        if (!ok) break;
        if (strcmp(key, "role") == 0 && m->developer && is_text(value, "developer"))
            ok = json_object_set_new(copy, key, json_string(m->developer)) == 0;
        else if (strcmp(key, "tool_calls") == 0 && !m->texts_alone)
            ok = json_object_set_new(copy, key, json_deep_copy(value)) == 0 &&
                 mark_calls(m, json_object_get(copy, key), i);
        else if (is_marked(m, key, value))
            ok = json_object_set_new(copy, key, new_mark(m, i, key)) == 0;
    }
    if (ok) return copy;
    json_decref(copy);
    return NULL;
}

/* Renders the conversation with marks. A failure of the template leaves *text NULL. */
static kvasir_status render_marked(const request_rules *r, const json_t *variables, marks *m, char **text, size_t *n)
{
    const json_t *messages = json_object_get(variables, "messages"), *message;
    json_t *copy = json_copy((json_t *)variables), *list = json_array();
    size_t i;
    int ok = copy && list;
    m->n = 0;
    *text = NULL;
    json_array_foreach(messages, i, message) ok = ok && json_array_append_new(list, marked_message(m, message, i)) == 0;
    ok = ok && json_object_set(copy, "messages", list) == 0;
    kvasir_status status = ok ? render_variables(r, copy, text, n) : fail_memory(0);
    json_decref(copy);
    json_decref(list);
    return status == KVASIR_E_MEMORY ? status : KVASIR_OK;
}

/* ---- developers ---------------------------------------------------------------------------------------- */

static int begins(const char *text, const char *word)
{
    return strncasecmp(text, word, strlen(word)) == 0;
}

/* Are the texts the same but for the name of the role? */
static int same_but_role(const char *a, const char *strange)
{
    while (*a && *strange) {
        if (begins(strange, strange_role) && begins(a, "developer")) {
            a += strlen("developer");
            strange += strlen(strange_role);
        } else if (*a++ != *strange++) {
            return 0;
        }
    }
    return *a == *strange;
}

/* A template knows the role when it makes something else of it than of a role that nobody has. */
static kvasir_status knows_developer(const request_rules *r, const json_t *variables, int *knows)
{
    marks m = {0};
    char *own = NULL, *strange = NULL;
    size_t n;
    kvasir_status status = render_marked(r, variables, &m, &own, &n);
    m.developer = strange_role;
    if (status == KVASIR_OK) status = render_marked(r, variables, &m, &strange, &n);
    *knows = own && !(strange && same_but_role(own, strange));
    kvasir_free(own);
    kvasir_free(strange);
    mem_free(m.list);
    return status;
}

static kvasir_status fit_developers(const request_rules *r, json_t *variables)
{
    json_t *messages = json_object_get(variables, "messages"), *message;
    size_t i;
    int knows = -1;
    json_array_foreach(messages, i, message)
    {
        if (!is_text(json_object_get(message, "role"), "developer")) continue;
        if (knows < 0) TRY(knows_developer(r, variables, &knows));
        if (knows) return KVASIR_OK;
    }
    json_array_foreach(messages, i, message)
    {
        if (is_text(json_object_get(message, "role"), "developer") &&
            json_object_set_new(message, "role", json_string("system")) != 0)
            return fail_memory(0);
    }
    return KVASIR_OK;
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static void see_marks(marks *m, const char *text, size_t n)
{
    const char *end = text + n, *at = text;
    while ((at = memmem(at, (size_t)(end - at), mark_begin, sizeof mark_begin - 1)) != NULL) {
        size_t number = 0;
        int digits = 0;
        at += sizeof mark_begin - 1;
        while (*at >= '0' && *at <= '9' && digits++ < 18) number = 10 * number + (size_t)(*at++ - '0');
        if (digits && *at == 'q' && number < m->n) m->list[number].seen = 1;
    }
}

/* Does the text have the name between these quotes, and not within another text of JSON? */
static int has_quoted(const char *text, char quote)
{
    size_t n = sizeof argument - 1;
    for (const char *at = text; text && (at = strstr(at, argument)) != NULL; at++)
        if (at - text >= 1 && at[-1] == quote && at[n] == quote && !(at - text >= 2 && at[-2] == '\\')) return 1;
    return 0;
}

static int set_text_arguments(json_t *messages)
{
    json_t *message, *call;
    size_t i, k;
    json_array_foreach(messages, i, message)
    {
        json_array_foreach(json_object_get(message, "tool_calls"), k, call)
        {
            json_t *function = json_object_get(call, "function");
            char *text = json_dumps(json_object_get(function, "arguments"), 0);
            int ok = text && json_object_set_new(function, "arguments", json_string_nocheck(text)) == 0;
            free(text);
            if (!ok) return 0;
        }
    }
    return 1;
}

static int all_calls_seen(const marks *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (!m->list[i].seen && strcmp(m->list[i].key, "tool_calls") == 0) return 0;
    return 1;
}

/* Gives messages that call tools and say nothing the content null, or takes it from them. */
static int set_nulls(json_t *messages, int null)
{
    json_t *message;
    size_t i;
    json_array_foreach(messages, i, message)
    {
        const json_t *content = json_object_get(message, "content");
        if (!json_object_get(message, "tool_calls") || !(json_is_null(content) || is_text(content, ""))) continue;
        if (json_object_set_new(message, "content", null ? json_null() : json_string("")) != 0) return 0;
    }
    return 1;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)) != NULL; text++) n++;
    return n;
}

/* Do calls come out as they should, with arguments in this form and perhaps null for no text? *nones: how often the word
   None came out where nothing was null, -1: not known. */
static kvasir_status try_calls(const request_rules *r, const json_t *variables, int text_arguments, int null,
                               int *nones, int *good)
{
    marks m = {.text_arguments = text_arguments};
    char *text = NULL;
    size_t n;
    kvasir_status status = render_marked(r, variables, &m, &text, &n);
    if (text) {
        see_marks(&m, text, n);
        *good = all_calls_seen(&m) && (text_arguments ? has_quoted(text, '"') : !has_quoted(text, '\''));
        if (null && count(text, "None") > max_int(*nones, 0)) *good = 0;
        if (!null && *nones < 0) *nones = count(text, "None");
    }
    kvasir_free(text);
    mem_free(m.list);
    return status;
}

/* Most templates want arguments as an object. Some add them to other texts, which an object cannot be; written as Python
   would write an object they would be no JSON either. Some show calls only where the content is null; others would then
   write None. */
static kvasir_status fit_calls(const request_rules *r, json_t *variables)
{
    json_t *messages = json_object_get(variables, "messages"), *message;
    size_t i;
    int has_calls = 0, good = 0, nones = -1;
    json_array_foreach(messages, i, message) has_calls |= json_object_get(message, "tool_calls") != NULL;
    for (int way = 0; has_calls && way < 4; way++) {
        int text_arguments = way & 1, null = way >> 1;
        if (!set_nulls(messages, null)) return fail_memory(0);
        TRY(try_calls(r, variables, text_arguments, null, &nones, &good));
        if (!good) continue;
        return !text_arguments || set_text_arguments(messages) ? KVASIR_OK : fail_memory(0);
    }
    return set_nulls(messages, 0) ? KVASIR_OK : fail_memory(0); /* what is left out is said later */
}

/* ---- what is left out ---------------------------------------------------------------------------------- */

static int has_seen_call(const marks *m, size_t message)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->list[i].message == message && m->list[i].seen && strcmp(m->list[i].key, "tool_calls") == 0) return 1;
    return 0;
}

/* Members of messages that are no texts, and ids: known by name alone. */
static void check_members(const request_rules *r, const json_t *messages, char *ignored)
{
    const char *text = r->template_text ? r->template_text : kvasir_model_get_info(r->model)->chat_template, *key;
    const json_t *message;
    json_t *value;
    size_t i;
    json_array_foreach(messages, i, message)
    {
        json_object_foreach((json_t *)message, key, value)
        {
            int is_empty = json_is_false(value) || (json_is_array(value) && json_array_size(value) == 0) ||
                           (json_is_object(value) && json_object_size(value) == 0);
            int is_other = !json_is_string(value) || strcmp(key, "tool_call_id") == 0;
            if (is_other && !is_empty && text && !strstr(text, key)) ignore_field(ignored, "messages", key);
        }
    }
}

static int check_marks(const marks *m, const json_t *given, char *ignored, http_error *e)
{
    for (size_t i = 0; i < m->n; i++) {
        const mark *k = &m->list[i];
        int is_calls = strcmp(k->key, "tool_calls") == 0, is_content = strcmp(k->key, "content") == 0;
        if (k->seen) continue;
        if (!is_calls && (!is_content || has_seen_call(m, k->message))) {
            ignore_field(ignored, "messages", k->key);
            continue;
        }
        const json_t *role = json_object_get(json_array_get(given, k->message), "role");
        return http_refuse(
            e, 400, "unsupported", "messages",
            "the model's chat template leaves out %s messages[%zu], whose role is '%s': leave it out, say "
            "it in another role, or start the server with another --template",
            is_calls ? "the tool_calls of" : "the text of", k->message,
            quoted(json_string_value(role), json_string_length(role)));
    }
    return 0;
}

static int check_left_out(const request_rules *r, const json_t *variables, const json_t *given, char *ignored,
                          http_error *e)
{
    int code = 0;
    size_t n;
    check_members(r, json_object_get(variables, "messages"), ignored);
    for (int texts_alone = 0; texts_alone < 2; texts_alone++) { /* a template may refuse other marks */
        marks m = {.texts_alone = texts_alone};
        const json_t *call = NULL;
        char *text = NULL;
        size_t i;
        const json_t *message;
        json_array_foreach(json_object_get(variables, "messages"), i, message)
        {
            if (!call) call = json_array_get(json_object_get(message, "tool_calls"), 0);
        }
        m.text_arguments = json_is_string(json_object_get(json_object_get(call, "function"), "arguments"));
        kvasir_status status = render_marked(r, variables, &m, &text, &n);
        if (text) {
            see_marks(&m, text, n);
            code = check_marks(&m, given, ignored, e);
        } else if (status != KVASIR_OK) {
            code = http_refuse_memory(e);
        }
        int known = text || code;
        kvasir_free(text);
        mem_free(m.list);
        if (known) break;
    }
    return code;
}

int fit_messages(const request_rules *r, json_t *variables, const json_t *body, char *ignored, http_error *e)
{
    if (fit_developers(r, variables) != KVASIR_OK || fit_calls(r, variables) != KVASIR_OK) return http_refuse_memory(e);
    return check_left_out(r, variables, field(body, "messages"), ignored, e);
}
