/* Commands that change the conversation: /undo, /clear, /system. */
#include "cli/chat/chat.h"

#include <stdio.h>
#include <string.h>

/* Back to before the last message of the user. */
void cmd_undo(chat_state *c, const char *rest)
{
    json_t *messages = now(c)->messages;
    size_t n = json_array_size(messages), at = n;
    (void)rest;
    while (at > 0 && !has_role(json_array_get(messages, at - 1), "user")) at--;
    if (at == 0) {
        say("there is nothing to undo");
        return;
    }
    for (at--; n > at; n--) pop_message(messages);
    forget_rest(c);
    (void)fprintf(stderr, "the last exchange is undone; %zu message%s, %d token%s\n", n, plural(n),
                  kvasir_seq_length(now(c)->seq), plural((uint64_t)kvasir_seq_length(now(c)->seq)));
}

void cmd_clear(chat_state *c, const char *rest)
{
    branch *b = now(c);
    const char *kept = system_prompt(b->messages);
    json_t *fresh = fresh_messages(kept);
    (void)rest;
    if (!fresh) {
        (void)failed(fail_memory(0));
        return;
    }
    size_t gone = json_array_size(b->messages) - json_array_size(fresh);
    (void)fprintf(stderr, "%zu message%s cleared%s\n", gone, gone == 1 ? " is" : "s are",
                  kept ? "; the system prompt stays" : "");
    json_decref(b->messages);
    b->messages = fresh;
    forget_rest(c);
}

/* The conversation with another system prompt; NULL: none. */
static json_t *with_system(const json_t *messages, const char *text)
{
    json_t *made = fresh_messages(text);
    for (size_t i = system_prompt(messages) ? 1 : 0; made && i < json_array_size(messages); i++)
        if (json_array_append(made, json_array_get(messages, i)) != 0) {
            json_decref(made);
            return NULL;
        }
    return made;
}

void cmd_system(chat_state *c, const char *rest)
{
    branch *b = now(c);
    const char *own = system_prompt(b->messages);
    if (!*rest) {
        if (own)
            show_text(own, strlen(own));
        else
            say("there is no system prompt; /system TEXT sets one");
        return;
    }
    int none = strcmp(rest, "none") == 0;
    json_t *made = with_system(b->messages, none ? NULL : rest);
    if (!made) {
        (void)failed(fail_memory(0));
        return;
    }
    kvasir_status status = template_takes(c, made);
    if (status != KVASIR_OK) {
        (void)failed(status);
        say("the system prompt stays as it was");
        json_decref(made);
        return;
    }
    json_decref(b->messages);
    b->messages = made;
    (void)fprintf(stderr, "the system prompt is %s", none ? "gone" : "set");
    int held = kvasir_seq_length(b->seq);
    if (held > 0)
        (void)fprintf(stderr, "; the conversation (%d token%s) is read again with your next message\n", held,
                      plural((uint64_t)held));
    else
        (void)fputc('\n', stderr);
}
