#include "tok/special.h"
#include "base/checked.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int32_t child_of(const special_set *s, int32_t node, unsigned char byte)
{
    if (node == 0) return s->first[byte];
    int32_t c = s->node[node].child;
    while (c && s->node[c].byte != byte) c = s->node[c].sibling;
    return c;
}

static kvasir_status add_node(special_set *s, int32_t parent, unsigned char byte, int32_t *out)
{
    if (s->n == s->room) {
        int32_t room = s->room ? s->room * 2 : 64;
        special_node *grown = mem_grow(s->node, (size_t)s->room, (size_t)room, sizeof *grown);
        if (!grown) return fail_memory((size_t)room * sizeof *grown);
        s->node = grown;
        s->room = room;
    }
    if (s->n == 0) s->node[s->n++] = (special_node){.token = -1}; /* the root */
    int32_t id = s->n++;
    s->node[id] = (special_node){.token = -1, .depth = parent ? s->node[parent].depth + 1 : 1, .byte = byte};
    if (parent) {
        s->node[id].sibling = s->node[parent].child;
        s->node[parent].child = id;
    } else {
        s->first[byte] = id;
    }
    *out = id;
    return KVASIR_OK;
}

kvasir_status special_add(special_set *s, const char *text, size_t n, int32_t token)
{
    int32_t at = 0;
    if (n == 0) return KVASIR_OK;
    if (n > SPECIAL_MAX_BYTES || s->n > SPECIAL_MAX_BYTES - (int32_t)n)
        return fail(KVASIR_E_FORMAT, "the special tokens of the vocabulary have more than %d bytes", SPECIAL_MAX_BYTES);
    for (size_t i = n; i-- > 0;) {
        unsigned char byte = (unsigned char)text[i];
        int32_t next = child_of(s, at, byte);
        if (!next) TRY(add_node(s, at, byte, &next));
        at = next;
    }
    s->node[at].token = token;
    return KVASIR_OK;
}

/* The node that the automaton reaches from `at` with a byte. */
static int32_t step(const special_set *s, int32_t at, unsigned char byte)
{
    for (;;) {
        int32_t next = child_of(s, at, byte);
        if (next || at == 0) return next;
        at = s->node[at].fail;
    }
}

static void set_links(special_set *s, int32_t parent, int32_t id)
{
    special_node *v = &s->node[id];
    v->fail = parent ? step(s, s->node[parent].fail, v->byte) : 0;
    v->shorter = s->node[v->fail].token >= 0 ? v->fail : s->node[v->fail].shorter;
}

static kvasir_status collect_lengths(special_set *s)
{
    int32_t most = 0, n = 0;
    for (int32_t i = 1; i < s->n; i++) most = s->node[i].depth > most ? s->node[i].depth : most;
    unsigned char *seen = mem_alloc((size_t)most + 1, 1);
    if (!seen) return fail_memory((size_t)most + 1);
    for (int32_t i = 1; i < s->n; i++)
        if (s->node[i].token >= 0) n += !seen[s->node[i].depth], seen[s->node[i].depth] = 1;
    s->length = mem_alloc((size_t)n, sizeof *s->length);
    if (s->length)
        for (int32_t i = most; i > 0; i--)
            if (seen[i]) s->length[s->n_lengths++] = i;
    mem_free(seen);
    return s->length ? KVASIR_OK : fail_memory((size_t)n * sizeof *s->length);
}

kvasir_status special_finish(special_set *s)
{
    if (s->n == 0) return KVASIR_OK;
    /* Breadth first, so that a node's links lead to nodes that are finished. */
    int32_t *queue = mem_alloc((size_t)s->n, sizeof *queue), head = 0, tail = 0;
    if (!queue) return fail_memory((size_t)s->n * sizeof *queue);
    for (int b = 0; b < 256; b++) {
        if (!s->first[b]) continue;
        set_links(s, 0, s->first[b]);
        queue[tail++] = s->first[b];
    }
    while (head < tail) {
        int32_t parent = queue[head++];
        for (int32_t c = s->node[parent].child; c; c = s->node[c].sibling) {
            set_links(s, parent, c);
            queue[tail++] = c;
        }
    }
    mem_free(queue);
    return collect_lengths(s);
}

void special_free(special_set *s)
{
    mem_free(s->node);
    mem_free(s->length);
    *s = (special_set){0};
}

/* A position where tokens start. `node` is the longest of them that has not been ruled out. */
typedef struct candidate {
    size_t start;
    int32_t node; /* 0: none is left */
    bool taken;
} candidate;

typedef struct candidates {
    candidate *v;
    size_t n, room;
} candidates;

static kvasir_status add_candidate(candidates *c, size_t start, int32_t node)
{
    if (c->n == c->room) {
        size_t room = c->room ? c->room * 2 : 64;
        candidate *grown = mem_grow(c->v, c->room, room, sizeof *grown);
        if (!grown) return fail_memory(room * sizeof *grown);
        c->v = grown;
        c->room = room;
    }
    c->v[c->n++] = (candidate){.start = start, .node = node};
    return KVASIR_OK;
}

/* All positions where a token starts, descending. */
static kvasir_status scan(const special_set *s, const char *text, size_t n, candidates *c)
{
    int32_t at = 0;
    for (size_t i = n; i-- > 0;) {
        at = step(s, at, (unsigned char)text[i]);
        if (!at) continue;
        int32_t end = s->node[at].token >= 0 ? at : s->node[at].shorter;
        if (end) TRY(add_candidate(c, i, end));
    }
    return KVASIR_OK;
}

static bool bit(const unsigned char *bits, size_t i)
{
    return bits[i >> 3] >> (i & 7) & 1;
}

/* Decides about the candidates; `covered` has a bit for each byte of the text. All tokens taken before are at least as
   long as the one looked at now, so this one is free when its first and last byte are. */
static size_t decide(const special_set *s, candidates *c, unsigned char *covered)
{
    size_t n_taken = 0, open = c->n;
    for (int32_t k = 0; k < s->n_lengths && open; k++) {
        const size_t length = (size_t)s->length[k];
        for (size_t j = c->n; j-- > 0;) {
            candidate *p = &c->v[j];
            if (p->taken || !p->node || (size_t)s->node[p->node].depth != length) continue;
            if (bit(covered, p->start) || bit(covered, p->start + length - 1)) {
                p->node = s->node[p->node].shorter;
                open -= p->node == 0;
                continue;
            }
            for (size_t i = p->start; i < p->start + length; i++) covered[i >> 3] |= (unsigned char)(1u << (i & 7));
            p->taken = true;
            n_taken++;
            open--;
        }
    }
    return n_taken;
}

kvasir_status special_find(const special_set *s, const char *text, size_t n, special_hit **out, size_t *n_out)
{
    candidates c = {0};
    unsigned char *covered = NULL;
    *out = NULL;
    *n_out = 0;
    if (s->n == 0) return KVASIR_OK;
    kvasir_status status = scan(s, text, n, &c);
    if (status == KVASIR_OK && c.n) {
        covered = mem_alloc(n / 8 + 1, 1);
        size_t n_taken = covered ? decide(s, &c, covered) : 0;
        *out = covered ? mem_alloc(n_taken, sizeof **out) : NULL;
        if (!*out) status = fail_memory(n);
        for (size_t j = c.n; *out && j-- > 0;)
            if (c.v[j].taken)
                (*out)[(*n_out)++] =
                    (special_hit){c.v[j].start, s->node[c.v[j].node].token, s->node[c.v[j].node].depth};
    }
    mem_free(covered);
    mem_free(c.v);
    return status;
}
