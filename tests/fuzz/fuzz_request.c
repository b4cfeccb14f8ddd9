/* Fuzz target of the server's requests: the first byte chooses the kind and the template, the rest is the body. What is accepted
   has a prompt that fits and sampling options that a sampler takes; what is refused says so with a status, a code
   and a message. */
#include "../unit/rig/model_builder.h"

#include "server/openai/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CTX = 64 };
/* One that shows everything, one that leaves out roles, reads variables, and wants objects, one that wants texts. */
static const char *const templates[] = {
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{{ bos_token }}",
    "{% for m in messages %}{% if m.role == 'system' %}S{{ m.content }}{% elif m.role == 'user' %}U{{ m.content | trim "
    "}}"
    "{% elif m.role == 'assistant' %}A{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson }}{% endfor %}{% endfor %}{% endif %}{% "
    "endfor %}"
    "{% if not enable_thinking %}{{ reasoning_effort }}{{ documents | tojson }}{% endif %}",
    "{% for m in messages %}{% if m.role == 'nobody' %}{{ raise_exception('no') }}{% endif %}{{ m.name }}{{ m.content "
    "}}"
    "{% for c in m.tool_calls or [] %}{{ '<' + c.function.arguments }}{% endfor %}{% endfor %}",
};

static void require(bool true_)
{
    if (!true_) abort();
}

/* Opened once: reading a vocabulary for every input would be most of the work. */
static const kvasir_model *model(void)
{
    static kvasir_model *m;
    if (m) return m;
    tiny_model t = tiny_llama();
    t.n_vocab = 300;
    t.bytes = true;
    tiny_file made = tiny_make(&t);
    require(kvasir_model_open(made.path, NULL, &m) == KVASIR_OK);
    tiny_remove(&made);
    return m;
}

static void check_accepted(const request *q)
{
    kvasir_sampler *sampler = NULL;
    kvasir_detokenizer *text = NULL;
    require(q->ids && q->n_ids > 0 && q->n_ids <= CTX && q->max_tokens >= -1 && q->min_tokens >= 0 &&
            q->n_stop <= REQUEST_MAX_STOPS);
    require(strlen(q->ignored) < sizeof q->ignored);
    for (const char *c = q->ignored; *c; c++) require(*c >= ' ' && *c < 127); /* it becomes a header */
    for (size_t i = 0; i < q->n_ids; i++) require(q->ids[i] >= 0 && q->ids[i] < 300);
    require(kvasir_sampler_create(model(), &q->sampling, &sampler) == KVASIR_OK);
    require(kvasir_detokenizer_create(model(), (const char *const *)q->stop, q->n_stop, 0, &text) == KVASIR_OK);
    kvasir_detokenizer_free(text);
    kvasir_sampler_free(sampler);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const kvasir_sampler_options sampling = {.temperature = 0.8f, .top_k = 40};
    if (n == 0) return 0;
    const request_rules rules = {.model = model(),
                                 .name = "m",
                                 .template_text = templates[(data[0] >> 1 & 3) % 3],
                                 .sampling = &sampling,
                                 .ctx = CTX};
    request q;
    http_error e;
    int status = request_read(&rules, data[0] & 1, (const char *)data + 1, n - 1, &q, &e);
    if (status)
        require(status >= 400 && status < 600 && e.status == status && e.code && e.message[0]);
    else
        check_accepted(&q);
    request_free(&q);
    return 0;
}
