/* The public way to a sampler, which takes the vocabulary from a model. Apart from sample.c, so that the tests of the
   sampler need no model. */
#include "engine/model_handle.h"
#include "base/status.h"
#include "sample/sample.h"

kvasir_status kvasir_sampler_create(const kvasir_model *m, const kvasir_sampler_options *o, kvasir_sampler **out)
{
    NEED(m);
    NEED(out);
    *out = NULL;
    if (!m) return fail(KVASIR_E_ARGUMENT, "a sampler needs a model");
    return sampler_create(model_tok(m), model_n_vocab(m), o, out);
}
