/* Prompt lookup (Saxena 2023): what followed the last tokens when they occurred before is proposed as what follows
   now. The caller computes the proposal in one step with the newest token, and keeps the tokens that the sampler would
   have chosen anyway. */
#ifndef KVASIR_SAMPLE_DRAFT_H
#define KVASIR_SAMPLE_DRAFT_H

#include "base/status.h"

enum { DRAFT_MOST = 15 }; /* proposed at once; with the newest token 16 rows, the height of a tile */

typedef struct draft draft;

/* An index with room for n tokens. All address space is reserved here, and becomes memory as tokens come. */
kvasir_status draft_create(int n, draft **out);
void draft_free(draft *d); /* NULL is fine */

/* Appends a token of the text: those of the prompt, then each chosen one. There may be at most as many as there
   is room for. */
void draft_push(draft *d, int32_t id);

/* Writes up to `most` tokens that may follow to `to`, and returns how many. 0 where nothing similar has occurred, or
   where recent proposals of that kind were wrong. The longer the repetition so far, the longer the proposal. */
int draft_propose(const draft *d, int most, int32_t *to);

/* Tells how a proposal of `proposed` (at least 1) tokens went: its first `accepted` tokens were right. */
void draft_learn(draft *d, int proposed, int accepted);

#endif
