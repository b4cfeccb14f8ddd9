/* The smallest useful program on libkvasir: a prompt in, text out.

     cc generate.c $(pkg-config --cflags --libs kvasir) -o generate
     ./generate model.gguf "Once upon a time" 64 */
#include <kvasir/kvasir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Called with text as it is decided; anything but 0 would stop the generation. */
static int show(void *user, const char *text, size_t n)
{
    (void)user;
    (void)fwrite(text, 1, n, stdout);
    return fflush(stdout) != 0;
}

static int give_up(kvasir_status status)
{
    (void)fprintf(stderr, "%s: %s\n", kvasir_strerror(status), kvasir_message());
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: %s MODEL.gguf PROMPT [TOKENS]\n", argv[0]);
        return 2;
    }
    kvasir_model *model = NULL;
    kvasir_engine *engine = NULL;
    kvasir_seq *seq = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    kvasir_stats stats;

    kvasir_status status = kvasir_model_open(argv[1], NULL, &model);
    if (status == KVASIR_OK) status = kvasir_engine_create(NULL, &engine);
    if (status == KVASIR_OK) status = kvasir_engine_load(engine, model, NULL, NULL);
    if (status == KVASIR_OK) status = kvasir_seq_create(engine, model, NULL, &seq);
    if (status == KVASIR_OK) status = kvasir_tokenize(model, argv[2], strlen(argv[2]), 1, 0, &ids, &n_ids);
    if (status == KVASIR_OK) {
        kvasir_generate_options options = {0};
        options.ids = ids;
        options.n_ids = (int)n_ids;
        options.n_predict = argc > 3 ? atoi(argv[3]) : 64;
        options.on_text = show;
        status = kvasir_generate(engine, seq, &options, NULL, NULL, &stats);
    }
    int code = status == KVASIR_OK ? EXIT_SUCCESS : give_up(status);
    if (code == EXIT_SUCCESS)
        (void)fprintf(stderr, "\n%d tokens read, %d written, %.1f per second\n", stats.prompt_tokens,
                      stats.generated_tokens, stats.decode_s > 0 ? (stats.generated_tokens - 1) / stats.decode_s : 0);

    kvasir_free(ids);
    kvasir_seq_free(seq);
    kvasir_engine_free(engine);
    kvasir_model_close(model);
    return code;
}
