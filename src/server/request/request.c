/* What requests of every protocol have in common: fields about sampling. */
#include "server/request/request.h"
#include "server/request/fields.h"
#include "base/mem.h"

#include <float.h>
#include <stdlib.h>
#include <sys/random.h>

/* As on the command line: a share of 1 keeps everything, which the library calls 0; a share of 0 keeps only
   the best token. */
static int take_share(const json_t *d, const char *name, float *to, http_error *e)
{
    double p = -1;
    int status = take_number(d, name, 0, 1, &p, e);
    if (p >= 0) *to = p >= 1 ? 0 : p > 0 ? (float)p : FLT_MIN;
    return status;
}

static int read_bias(const json_t *d, int n_vocab, request *q, http_error *e)
{
    const json_t *map = field(d, "logit_bias");
    const char *key;
    json_t *value;
    int n = 0;
    if (!map) return 0;
    if (!json_is_object(map) || json_object_size(map) > REQUEST_MAX_BIAS)
        return refuse_value(e, "logit_bias", "an object of token ids and numbers");
    q->bias = mem_alloc(json_object_size(map) + 1, sizeof *q->bias);
    if (!q->bias) return http_refuse_memory(e);
    json_object_foreach((json_t *)map, key, value)
    {
        char *end = NULL;
        long id = strtol(key, &end, 10);
        double x = json_number_value(value);
        if (end == key || *end || id < 0 || id >= n_vocab || !json_is_number(value) || !(x >= -100 && x <= 100))
            return refuse_value(e, "logit_bias", "an object of token ids and numbers from -100 to 100");
        q->bias[n++] = (kvasir_logit_bias){(int32_t)id, (float)x};
    }
    if (n > 0) {
        q->sampling.bias = q->bias;
        q->sampling.n_bias = n;
    }
    return 0;
}

static int read_seed(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    json_int_t seed = 0;
    if (field(d, "seed")) {
        int status = take_int(d, "seed", INT64_MIN, INT64_MAX, &seed, e);
        q->sampling.seed = (uint64_t)seed;
        return status;
    }
    if (!r->has_seed && getrandom(&q->sampling.seed, sizeof q->sampling.seed, 0) != (ssize_t)sizeof q->sampling.seed)
        return http_refuse(e, 500, "internal", NULL, "the system has no random numbers");
    return 0;
}

enum { WINDOW_MOST = 1 << 20 }; /* tokens that the sampler looks back on */

/* llama.cpp's names: a window of -1 is everything (the library's 0), one of 0 nothing. */
static int read_dry(const json_t *d, kvasir_sampler_options *o, http_error *e)
{
    json_int_t window = -2, allowed = o->dry_allowed_length;
    int status = take_float(d, "dry_multiplier", 0, 100, &o->dry_multiplier, e);
    if (!status) status = take_float(d, "dry_base", 1, 100, &o->dry_base, e);
    if (!status) status = take_int(d, "dry_allowed_length", 1, WINDOW_MOST, &allowed, e);
    if (!status) status = take_int(d, "dry_penalty_last_n", -1, WINDOW_MOST, &window, e);
    o->dry_allowed_length = (int)allowed;
    if (window >= -1) o->dry_last_n = window > 0 ? (int)window : 0;
    if (window == 0) o->dry_multiplier = 0;
    if (!status && o->dry_multiplier > 0 && field(d, "dry_sequence_breakers"))
        return http_refuse(e, 400, "unsupported", "dry_sequence_breakers",
                           "dry_sequence_breakers is not supported in requests; leave it out, and give serve "
                           "--dry-sequence-breaker");
    return status;
}

static int read_window(const json_t *d, kvasir_sampler_options *o, http_error *e)
{
    json_int_t window = -2;
    int status = take_int(d, "repeat_last_n", -1, WINDOW_MOST, &window, e);
    if (window >= -1) o->repeat_last_n = (int)window;
    if (window == 0) o->repeat_penalty = o->frequency_penalty = o->presence_penalty = 0;
    return status;
}

int read_sampling(const request_rules *r, const json_t *d, request *q, http_error *e)
{
    kvasir_sampler_options *o = &q->sampling;
    json_int_t top_k = r->sampling->top_k;
    float repetition = -1;
    *o = *r->sampling;
    int status = take_float(d, "temperature", 0, 100, &o->temperature, e);
    if (!status) status = take_int(d, "top_k", -1, 1 << 30, &top_k, e);
    o->top_k = top_k > 0 ? (int)top_k : 0;
    if (!status) status = take_share(d, "top_p", &o->top_p, e);
    if (!status) status = take_float(d, "min_p", 0, 1, &o->min_p, e);
    if (!status) status = take_share(d, "typical_p", &o->typical_p, e);
    if (!status) status = take_float(d, "repetition_penalty", 0, 100, &repetition, e);
    if (repetition >= 0) o->repeat_penalty = repetition;
    if (!status) status = take_float(d, "repeat_penalty", 0, 100, &o->repeat_penalty, e);
    if (!status && repetition >= 0 && field(d, "repeat_penalty") && o->repeat_penalty != repetition)
        status = refuse_value(e, "repetition_penalty", "the same as repeat_penalty, or left out: both name one thing");
    if (!status) status = take_float(d, "frequency_penalty", -2, 2, &o->frequency_penalty, e);
    if (!status) status = take_float(d, "presence_penalty", -2, 2, &o->presence_penalty, e);
    if (!status) status = take_float(d, "xtc_probability", 0, 1, &o->xtc_probability, e);
    if (!status) status = take_float(d, "xtc_threshold", 0, 1, &o->xtc_threshold, e);
    if (!status) status = read_dry(d, o, e);
    if (!status) status = read_window(d, o, e);
    if (!status) status = read_bias(d, kvasir_model_get_info(r->model)->n_vocab, q, e);
    return status ? status : read_seed(r, d, q, e);
}

void request_free(request *q)
{
    kvasir_free(q->ids);
    for (int i = 0; i < q->n_stop; i++) mem_free(q->stop[i]);
    mem_free(q->bias);
    *q = (request){0};
}
