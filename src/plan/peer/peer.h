/* What llama.cpp would allocate for a model, and its command line. */
#ifndef KVASIR_PLAN_PEER_PEER_H
#define KVASIR_PLAN_PEER_PEER_H

#include "plan/bytes/bytes.h"

typedef struct peer_type {
    const char *name, *other; /* the peer's name; ours where it has one, else NULL */
    int bytes_of_32;          /* of 32 elements */
    int block;                /* a head's size is a multiple of this */
    kv_type ours;             /* the smallest of our types that holds no less */
} peer_type;

/* NULL for an unknown name. */
const peer_type *peer_type_find(const char *name, size_t n);
/* The peer's type for one of ours. */
const peer_type *peer_type_for(kv_type type);
const char *peer_type_names(char *to, size_t room);

typedef struct peer_buffer {
    const char *name;
    int64_t cells; /* of all sequences; of states: sequences */
    int layers;
    uint64_t k_bytes, v_bytes;
    bool is_state;
} peer_buffer;

enum { PEER_BUFFERS = 16 };

typedef struct peer_table {
    peer_buffer buffer[PEER_BUFFERS];
    int n_buffers;
    uint64_t bytes, state_bytes; /* bytes: states included */
} peer_table;

/* llama.cpp rounds a sequence's cells up to 256. */
int peer_context(int n_ctx);
/* `ubatch`: its --ubatch-size, `users`: its --parallel. KVASIR_E_ARGUMENT where it refuses a cache type. */
kvasir_status peer_table_make(const plan_shape *s, int n_ctx, int ubatch, int users, const peer_type *k,
                              const peer_type *v, peer_table *out);

#endif
