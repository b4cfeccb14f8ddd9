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
    static const struct option names[] = {{"threads", 1, NULL, 't'}, {"prefill", 1, NULL, 'p'},
                                          {"decode", 1, NULL, 'n'},  {"depths", 1, NULL, 'd'},
                                          {"repeat", 1, NULL, 'r'},  {"kv", 1, NULL, 'k'},
                                          {"cpu", 1, NULL, 'c'},     {0}};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 't') o->threads = atoi(optarg);
        if (c == 'p') o->prefill = atoi(optarg);
        if (c == 'n') o->decode = atoi(optarg);
        if (c == 'd') o->depths = optarg;
        if (c == 'r') o->repeat = atoi(optarg);
        if (c == 'k') o->kv = optarg;
        if (c == 'c') o->cpu = optarg;
        if (c == '?') exit(2);
    }
    if (argc - optind != 2 || o->prefill < 0 || o->decode < 0 || o->repeat < 1 || o->repeat > MAX_TURNS)
        give_up("usage: MODEL.gguf TEXT [--threads N] [--prefill N] [--decode N] [--depths N,N] [--repeat 1..64] "
                "[--kv T] [--cpu LEVEL]");
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
    must(kvasir_engine_create(&(kvasir_engine_options){.n_threads = o->threads, .cpu = o->cpu}, &b->engine));
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

void measure_use(bench *b, int type)
{
    b->seq = b->seqs[type];
    b->kv = b->types[type];
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values. */
static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return (values[n / 2] + values[(n - 1) / 2]) / 2;
}

double measure_paired(const double *rate, const double *other, int turns)
{
    double pair[MAX_TURNS];
    for (int i = 0; i < turns; i++) pair[i] = rate[i] / other[i];
    return median(pair, turns);
}

void measure_types(bench *b, int depth, int n, int piece, measured out[MAX_TYPES])
{
    double rate[MAX_TYPES][MAX_TURNS];
    for (int turn = 0; turn < b->o->repeat; turn++) {
        for (int i = 0; i < b->n_types; i++) {
            int type = turn % 2 == 0 ? i : b->n_types - 1 - i;
            measure_use(b, type);
            rate[type][turn] = measure_rate(b, depth, n, piece);
        }
    }
    for (int i = 0; i < b->n_types; i++)
        out[i] = (measured){.over_previous = i > 0 ? measure_paired(rate[i], rate[i - 1], b->o->repeat) : 1};
    for (int i = 0; i < b->n_types; i++) {
        out[i].median = median(rate[i], b->o->repeat);
        out[i].best = rate[i][b->o->repeat - 1];
    }
}

static void open_types(bench *b, const char *types)
{
    char *copy = strdup(types), *rest = NULL;
    if (!copy) give_up("out of memory");
    for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        if (b->n_types == MAX_TYPES || strlen(word) >= sizeof b->types[0]) give_up("--kv is too long");
        (void)snprintf(b->types[b->n_types], sizeof b->types[0], "%s", word);
        must(kvasir_seq_create(b->engine, b->model, &(kvasir_seq_options){.n_ctx = b->n_ctx, .kv = word},
                               &b->seqs[b->n_types]));
        b->n_types++;
    }
    free(copy);
}

void measure_depths(bench *b, const char *types, void (*fn)(bench *b, int depth))
{
    int filled = 0;
    open_types(b, types);
    measure_use(b, 0);
    (void)measure_rate(b, 0, b->n_ctx < 64 ? b->n_ctx : 64, 32); /* touches the weights and wakes the threads */
    for (const char *d = b->o->depths; d; d = strchr(d, ',') ? strchr(d, ',') + 1 : NULL) {
        int depth = atoi(d);
        if (depth < filled) give_up("--depths have to grow");
        for (int i = 0; i < b->n_types; i++) {
            measure_use(b, i);
            must(kvasir_seq_truncate(b->seq, filled));
            if (depth > filled) append(b, depth - filled);
            must(kvasir_seq_mark(b->seq));
        }
        filled = depth;
        fn(b, depth);
        (void)fflush(stdout);
    }
    for (int i = 0; i < b->n_types; i++) kvasir_seq_free(b->seqs[i]);
}
