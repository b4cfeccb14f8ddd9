/* Fuzz target: bytes as operations on KV sequences, against the model of kv_model.h. */
#include "kv_model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kv_model model;
    if (!model_run(&model, data, size)) {
        (void)fprintf(stderr, "%s\n", model.wrong);
        abort();
    }
    return 0;
}
