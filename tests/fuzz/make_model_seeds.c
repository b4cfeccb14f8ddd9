/* make_model_seeds FOLDER: writes the seeds of fuzz_model, one tiny model of each family. */
#include "../unit/rig/model_builder.h"

int main(int argc, char **argv)
{
    const struct {
        const char *architecture;
        quant_type type;
        int n_expert, window;
    } seeds[] = {
        {"llama", QUANT_Q4_0, 0, 0},  {"qwen2", QUANT_F16, 0, 0},     {"qwen3", QUANT_Q8_0, 0, 0},
        {"gemma3", QUANT_BF16, 0, 8}, {"qwen3moe", QUANT_Q5_1, 4, 0}, {"llama", QUANT_IQ4_NL, 2, 0},
    };
    for (int i = 0; argc > 1 && i < (int)(sizeof seeds / sizeof *seeds); i++) {
        char path[4096];
        tiny_model t = tiny_llama();
        t.architecture = seeds[i].architecture, t.type = seeds[i].type, t.window = seeds[i].window;
        t.n_layer = 1, t.n_embd = 32, t.n_head = 2, t.n_head_kv = 1, t.head_dim = 16, t.n_ff = 32, t.n_vocab = 20;
        t.n_expert = seeds[i].n_expert, t.n_used = seeds[i].n_expert / 2, t.n_ctx = 256, t.tied = i % 2;
        (void)snprintf(path, sizeof path, "%s/%s-%d.gguf", argv[1], seeds[i].architecture, i);
        gguf_builder b = tiny_build(&t);
        if (i == 0) gb_string(&b, "llama.rope.scaling.type", "yarn"), gb_f32(&b, "llama.rope.scaling.factor", 4);
        gb_write(&b, path);
    }
    return argc > 1 ? 0 : 1;
}
