#include "server/openai/endpoints.h"
#include "server/openai/answer.h"
#include "server/openai/read.h"
#include "server/schedule/schedule.h"

static void answer_completion(server *s, exchange *x, int chat, const char *body, size_t n)
{
    http_error e = {0};
    request q = {0};
    int status = s->signals ? http_refuse(&e, 503, "shutting_down", NULL, "the server is stopping")
                            : request_read(&s->rules, chat, body, n, &q, &e);
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
