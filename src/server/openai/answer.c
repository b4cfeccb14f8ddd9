#include "server/openai/answer.h"

#include <string.h>

static json_t *usage(const job *j)
{
    int prompt = (int)j->q.n_ids;
    return json_pack("{s:i, s:i, s:i, s:{s:i}}", "prompt_tokens", prompt, "completion_tokens", j->generated,
                     "total_tokens", prompt + j->generated, "prompt_tokens_details", "cached_tokens", j->cached);
}

static json_t *timings(const job *j)
{
    json_t *per_token = j->generated > 1 ? json_real(1000 * (j->last - j->first) / (j->generated - 1)) : json_null();
    return json_pack("{s:f, s:f, s:f, s:o}", "queue_ms", 1000 * (j->started - j->arrived), "prefill_ms",
                     1000 * (j->prompt_read - j->started), "ttft_ms", 1000 * (j->first - j->arrived),
                     "decode_ms_per_token", per_token);
}

static json_t *document(const server *s, const job *j, const char *object, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", j->id, "object", object, "created", (json_int_t)j->created,
                     "model", s->o->name, "choices", choices);
}

static json_t *with_usage(json_t *d, const job *j)
{
    (void)json_object_set_new(d, "usage", usage(j));
    (void)json_object_set_new(d, "timings", timings(j));
    return d;
}

json_t *answer_whole(const server *s, const job *j)
{
    size_t n;
    const char *said = kvasir_detokenizer_text(j->text, &n);
    json_t *text = json_stringn_nocheck(said, n), *choices;
    if (j->q.chat)
        choices = json_pack("[{s:i, s:{s:s, s:o}, s:n, s:s}]", "index", 0, "message", "role", "assistant", "content",
                            text, "logprobs", "finish_reason", j->finish);
    else
        choices = json_pack("[{s:i, s:o, s:n, s:s}]", "index", 0, "text", text, "logprobs", "finish_reason", j->finish);
    return with_usage(document(s, j, j->q.chat ? "chat.completion" : "text_completion", choices), j);
}

static json_t *chunk_document(const server *s, const job *j, json_t *choices)
{
    return document(s, j, j->q.chat ? "chat.completion.chunk" : "text_completion", choices);
}

json_t *answer_chunk(const server *s, const job *j, const char *role, const char *text, size_t n, const char *finish)
{
    json_t *piece = text || !j->q.chat ? json_stringn_nocheck(text ? text : "", n) : NULL; /* a NUL is text, too */
    if (!j->q.chat)
        return chunk_document(
            s, j, json_pack("[{s:i, s:o, s:n, s:s?}]", "index", 0, "text", piece, "logprobs", "finish_reason", finish));
    json_t *delta = json_object();
    if (role) (void)json_object_set_new(delta, "role", json_string(role));
    if (piece) (void)json_object_set_new(delta, "content", piece);
    return chunk_document(
        s, j, json_pack("[{s:i, s:o, s:n, s:s?}]", "index", 0, "delta", delta, "logprobs", "finish_reason", finish));
}

json_t *answer_usage_chunk(const server *s, const job *j)
{
    return with_usage(chunk_document(s, j, json_array()), j);
}

json_t *answer_model(const server *s, const char *name)
{
    const kvasir_model_info *info = kvasir_model_get_info(s->o->model);
    const char *kv = s->o->seq.kv ? s->o->seq.kv : "f16", *colon = strchr(kv, ':');
    int n_k = colon ? (int)(colon - kv) : (int)strlen(kv);
    return json_pack("{s:s, s:s, s:I, s:s, s:i, s:i, s:s#, s:s, s:I}", "id", name, "object", "model", "created",
                     (json_int_t)s->began, "owned_by", "kvasir", "ctx", s->rules.ctx, "ctx_train", info->n_ctx_train,
                     "kv_k", kv, n_k, "kv_v", colon ? colon + 1 : kv, "file_bytes", (json_int_t)info->file_bytes);
}

json_t *answer_models(const server *s)
{
    json_t *list = json_array();
    for (int i = -1; i < s->rules.n_names; i++) {
        const char *name = i < 0 ? s->rules.name : s->rules.names[i];
        (void)json_array_append_new(list, answer_model(s, name));
    }
    return json_pack("{s:s, s:o}", "object", "list", "data", list);
}
