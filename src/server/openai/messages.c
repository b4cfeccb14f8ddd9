/* The messages of a conversation, as chat templates want them: each content one text, arguments of calls objects, and
   nothing that is null. */
#include "server/openai/conversation.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A new text of the parts' texts, a line each, as llama.cpp's server and vLLM join them. NULL: *e says why. */
static json_t *join_parts(const json_t *parts, http_error *e)
{
    size_t i, n = 0, at = 0;
    const json_t *part;
    json_array_foreach(parts, i, part)
    {
        const json_t *type = json_object_get(part, "type");
        if (json_is_string(type) && !is_text(type, "text")) {
            (void)http_refuse(e, 400, "unsupported", "messages",
                              "parts of type '%s' are not supported; a message is text alone",
                              quoted(json_string_value(type), json_string_length(type)));
            return NULL;
        }
        if (!json_is_string(type) || !json_is_string(json_object_get(part, "text"))) {
            (void)refuse_value(e, "messages", "made of parts with a type and a text");
            return NULL;
        }
        n += json_string_length(json_object_get(part, "text")) + 1;
    }
    char *text = mem_alloc(n + 1, 1);
    if (text) {
        json_array_foreach(parts, i, part)
        {
            const json_t *piece = json_object_get(part, "text");
            if (i > 0) text[at++] = '\n';
            memcpy(text + at, json_string_value(piece), json_string_length(piece));
            at += json_string_length(piece);
        }
    }
    json_t *joined = text ? json_stringn_nocheck(text, at) : NULL;
    mem_free(text);
    if (!joined) (void)http_refuse_memory(e);
    return joined;
}

static json_t *read_content(const json_t *content, http_error *e)
{
    json_t *text = NULL;
    if (json_is_array(content)) return join_parts(content, e);
    if (!content)
        text = json_string("");
    else if (json_is_string(content))
        text = json_stringn_nocheck(json_string_value(content), json_string_length(content));
    else
        (void)refuse_value(e, "messages", "messages whose content is a text or an array of parts");
    if (!text && !e->status) (void)http_refuse_memory(e);
    return text;
}

/* A call's arguments as an object: OpenAI's API has them as a text of JSON. NULL: *e says why. */
static json_t *read_arguments(const json_t *given, size_t message, http_error *e)
{
    json_error_t error;
    json_t *object = NULL;
    if (json_is_object(given))
        object = json_deep_copy(given);
    else if (!given || is_text(given, ""))
        object = json_object();
    else if (json_is_string(given))
        object = json_loadb(json_string_value(given), json_string_length(given), JSON_ALLOW_NUL, &error);
    if (json_is_object(object)) return object;
    json_decref(object);
    (void)http_refuse(e, 400, "invalid_value", "messages",
                      "the arguments of a call in messages[%zu] must be a text that is a JSON object", message);
    return NULL;
}

/* A copy of the calls with their arguments as objects. NULL: *e says why. */
static json_t *read_calls(const json_t *calls, size_t message, http_error *e)
{
    json_t *copies = json_deep_copy(calls), *call;
    size_t i;
    if (!json_is_array(copies)) {
        json_decref(copies);
        (void)refuse_value(e, "messages", "messages whose tool_calls are an array");
        return NULL;
    }
    json_array_foreach(copies, i, call)
    {
        json_t *function = json_object_get(call, "function");
        if (!json_is_object(function) || !json_is_string(json_object_get(function, "name"))) {
            (void)refuse_value(e, "messages", "messages whose tool_calls have a function with a name");
            break;
        }
        json_t *arguments = read_arguments(field(function, "arguments"), message, e);
        if (!arguments || json_object_set_new(function, "arguments", arguments) != 0) {
            if (!e->status) (void)http_refuse_memory(e);
            break;
        }
    }
    if (!e->status) return copies;
    json_decref(copies);
    return NULL;
}

/* Sets a member of the copy to what has been read, which may have failed. */
static int put(json_t *copy, const char *key, json_t *value, http_error *e)
{
    if (value && json_object_set_new(copy, key, value) == 0) return 1;
    if (!e->status) (void)http_refuse_memory(e);
    return 0;
}

static int fill_message(json_t *copy, const json_t *message, size_t at, http_error *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)message, key, value)
    {
        if (json_is_null(value) || strcmp(key, "content") == 0) continue;
        if (strcmp(key, "function_call") == 0) {
            (void)http_refuse(e, 400, "unsupported", "messages",
                              "the function_call of messages[%zu] is the old form of tool_calls: send that", at);
            return 0;
        }
        int is_calls = strcmp(key, "tool_calls") == 0;
        if (is_calls && json_is_array(value) && json_array_size(value) == 0) continue;
        if (!put(copy, key, is_calls ? read_calls(value, at, e) : json_incref(value), e)) return 0;
    }
    return put(copy, "content", read_content(field(message, "content"), e), e);
}

/* NULL: *e says why. */
static json_t *read_message(const json_t *message, size_t at, http_error *e)
{
    if (!json_is_string(json_object_get(message, "role"))) {
        (void)refuse_value(e, "messages", "an array of objects with a role");
        return NULL;
    }
    json_t *copy = json_object();
    if (!copy) (void)http_refuse_memory(e);
    if (copy && fill_message(copy, message, at, e)) return copy;
    json_decref(copy);
    return NULL;
}

json_t *read_messages(const json_t *body, http_error *e)
{
    const json_t *given = field(body, "messages"), *message;
    size_t i;
    if (!json_is_array(given) || json_array_size(given) == 0 || json_array_size(given) > REQUEST_MAX_MESSAGES) {
        (void)refuse_value(e, "messages", "an array of messages, and not empty");
        return NULL;
    }
    json_t *messages = json_array();
    json_array_foreach(given, i, message)
    {
        json_t *copy = read_message(message, i, e);
        if (!copy || json_array_append_new(messages, copy) != 0) {
            if (!e->status) (void)http_refuse_memory(e);
            json_decref(messages);
            return NULL;
        }
    }
    if (!messages) (void)http_refuse_memory(e);
    return messages;
}
