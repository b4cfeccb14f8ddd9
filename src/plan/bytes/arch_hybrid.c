/* Gated delta networks with full attention in every n-th layer (Yang et al. 2024, arXiv:2412.06464): the other layers
   keep a state of fixed size and no rows. */
#include "plan/bytes/arch.h"

enum { DEFAULT_INTERVAL = 4 };

kvasir_status arch_read_hybrid(const reading *r)
{
    int conv = 0, inner = 0, state = 0, groups = 0, interval = DEFAULT_INTERVAL;
    TRY(read_gqa(r));
    TRY(read_count(r, "ssm.conv_kernel", true, 1, PLAN_MAX_CONV, &conv));
    TRY(read_count(r, "ssm.inner_size", true, 1, PLAN_MAX_WIDTH, &inner));
    TRY(read_count(r, "ssm.state_size", true, 1, PLAN_MAX_DIM, &state));
    TRY(read_count(r, "ssm.group_count", true, 1, PLAN_MAX_DIM, &groups));
    TRY(read_count(r, "full_attention_interval", false, 1, MODEL_MAX_LAYERS, &interval));
    /* The convolution's last inputs (q and k of all groups, v), and one matrix per head of v. */
    uint64_t inputs = (uint64_t)inner + 2 * (uint64_t)groups * (uint64_t)state;
    for (int i = 0; i < r->shape->n_layer; i++) {
        if ((i + 1) % interval == 0) continue;
        r->shape->layer[i] = (plan_layer){.state = {{"convolution", (uint64_t)(conv - 1) * inputs},
                                                    {"recurrent", (uint64_t)state * (uint64_t)inner}}};
    }
    return KVASIR_OK;
}
