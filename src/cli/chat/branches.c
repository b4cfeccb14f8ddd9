/* Branches: conversations that share their beginning, and its KV. */
#include "cli/chat/chat.h"

#include <stdio.h>
#include <stdlib.h>

void cmd_fork(chat_state *c, const char *rest)
{
    (void)rest;
    if (c->n_branches == MAX_BRANCHES) {
        say("there are %d branches; no more are possible", MAX_BRANCHES);
        return;
    }
    branch made = {0};
    kvasir_status status = kvasir_seq_fork(now(c)->seq, -1, &made.seq);
    if (status == KVASIR_OK) {
        made.messages = json_deep_copy(now(c)->messages);
        if (!made.messages) status = fail_memory(0);
    }
    if (status != KVASIR_OK) {
        kvasir_seq_free(made.seq);
        (void)failed(status);
        return;
    }
    c->branches[c->n_branches] = made;
    (void)fprintf(stderr, "branch %d begins here; /branch %d goes back\n", c->n_branches, c->current);
    c->current = c->n_branches++;
}

/* Lists the branches, or goes to one. */
void cmd_branch(chat_state *c, const char *rest)
{
    char *end = NULL;
    long wanted = strtol(rest, &end, 10);
    if (*rest) {
        if (end == rest || *end || wanted < 0 || wanted >= c->n_branches) {
            say("there is no such branch; /branch lists them");
            return;
        }
        c->current = (int)wanted;
    }
    for (int i = 0; i < c->n_branches; i++)
        (void)fprintf(stderr, "%c branch %d: %zu message%s, %d token%s, KV %s\n", i == c->current ? '*' : ' ', i,
                      json_array_size(c->branches[i].messages), plural(json_array_size(c->branches[i].messages)),
                      kvasir_seq_length(c->branches[i].seq), plural((uint64_t)kvasir_seq_length(c->branches[i].seq)),
                      bytes_text(kvasir_seq_kv_bytes(c->branches[i].seq)));
}
