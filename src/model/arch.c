/* The table of architectures: adding one is a row here and a file beside this one. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

static const arch *const table[] = {&arch_gemma3, &arch_llama, &arch_qwen2, &arch_qwen3, &arch_qwen3moe};
enum { N_ARCH = sizeof table / sizeof *table };

const arch *arch_find(const char *name, size_t n)
{
    for (int i = 0; i < N_ARCH; i++)
        if (strlen(table[i]->name) == n && !memcmp(table[i]->name, name, n)) return table[i];
    return NULL;
}

const char *arch_names(char *to, size_t room)
{
    size_t used = 0;
    to[0] = 0;
    for (int i = 0; i < N_ARCH && used < room; i++)
        used += (size_t)snprintf(to + used, room - used, "%s%s", i ? ", " : "", table[i]->name);
    return to;
}
