/* Conversations in files: /save and /load. */
#include "cli/chat/chat.h"
#include "cli/files/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* May this be written? Asks where a file is there. */
static int may_write(chat_state *c, const char *path)
{
    struct stat st;
    char question[1024];
    const char *answer = "";
    if (stat(path, &st) != 0) return 1; /* not there, or writing says what is wrong */
    if (!S_ISREG(st.st_mode)) {
        note("%s is no regular file; nothing was saved", quoted(path, strlen(path)));
        return 0;
    }
    if (!line_at_terminal(c->reader)) {
        note("%s is there already, and stdin is no terminal to ask at; nothing was saved", quoted(path, strlen(path)));
        return 0;
    }
    (void)snprintf(question, sizeof question, "%s is there already. Overwrite it? [y/N] ", quoted(path, strlen(path)));
    if (line_ask(c->reader, question, &answer) == LINE_TEXT &&
        (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0))
        return 1;
    say("nothing was saved");
    return 0;
}

void cmd_save(chat_state *c, const char *path)
{
    const json_t *messages = now(c)->messages;
    if (!*path) {
        say("/save PATH");
        return;
    }
    if (!may_write(c, path)) return;
    json_t *d = json_document("chat");
    (void)json_object_set_new(d, "model", json_text_or_null(c->s->info->name));
    kvasir_status status =
        json_object_set_new(d, "messages", json_copy((json_t *)(uintptr_t)messages)) == 0 ? KVASIR_OK : fail_memory(0);
    if (status == KVASIR_OK) status = json_write(d, path);
    json_decref(d);
    if (status != KVASIR_OK)
        (void)failed(status);
    else
        (void)fprintf(stderr, "%zu message%s saved to %s\n", json_array_size(messages),
                      plural(json_array_size(messages)), quoted(path, strlen(path)));
}

/* The list of messages in a document; NULL after fail(). */
static json_t *messages_of(json_t *d, const char *path)
{
    const char *schema = json_string_value(json_object_get(d, "schema")), *name = quoted(path, strlen(path));
    json_t *messages = json_is_array(d) ? d : json_object_get(d, "messages"), *m;
    size_t i;
    if (schema && strcmp(schema, "kvasir.chat/1") != 0) {
        (void)fail(KVASIR_E_ARGUMENT, "%s is no conversation: its schema is '%s', not kvasir.chat/1", name,
                   quoted(schema, strlen(schema)));
        return NULL;
    }
    if (!json_is_array(messages)) {
        (void)fail(KVASIR_E_ARGUMENT, "%s is no conversation: it has no list of messages", name);
        return NULL;
    }
    json_array_foreach(messages, i, m)
    {
        const char *lacks = !json_is_object(m)                               ? "is no object"
                            : !json_is_string(json_object_get(m, "role"))    ? "has no role"
                            : !json_is_string(json_object_get(m, "content")) ? "has no text as its content"
                                                                             : NULL;
        if (!lacks) continue;
        (void)fail(KVASIR_E_ARGUMENT, "%s: message %zu %s", name, i + 1, lacks);
        return NULL;
    }
    return messages;
}

void cmd_load(chat_state *c, const char *path)
{
    static const json_kind any = {NULL, "conversation"};
    json_t *d = NULL;
    if (!*path) {
        say("/load PATH");
        return;
    }
    kvasir_status status = json_read(path, &any, &d);
    json_t *messages = status == KVASIR_OK ? messages_of(d, path) : NULL;
    if (status == KVASIR_OK) status = messages ? template_takes(c, messages) : KVASIR_E_ARGUMENT;
    if (status == KVASIR_OK) {
        json_decref(now(c)->messages);
        now(c)->messages = json_incref(messages);
        (void)fprintf(stderr, "%zu message%s loaded, to be read again with your next message\n",
                      json_array_size(messages), plural(json_array_size(messages)));
    } else {
        (void)failed(status);
        say("nothing was loaded");
    }
    json_decref(d);
}
