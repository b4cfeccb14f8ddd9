/* A long generation that the KV type and f16 are made to follow. */
#include "cli/verify/couple.h"
#include "cli/eval/eval.h"
#include "base/checked.h"

#include <math.h>
#include <stdio.h>

/* Both follow the reference's greedy choice, a token at a time. */
kvasir_status verify_forced(verify *w, int arg)
{
    enum { PROMPT = 256, STEPS = 1000, QUICK_STEPS = 100 };
    (void)arg;
    int prompt = min_int(PROMPT, w->ctx / 2), steps = min_int(w->args->quick ? QUICK_STEPS : STEPS, w->ctx - prompt);
    couple c;
    tally t = {0};
    char name[96];
    TRY(couple_open(w, prompt + steps, &c));
    limits l = couple_limits(&c);
    progress bar = progress_start("forced decode:", "tokens");
    kvasir_status status = couple_read(w, &c, w->ids, prompt, 1, NULL);
    for (int i = 0; i < steps && status == KVASIR_OK; i++) {
        int32_t next = eval_argmax(c.logits[1], w->s.info->n_vocab);
        couple_count(w, &c, 0, next, &t);
        status = couple_step(w, &c, &next, 1, KVASIR_WANT_LAST);
        progress_update(&bar, (uint64_t)i + 1, (uint64_t)steps, NULL);
    }
    progress_end(&bar);
    couple_close(&c);
    if (status != KVASIR_OK) return status;
    w->quality.forced = t.n;
    w->quality.forced_kld = t.kld / t.n;
    w->quality.forced_same_top = (double)t.same_top / t.n;
    (void)snprintf(name, sizeof name, "forced decode of %s, divergence", count_text((uint64_t)steps));
    TRY(couple_add(w, name, "nats", 0, NAN, l.kld, t.kld / t.n, "the type's limit"));
    (void)snprintf(name, sizeof name, "forced decode of %s, same best", count_text((uint64_t)steps));
    return couple_add(w, name, "share", 1, l.same_top, NAN, (double)t.same_top / t.n, "the type's limit");
}
