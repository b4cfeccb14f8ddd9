/* Speed at depth through the public API alone: prefill of --prefill tokens and decode of --decode tokens
   behind each of
   --depths tokens of real text. One JSON object per measurement and line, which compare.py reads.

     depth MODEL.gguf TEXT [--threads N] [--prefill 512] [--decode 64] [--depths 0,2048] [--repeat 3] [--kv
   f16] */
#include "kvasir/kvasir.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct options {
    const char *model, *text, *depths, *kv;
    int threads, prefill, decode, repeat;
} options;

typedef struct bench {
    kvasir_model *model;
    kvasir_engine *engine;
    kvasir_seq *seq;
    int32_t *ids; /* the text again and again, as many as the deepest measurement needs */
    int n_ids;
} bench;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void give_up(const char *what)
{
    (void)fprintf(stderr, "depth: %s\n", what);
    exit(EXIT_FAILURE);
}

static void must(kvasir_status status)
{
    if (status != KVASIR_OK) give_up(kvasir_message());
}

static void append(const bench *b, int n)
{
    kvasir_work work = {.seq = b->seq, .ids = b->ids + kvasir_seq_length(b->seq), .n = n, .want = KVASIR_WANT_LAST};
    must(kvasir_step(b->engine, &work, 1));
}

/* Tokens per second of `n` tokens in steps of `piece` behind `depth` ones. The ids are given, not sampled:
   what is measured is the model. */
static double measure(const bench *b, int depth, int n, int piece)
{
    must(kvasir_seq_truncate(b->seq, depth));
    double start = now();
    for (int done = 0; done < n; done += piece) append(b, n - done < piece ? n - done : piece);
    return n / (now() - start);
}

static void report(const bench *b, const options *o, const char *test, int depth, int n, int piece)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(b->engine, &info);
    (void)printf("{\"test\":\"%s\",\"n\":%d,\"depth\":%d,\"kv\":\"%s\",\"threads\":%d,\"cpu\":\"%s\","
                 "\"level\":\"%s\",\"tps\":[",
                 test, n, depth, o->kv, info.n_threads, info.cpu_model, info.cpu_level);
    for (int i = 0; i < o->repeat; i++) (void)printf("%s%.3f", i ? "," : "", measure(b, depth, n, piece));
    (void)printf("]}\n");
    (void)fflush(stdout);
}

/* The text's tokens, repeated until there are n. */
static void read_ids(bench *b, const char *path, int n)
{
    FILE *f = fopen(path, "rb");
    if (!f) give_up("the text cannot be opened");
    size_t size = 0, room = (size_t)8 * (size_t)n + 4096, n_ids = 0;
    char *text = malloc(room);
    if (!text) give_up("out of memory");
    size = fread(text, 1, room, f);
    (void)fclose(f);
    int32_t *ids = NULL;
    must(kvasir_tokenize(b->model, text, size, 1, 0, &ids, &n_ids));
    free(text);
    b->ids = malloc((size_t)n * sizeof *b->ids);
    if (!b->ids || n_ids == 0) give_up("the text has no tokens");
    for (int i = 0; i < n; i++) b->ids[i] = ids[(size_t)i % n_ids];
    b->n_ids = n;
    kvasir_free(ids);
}

static options parse(int argc, char **argv)
{
    static const struct option names[] = {{"threads", 1, NULL, 't'},
                                          {"prefill", 1, NULL, 'p'},
                                          {"decode", 1, NULL, 'n'},
                                          {"depths", 1, NULL, 'd'},
                                          {"repeat", 1, NULL, 'r'},
                                          {"kv", 1, NULL, 'k'},
                                          {0}};
    options o = {.depths = "0", .kv = "f16", .prefill = 512, .decode = 64, .repeat = 3};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 't') o.threads = atoi(optarg);
        if (c == 'p') o.prefill = atoi(optarg);
        if (c == 'n') o.decode = atoi(optarg);
        if (c == 'd') o.depths = optarg;
        if (c == 'r') o.repeat = atoi(optarg);
        if (c == 'k') o.kv = optarg;
        if (c == '?') exit(2);
    }
    if (argc - optind != 2 || o.prefill < 0 || o.decode < 0 || o.repeat < 1)
        give_up("usage: depth MODEL.gguf TEXT [--threads N] [--prefill N] [--decode N] [--depths N,N] "
                "[--repeat N] [--kv T]");
    o.model = argv[optind];
    o.text = argv[optind + 1];
    return o;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    int deepest = 0;
    for (const char *d = o.depths; d; d = strchr(d, ',') ? strchr(d, ',') + 1 : NULL)
        if (atoi(d) > deepest) deepest = atoi(d);
    int longest = o.prefill > o.decode ? o.prefill : o.decode, n_ctx = deepest + (longest ? longest : 1);

    bench b = {0};
    must(kvasir_model_open(o.model, NULL, &b.model));
    must(kvasir_engine_create(&(kvasir_engine_options){.n_threads = o.threads}, &b.engine));
    must(kvasir_engine_load(b.engine, b.model, NULL, NULL));
    must(kvasir_seq_create(b.engine, b.model, &(kvasir_seq_options){.n_ctx = n_ctx, .kv = o.kv}, &b.seq));
    read_ids(&b, o.text, n_ctx);

    (void)measure(&b, 0, longest < 64 ? longest : 64, 32); /* touches the weights and wakes the threads */
    for (const char *d = o.depths; d; d = strchr(d, ',') ? strchr(d, ',') + 1 : NULL) {
        int depth = atoi(d);
        must(kvasir_seq_truncate(b.seq, 0));
        if (depth > 0) append(&b, depth);
        must(kvasir_seq_mark(b.seq));
        if (o.prefill > 0) report(&b, &o, "prefill", depth, o.prefill, o.prefill);
        if (o.decode > 0) report(&b, &o, "decode", depth, o.decode, 1);
    }
    kvasir_seq_free(b.seq);
    kvasir_engine_free(b.engine);
    kvasir_model_close(b.model);
    free(b.ids);
    return 0;
}
