/* The index is that of LZ77 compressors (as in zlib's deflate.c): a table leads from the hash of n tokens to the place
   behind their newest occurrence, and a chain leads from each place to the one before it. There are two chains: one
   finds short repetitions; the other goes straight to long ones, however many short ones have come later. */
#include "sample/draft.h"

#include "base/checked.h"
#include "base/mem.h"

enum {
    CHAINS = 2,
    SHORT = 2, /* tokens that the places of a chain have in common */
    LONG = 6,
    HASH_BITS = 15,
    TRIES = 32,      /* places looked at in a chain */
    MATCH_MOST = 32, /* a longer repetition is as good as this one */
    FIRST_NEED = 3
};

struct draft {
    int n, room, need; /* need: the shortest repetition that is worth a proposal */
    int32_t *ids;
    int32_t *head[CHAINS];   /* by hash: the newest place, 0: none */
    int32_t *before[CHAINS]; /* by place - 1: the place before it in the chain */
    size_t bytes;
};

kvasir_status draft_create(int n, draft **out)
{
    size_t room = (size_t)n, heads = (size_t)1 << HASH_BITS;
    draft *d = mem_alloc(1, sizeof *d);
    *out = NULL;
    if (!d) return fail_memory(sizeof *d);
    d->bytes = ((1 + CHAINS) * room + CHAINS * heads) * sizeof *d->ids;
    d->ids = region_reserve(d->bytes, false); /* a long context takes no memory until it fills */
    if (!d->ids) {
        size_t bytes = d->bytes;
        mem_free(d);
        return fail_memory(bytes);
    }
    for (int c = 0; c < CHAINS; c++) {
        d->before[c] = d->ids + (size_t)(1 + c) * room;
        d->head[c] = d->ids + (1 + CHAINS) * room + (size_t)c * heads;
    }
    d->room = n;
    d->need = FIRST_NEED;
    *out = d;
    return KVASIR_OK;
}

void draft_free(draft *d)
{
    if (!d) return;
    region_free(d->ids, d->bytes);
    mem_free(d);
}

static uint32_t hash(const int32_t *ids, int n)
{
    uint32_t h = 0;
    for (int i = 0; i < n; i++) h = (h ^ (uint32_t)ids[i]) * 0x9e3779b1u; /* Knuth's multiplicative hashing */
    return h >> (32 - HASH_BITS);
}

void draft_push(draft *d, int32_t id)
{
    static const int common[CHAINS] = {SHORT, LONG};
    if (d->n == d->room) return;
    d->ids[d->n++] = id;
    for (int c = 0; c < CHAINS && d->n >= common[c]; c++) {
        int32_t *head = &d->head[c][hash(d->ids + d->n - common[c], common[c])];
        d->before[c][d->n - 1] = *head;
        *head = d->n;
    }
}

/* How many tokens before place `at` equal those at the end. */
static int match(const draft *d, int at)
{
    int n = 0, most = min_int(at, MATCH_MOST);
    while (n < most && d->ids[at - 1 - n] == d->ids[d->n - 1 - n]) n++;
    return n;
}

int draft_propose(const draft *d, int most, int32_t *to)
{
    int best = 0, place = 0;
    if (d->n == 0) return 0;
    for (int c = CHAINS - 1; c >= 0 && best < LONG; c--) {
        int at = d->before[c][d->n - 1];
        for (int i = 0; i < TRIES && at > 0 && best < MATCH_MOST; i++, at = d->before[c][at - 1]) {
            int n = match(d, at);
            if (n <= best) continue; /* of equally long ones the newest counts */
            best = n;
            place = at;
        }
    }
    if (best < d->need) return 0;
    int n = min_int(min_int(best + best / 2, DRAFT_MOST), most);
    /* Where the earlier occurrence runs into the end of the text, it continues with what it proposes. */
    for (int i = 0; i < n; i++) to[i] = place + i < d->n ? d->ids[place + i] : to[place + i - d->n];
    return max_int(n, 0);
}

/* A step of 16 rows takes about as long as four steps of one, so a third of the proposed tokens is enough. */
void draft_learn(draft *d, int proposed, int accepted)
{
    d->need = 3 * accepted >= proposed ? max_int(d->need / 2, SHORT) : min_int(2 * d->need, MATCH_MOST);
}
