/* The answers that the server computes. */
#ifndef KVASIR_SERVER_SCHEDULE_JOB_H
#define KVASIR_SERVER_SCHEDULE_JOB_H

#include "server/http/exchange.h"
#include "server/request/request.h"

enum { JOB_ID_BYTES = 48 };

/* An answer: first it waits in the queue, then it reads its prompt, then it generates. */
typedef struct job {
    struct job *next; /* in the queue */
    exchange *x;      /* never NULL; the client may be gone */
    request q;
    char id[JOB_ID_BYTES];
    int64_t created; /* seconds since 1970 */
    kvasir_seq *seq; /* NULL: it waits */
    kvasir_sampler *sampler;
    kvasir_detokenizer *text;
    uint64_t kv_bytes; /* the most that it will hold, with its mark */
    int cached, generated;
    int decoding;
    int32_t token;      /* while decoding: chosen, and not in the sequence yet */
    uint64_t read_turn; /* when a piece of its prompt was last computed */
    double arrived, started, prompt_read, first, last, told;
    const char *finish; /* "stop", "length"; NULL: goes on */
} job;

#endif
