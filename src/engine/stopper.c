/* Aho and Corasick 1975: one automaton for all stop strings. Its state is the longest end of the text that is the
   beginning of a stop string, and that is exactly what has to be held back. */
#include "engine/stopper.h"

#include "base/mem.h"

#include <string.h>

typedef struct node {
    int32_t child, sibling; /* 0: none; node 0 is the root, the empty text */
    int32_t fail;           /* the longest proper end of this node's text that is a node too */
    int32_t found;          /* the longest string that this node's text ends with, -1: none */
    int32_t depth;
    unsigned char byte;
} node;

struct stopper {
    node *nodes;
    size_t *lengths;
    char *held; /* text of the current node */
    int32_t at;
    int stopped;
    size_t longest;
};

static int32_t child_of(const stopper *s, int32_t at, unsigned char byte)
{
    int32_t c = s->nodes[at].child;
    while (c != 0 && s->nodes[c].byte != byte) c = s->nodes[c].sibling;
    return c;
}

static int32_t step(const stopper *s, int32_t at, unsigned char byte)
{
    for (;;) {
        int32_t c = child_of(s, at, byte);
        if (c != 0 || at == 0) return c;
        at = s->nodes[at].fail;
    }
}

/* Adds a string's path. Of equal strings the first one keeps its index. */
static void add(stopper *s, int32_t *n_nodes, const char *text, int index)
{
    int32_t at = 0;
    for (const char *c = text; *c; c++) {
        int32_t next = child_of(s, at, (unsigned char)*c);
        if (next == 0) {
            next = (*n_nodes)++;
            s->nodes[next] = (node){
                .sibling = s->nodes[at].child, .found = -1, .depth = s->nodes[at].depth + 1, .byte = (unsigned char)*c};
            s->nodes[at].child = next;
        }
        at = next;
    }
    if (s->nodes[at].found < 0) s->nodes[at].found = index;
}

/* Breadth first, so that the shorter text to which a fail link leads is ready. */
static void link_nodes(stopper *s, int32_t *queue)
{
    size_t head = 0, tail = 0;
    queue[tail++] = 0;
    while (head < tail) {
        int32_t parent = queue[head++];
        for (int32_t c = s->nodes[parent].child; c != 0; c = s->nodes[c].sibling) {
            node *n = &s->nodes[c];
            n->fail = parent == 0 ? 0 : step(s, s->nodes[parent].fail, n->byte);
            if (n->found < 0) n->found = s->nodes[n->fail].found;
            queue[tail++] = c;
        }
    }
}

static kvasir_status fill(stopper *s, const char *const *strings, int n)
{
    size_t total = 0;
    s->lengths = mem_alloc((size_t)n + 1, sizeof *s->lengths);
    if (!s->lengths) return fail_memory((size_t)n * sizeof *s->lengths);
    for (int i = 0; i < n; i++) {
        size_t bytes = s->lengths[i] = strings[i] ? strlen(strings[i]) : 0;
        if (bytes == 0) return fail(KVASIR_E_ARGUMENT, "stop string %d is empty", i);
        total += bytes;
        if (bytes > STOPPER_MAX_BYTES || total > STOPPER_MAX_BYTES)
            return fail(KVASIR_E_ARGUMENT, "the stop strings have more than %d bytes together", STOPPER_MAX_BYTES);
        if (bytes > s->longest) s->longest = bytes;
    }
    s->nodes = mem_alloc(total + 1, sizeof *s->nodes);
    s->held = mem_alloc(s->longest + 1, 1);
    int32_t *queue = mem_alloc(total + 1, sizeof *queue), n_nodes = 1;
    if (!s->nodes || !s->held || !queue) {
        mem_free(queue);
        return fail_memory(total * sizeof *s->nodes);
    }
    s->nodes[0].found = -1;
    for (int i = 0; i < n; i++) add(s, &n_nodes, strings[i], i);
    link_nodes(s, queue);
    mem_free(queue);
    return KVASIR_OK;
}

kvasir_status stopper_create(const char *const *strings, int n, stopper **out)
{
    *out = NULL;
    if (n < 0 || n > STOPPER_MAX_STRINGS)
        return fail(KVASIR_E_ARGUMENT, "%d stop strings, the most is %d", n, STOPPER_MAX_STRINGS);
    stopper *s = mem_alloc(1, sizeof *s);
    if (!s) return fail_memory(sizeof *s);
    s->stopped = -1;
    kvasir_status status = fill(s, strings, n);
    if (status == KVASIR_OK)
        *out = s;
    else
        stopper_free(s);
    return status;
}

void stopper_free(stopper *s)
{
    if (!s) return;
    mem_free(s->nodes);
    mem_free(s->lengths);
    mem_free(s->held);
    mem_free(s);
}

size_t stopper_holds(const stopper *s)
{
    return s->longest > 0 ? s->longest - 1 : 0;
}

static size_t held_bytes(const stopper *s)
{
    return (size_t)s->nodes[s->at].depth;
}

size_t stopper_next(stopper *s, const char *piece, size_t n, char *to, int *stopped)
{
    *stopped = s->stopped;
    if (s->stopped >= 0) return 0;
    size_t before = held_bytes(s);
    memcpy(to, s->held, before);
    memcpy(to + before, piece, n);
    for (size_t i = 0; i < n; i++) {
        s->at = step(s, s->at, (unsigned char)piece[i]);
        int32_t found = s->nodes[s->at].found;
        if (found < 0) continue;
        *stopped = s->stopped = found;
        s->at = 0;
        return before + i + 1 - s->lengths[found];
    }
    size_t shown = before + n - held_bytes(s);
    memcpy(s->held, to + shown, held_bytes(s));
    return shown;
}

size_t stopper_end(stopper *s, char *to)
{
    size_t n = held_bytes(s);
    memcpy(to, s->held, n);
    s->at = 0;
    s->stopped = -1;
    return n;
}
