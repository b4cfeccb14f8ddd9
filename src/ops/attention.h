/* What attending and appending share: how pages are found, and which of them need integers. */
#ifndef KVASIR_OPS_ATTENTION_H
#define KVASIR_OPS_ATTENTION_H

#include "ops/ops.h"

enum { PAGE = KV_PAGE };

/* Whether full pages of the stream change from the open to the closed form. */
static inline bool packs(const op_stream *s)
{
    return attn_is_packed(s->format[OP_CLOSED]);
}

/* Whether the stream's rows go through vec.hadamard. */
static inline bool rotates(const op_stream *s)
{
    return s->format[OP_CLOSED] == ATTN_Q4;
}

/* Page 0 and a query's own page are open. Only queries behind both meet closed pages, and need integers. */
static inline bool meets_closed(const op_stream *k, int pos)
{
    return packs(k) && pos / PAGE > 1;
}

/* A row's query heads as integers. */
static inline act_block *query_blocks(const attn_shape *sh, const attn_room *room, int row, int head)
{
    return room->qi + ((size_t)row * (size_t)sh->n_head + (size_t)head) * (size_t)attn_blocks(sh->head_dim);
}

/* A page as the queries in it see it (own), or as later ones do. */
attn_page page_of(const attn_shape *sh, const attn_item *it, const attn_room *room, int page, int head_kv, bool own);

#endif
