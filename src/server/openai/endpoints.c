#include "server/openai/endpoints.h"
#include "server/openai/answer.h"
#include "server/openai/read.h"
#include "server/schedule/schedule.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

static void answer_completion(server *s, exchange *x, int chat, const char *body, size_t n)
{
    http_error e = {0};
    request q = {0};
    int status = s->signals ? http_refuse(&e, 503, "shutting_down", NULL, "the server is stopping")
                            : request_read(&s->rules, chat, body, n, &q, &e);
    if (!status) exchange_ignored(x, q.ignored);
    if (!status) status = schedule_add(s, x, &q, &e);
    if (status) exchange_refuse(x, &e);
    request_free(&q);
}

void answer_chat(server *s, exchange *x, const char *body, size_t n)
{
    answer_completion(s, x, 1, body, n);
}

void answer_plain(server *s, exchange *x, const char *body, size_t n)
{
    answer_completion(s, x, 0, body, n);
}

void answer_model_list(server *s, exchange *x, const char *body, size_t n)
{
    (void)body;
    (void)n;
    exchange_json(x, 200, answer_models(s));
}

/* The name may have a slash, written as such or as %2F. */
void answer_one_model(server *s, exchange *x, const char *body, size_t n)
{
    http_error e = {0};
    size_t n_name = 0;
    char *name = evhttp_uridecode(x->path + strlen(MODELS_PATH), 0, &n_name);
    (void)body;
    (void)n;
    const char *own = name ? own_name(&s->rules, name, n_name) : NULL;
    if (own) {
        exchange_json(x, 200, answer_model(s, own));
    } else {
        (void)(name ? refuse_model(&s->rules, name, n_name, &e) : http_refuse_memory(&e));
        exchange_refuse(x, &e);
    }
    free(name);
}
