/* The messages, and the sequence that follows them. */
#include "cli/chat/chat.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs(dim_on(), stderr);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "%s\n", dim_off());
    va_end(args);
}

static void write_error(void *user, const char *text, size_t n)
{
    (void)user;
    (void)fwrite(text, 1, n, stderr);
}

void show_text(const char *text, size_t n)
{
    wrap w = {.out = write_error};
    wrap_feed(&w, text, n);
    wrap_end(&w);
    (void)fputc('\n', stderr);
}

/* ---- messages ----------------------------------------------------------------------------------------- */

int has_role(const json_t *message, const char *role)
{
    const char *own = json_string_value(json_object_get(message, "role"));
    return own && strcmp(own, role) == 0;
}

void pop_message(json_t *messages)
{
    if (json_array_size(messages)) (void)json_array_remove(messages, json_array_size(messages) - 1);
}

const char *system_prompt(const json_t *messages)
{
    const json_t *first = json_array_get(messages, 0);
    return has_role(first, "system") ? json_string_value(json_object_get(first, "content")) : NULL;
}

json_t *fresh_messages(const char *system_text)
{
    json_t *messages = json_array();
    if (!system_text || add_message(messages, "system", system_text, strlen(system_text)) == KVASIR_OK) return messages;
    json_decref(messages);
    return NULL;
}

/* ---- the sequence ------------------------------------------------------------------------------------- */

kvasir_status template_takes(const chat_state *c, const json_t *messages)
{
    int32_t *ids = NULL;
    size_t n_ids = 0, n = json_array_size(messages);
    json_t *probe = json_copy((json_t *)(uintptr_t)messages);
    kvasir_status status = probe ? KVASIR_OK : fail_memory(0);
    if (status == KVASIR_OK && (n == 0 || !has_role(json_array_get(messages, n - 1), "user")))
        status = add_message(probe, "user", "Hello", 5);
    if (status == KVASIR_OK) status = conversation_ids(c->s->model, c->template_text, probe, 1, &ids, &n_ids);
    json_decref(probe);
    kvasir_free(ids);
    return status;
}

kvasir_status follow(chat_state *c, int ask, int32_t **ids, size_t *n_ids, int *n_held)
{
    branch *b = now(c);
    TRY(conversation_ids(c->s->model, c->template_text, b->messages, ask, ids, n_ids));
    const int32_t *held = kvasir_seq_ids(b->seq);
    int n = 0, length = kvasir_seq_length(b->seq);
    while (n < length && (size_t)n < *n_ids && held[n] == (*ids)[n]) n++;
    if (ask && (size_t)n == *n_ids && n > 0) n--; /* one token has to be computed to have logits */
    *n_held = n;
    return n < length ? kvasir_seq_truncate(b->seq, n) : KVASIR_OK;
}

void forget_rest(chat_state *c)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int held = 0;
    /* Some templates cannot render a conversation without a user; then the next turn cuts the sequence. */
    if (json_array_size(now(c)->messages) > 0)
        (void)follow(c, 0, &ids, &n_ids, &held);
    else
        (void)kvasir_seq_truncate(now(c)->seq, 0);
    kvasir_free(ids);
}
