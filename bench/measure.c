#include "measure.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void give_up(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(EXIT_FAILURE);
}

void must(kvasir_status status)
{
    if (status != KVASIR_OK) give_up(kvasir_message());
}

void parse(int argc, char **argv, options *o)
{
    static const struct option names[] = {{"threads", 1, NULL, 't'},
                                          {"prefill", 1, NULL, 'p'},
                                          {"decode", 1, NULL, 'n'},
                                          {"depths", 1, NULL, 'd'},
                                          {"repeat", 1, NULL, 'r'},
                                          {"kv", 1, NULL, 'k'},
                                          {0}};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 't') o->threads = atoi(optarg);
        if (c == 'p') o->prefill = atoi(optarg);
        if (c == 'n') o->decode = atoi(optarg);
        if (c == 'd') o->depths = optarg;
        if (c == 'r') o->repeat = atoi(optarg);
        if (c == 'k') o->kv = optarg;
        if (c == '?') exit(2);
    }
    if (argc - optind != 2 || o->prefill < 0 || o->decode < 0 || o->repeat < 1)
        give_up("usage: MODEL.gguf TEXT [--threads N] [--prefill N] [--decode N] [--depths N,N] [--repeat N] "
                "[--kv T]");
    o->model = argv[optind];
    o->text = argv[optind + 1];
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
    kvasir_free(ids);
}

void measure_open(const options *o, bench *b)
{
    int deepest = 0, longest = o->prefill > o->decode ? o->prefill : o->decode;
    for (const char *d = o->depths; d; d = strchr(d, ',') ? strchr(d, ',') + 1 : NULL)
        if (atoi(d) > deepest) deepest = atoi(d);
    *b = (bench){.o = o, .n_ctx = deepest + (longest > 0 ? longest : 1)};
    must(kvasir_model_open(o->model, NULL, &b->model));
    must(kvasir_engine_create(&(kvasir_engine_options){.n_threads = o->threads}, &b->engine));
    must(kvasir_engine_load(b->engine, b->model, NULL, NULL));
    kvasir_engine_get_info(b->engine, &b->info);
    read_ids(b, o->text, b->n_ctx);
}

void measure_close(bench *b)
{
    kvasir_engine_free(b->engine);
    kvasir_model_close(b->model);
    free(b->ids);
}

static void append(const bench *b, int n)
{
    kvasir_work work = {.seq = b->seq, .ids = b->ids + kvasir_seq_length(b->seq), .n = n, .want = KVASIR_WANT_LAST};
    must(kvasir_step(b->engine, &work, 1));
}

double measure_rate(const bench *b, int depth, int n, int piece)
{
    must(kvasir_seq_truncate(b->seq, depth));
    double start = now();
    for (int done = 0; done < n; done += piece) append(b, n - done < piece ? n - done : piece);
    return n / (now() - start);
}

double measure_best(const bench *b, int depth, int n, int piece)
{
    double best = 0;
    for (int i = 0; i < b->o->repeat; i++) {
        double rate = measure_rate(b, depth, n, piece);
        if (rate > best) best = rate;
    }
    return best;
}

void measure_depths(bench *b, const char *kv, void (*fn)(bench *b, int depth))
{
    b->kv = kv;
    must(kvasir_seq_create(b->engine, b->model, &(kvasir_seq_options){.n_ctx = b->n_ctx, .kv = kv}, &b->seq));
    (void)measure_rate(b, 0, b->n_ctx < 64 ? b->n_ctx : 64, 32); /* touches the weights and wakes the threads */
    for (const char *d = b->o->depths; d; d = strchr(d, ',') ? strchr(d, ',') + 1 : NULL) {
        int depth = atoi(d);
        must(kvasir_seq_truncate(b->seq, 0));
        if (depth > 0) append(b, depth);
        must(kvasir_seq_mark(b->seq));
        fn(b, depth);
        (void)fflush(stdout);
    }
    kvasir_seq_free(b->seq);
    b->seq = NULL;
}

void each_word(const char *list, void (*fn)(void *user, const char *word), void *user)
{
    char *copy = strdup(list), *rest = NULL;
    if (!copy) give_up("out of memory");
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) fn(user, word);
    free(copy);
}
