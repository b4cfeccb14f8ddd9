/* Prompt lookup (Saxena 2023): what followed the last tokens when they occurred before is proposed to follow now. The
   caller computes the proposal in one step with the newest token and keeps what the sampler would have chosen anyway. */
#ifndef KVASIR_SAMPLE_DRAFT_H
#define KVASIR_SAMPLE_DRAFT_H

#include "base/status.h"

enum { DRAFT_MOST = 15 }; /* proposed at once: with the newest token 16 rows, the height of a tile */

typedef struct draft draft;

/* An index with room for n tokens. All memory is drawn here and touched as tokens come. */
kvasir_status draft_create(int n, draft **out);
void draft_free(draft *d); /* NULL is fine */

/* Appends a token of the text: the prompt's, then each chosen one; at most as many as there is room for. */
void draft_push(draft *d, int32_t id);

/* Writes up to `most` tokens that may follow to `to` and returns how many: 0 where nothing similar has been, or where
   recent proposals of that kind were wrong. The longer the repetition so far, the longer the proposal. */
int draft_propose(const draft *d, int most, int32_t *to);

/* How a proposal of `proposed` (at least 1) tokens did: the first `accepted` were right. */
void draft_learn(draft *d, int proposed, int accepted);

#endif
