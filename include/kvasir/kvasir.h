/* Kvasir: a long-context LLM runtime. This is its only public header; it compiles alone as C and as C++. */
#ifndef KVASIR_KVASIR_H
#define KVASIR_KVASIR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(KVASIR_BUILDING) && defined(__GNUC__)
#define KVASIR_API __attribute__((visibility("default")))
#else
#define KVASIR_API
#endif

/* Every call that can fail returns one of these. X(name, number, text) */
#define KVASIR_STATUS_MAP(X)                                                                                           \
    X(OK, 0, "done")                                                                                                   \
    X(E_ARGUMENT, 1, "wrong argument")                                                                                 \
    X(E_FORMAT, 2, "bad file")                                                                                         \
    X(E_UNSUPPORTED, 3, "not supported")                                                                               \
    X(E_MEMORY, 4, "out of memory")                                                                                    \
    X(E_CONTEXT, 5, "does not fit in the context")                                                                     \
    X(E_IO, 6, "input or output failed")                                                                               \
    X(E_CANCELLED, 7, "cancelled")                                                                                     \
    X(E_TEMPLATE, 8, "the chat template failed")                                                                       \
    X(E_INTERNAL, 9, "internal error")                                                                                 \
    X(E_NOT_FINITE, 10, "not a finite number")

typedef enum kvasir_status {
#define X(name, number, text) KVASIR_##name = number,
    KVASIR_STATUS_MAP(X)
#undef X
} kvasir_status;

/* "KVASIR_E_FORMAT", and the general text for it. Static strings; unknown codes give "KVASIR_?". */
KVASIR_API const char *kvasir_status_name(kvasir_status status);
KVASIR_API const char *kvasir_strerror(kvasir_status status);

/* What the last failed call on this thread said: one sentence that names the key, tensor, byte or number. Valid until
   the next failed call on this thread; never NULL. */
KVASIR_API const char *kvasir_message(void);

KVASIR_API const char *kvasir_version(void); /* "0.1.0" */

/* Releases what the description of a call says is released with kvasir_free. NULL is fine. */
KVASIR_API void kvasir_free(void *p);

/* Options structs: zero means the default everywhere, so `= {0}` (C) or `= {}` (C++) is always right. Unless said
   otherwise, strings and arrays that are passed in are read during the call only, results belong to the object that
   they came from, and an object is used from one thread at a time.

   A pointer may be NULL only where that is said; arrays of no entries and objects to be freed may. Otherwise, and for
   counts that are negative or have no array, a call fails with KVASIR_E_ARGUMENT; one that returns no status then returns
   0, NULL or, where it chooses an id, -1, and kvasir_message() says why. */

/* Receives notes that are worth a line on stderr, one sentence each. */
typedef void (*kvasir_log_fn)(void *user, const char *text);
/* `done` of `total`; return nonzero to cancel (the call then gives KVASIR_E_CANCELLED). */
typedef int (*kvasir_progress_fn)(void *user, uint64_t done, uint64_t total);

/* ---- model: a GGUF file ---------------------------------------------------------------------------------------- */

typedef struct kvasir_model kvasir_model;

typedef struct kvasir_model_options {
    const char *pre;  /* the tokenizer's split pattern instead of the file's (tokenizer.ggml.pre) */
    int header_only;  /* the tensor data may be missing: inspecting and planning only */
    int inspect_only; /* an unknown architecture, tokenizer or broken tensor set is no error: it becomes a "problem" in
                         the info, and the model cannot run */
} kvasir_model_options;

/* Opens a GGUF file (of a split set: the first) and checks all of it. `o` may be NULL. The model must outlive the
   engines into which it is loaded. */
KVASIR_API kvasir_status kvasir_model_open(const char *path, const kvasir_model_options *o, kvasir_model **out);
KVASIR_API void kvasir_model_close(kvasir_model *m); /* NULL is fine */

typedef struct kvasir_model_info {
    const char *path, *architecture, *name;
    uint32_t gguf_version;
    int n_files;
    uint64_t file_bytes, tensor_bytes, n_parameters;
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx_train, n_expert, n_expert_used, window;
    const char *tokenizer_model, *tokenizer_pre; /* as the file names them; "" when absent */
    int32_t bos, eos;                            /* -1: none */
    int adds_bos, adds_eos;
    const char *chat_template; /* NULL when the file has none */
    int n_tensors, n_metadata, n_problems;
    int n_notes;
} kvasir_model_info;
KVASIR_API const kvasir_model_info *kvasir_model_get_info(const kvasir_model *m); /* lives as long as the model */
/* Sentence i of n_problems, which inspect_only has noted; NULL beyond them. */
KVASIR_API const char *kvasir_model_problem(const kvasir_model *m, int i);
/* What a user should know of a model that runs: parts of the file that are not used, guesses. A sentence; NULL beyond the
   last. */
KVASIR_API const char *kvasir_model_note(const kvasir_model *m, int i);

typedef struct kvasir_tensor_info {
    const char *name, *type;
    int n_dims;
    int64_t shape[4]; /* shape[0] is the row length */
    uint64_t n_elements, bytes, offset;
    int file; /* of a split set */
} kvasir_tensor_info;
/* Tensor i of n_tensors, in the files' order. The texts live as long as the model. */
KVASIR_API kvasir_status kvasir_model_tensor(const kvasir_model *m, int i, kvasir_tensor_info *out);
/* Decodes a whole tensor to n_elements floats. */
KVASIR_API kvasir_status kvasir_model_tensor_read(const kvasir_model *m, const char *name, float *out);

/* Metadata entry i of n_metadata as text: *key and *type point into the model; *value is shortened to about 120 bytes
   and is the caller's (kvasir_free). */
KVASIR_API kvasir_status kvasir_model_metadata(const kvasir_model *m, int i, const char **key, const char **type,
                                               char **value);

/* The number or boolean (0, 1) under a key: 1 with *out, or 0 where the file has none of that name. */
KVASIR_API int kvasir_model_number(const kvasir_model *m, const char *key, double *out);
/* The text under a key, which lives as long as the model; NULL where the file has none of that name. */
KVASIR_API const char *kvasir_model_text(const kvasir_model *m, const char *key);

typedef struct kvasir_kv_stream {
    int layer, n_heads, head_dim, window; /* window 0: all tokens */
    const char *name;                     /* "k" or "v" */
    const char *type;
    double row_bytes;    /* of one token, all heads, in closed pages */
    uint64_t page_bytes; /* 64 tokens of one head, closed */
} kvasir_kv_stream;
typedef struct kvasir_kv_info {
    int n_streams;
    double bytes_per_token; /* of streams without a window */
    uint64_t bytes_at_ctx;  /* pool bytes of one sequence of n_ctx tokens, exactly */
    uint64_t peak_bytes;    /* the most that one holds at any moment on its way there, with one mark */
} kvasir_kv_info;
/* What the KV cache holds for a type ("f16", "q8:q4") at n_ctx tokens. */
KVASIR_API kvasir_status kvasir_model_kv(const kvasir_model *m, const char *kv, int n_ctx, kvasir_kv_info *out);
/* Stream i of n_streams for a type: what it holds for each token. */
KVASIR_API kvasir_status kvasir_model_kv_stream(const kvasir_model *m, const char *kv, int i, kvasir_kv_stream *out);

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* Text to ids. add_special: BOS/EOS as the model wants; parse_special: a control token that is written in the text
   becomes that token, and never without it. *ids is the caller's (kvasir_free). Any thread may call the functions
   of this section. */
KVASIR_API kvasir_status kvasir_tokenize(const kvasir_model *m, const char *text, size_t n, int add_special,
                                         int parse_special, int32_t **ids, size_t *n_ids);
/* Ids to text; with `special` control tokens are shown. *text is NUL-terminated and the caller's (kvasir_free). */
KVASIR_API kvasir_status kvasir_detokenize(const kvasir_model *m, const int32_t *ids, size_t n, int special,
                                           char **text, size_t *n_text);
KVASIR_API int kvasir_token_ends(const kvasir_model *m, int32_t id); /* end of generation? */

/* Renders a chat template with the variables of a JSON object (messages, tools, add_generation_prompt, ...). `text`
   NULL: the model's own template; model NULL: `text` alone. bos_token and eos_token come from the model unless they are
   given. now: the time that strftime_now shows, in seconds since 1970 in local time; 0 for the clock. *out is the
   caller's (kvasir_free). A template's raise_exception gives KVASIR_E_TEMPLATE and its message. */
KVASIR_API kvasir_status kvasir_template_render(const kvasir_model *m, const char *text, const char *json, int64_t now,
                                                char **out, size_t *n_out);

/* Does the template (as above) read this variable anywhere? What it does not read has no effect on the prompt. */
KVASIR_API kvasir_status kvasir_template_uses(const kvasir_model *m, const char *text, const char *variable, int *uses);

/* The ids of a conversation's prompt: the template (as above) is rendered with a JSON object, and the text tokenized
   with control tokens read. Where template and tokenizer both write BOS, there is only one. A last EOS is left out,
   since it would end the answer before it begins. *ids is the caller's (kvasir_free). */
KVASIR_API kvasir_status kvasir_template_ids(const kvasir_model *m, const char *text, const char *json, int64_t now,
                                             int32_t **ids, size_t *n_ids);

/* Turns generated ids into text as soon as the text is certain: whole characters, without stop strings, which may span
   tokens. From one thread at a time. */
typedef struct kvasir_detokenizer kvasir_detokenizer;
/* Copies the stop strings (n_stop may be 0). special: control tokens are shown. */
KVASIR_API kvasir_status kvasir_detokenizer_create(const kvasir_model *m, const char *const *stop, int n_stop,
                                                   int special, kvasir_detokenizer **out);
KVASIR_API void kvasir_detokenizer_free(kvasir_detokenizer *d); /* NULL is fine */
/* Takes the next id. *stopped (may be NULL) is the index of the stop string that has been found, else -1; once it is
   found no more text comes. */
KVASIR_API kvasir_status kvasir_detokenizer_add(kvasir_detokenizer *d, int32_t id, int *stopped);
/* Tells that there are no more ids: what was held back becomes text. */
KVASIR_API kvasir_status kvasir_detokenizer_end(kvasir_detokenizer *d);
/* The text that has come since the last call: *n bytes and a 0, valid until the next call with d. */
KVASIR_API const char *kvasir_detokenizer_text(kvasir_detokenizer *d, size_t *n);

/* ---- engine: threads, packed weights, the KV pool ---------------------------------------------------------------- */

typedef struct kvasir_engine kvasir_engine;

typedef struct kvasir_engine_options {
    int n_threads;      /* 0: one per usable core */
    const char *cpu;    /* "ref", "avx2", "avx512vnni", ...; NULL or "auto": the best */
    uint64_t kv_memory; /* budget of the KV pool in bytes; 0: half of the memory that is available now */
    int max_batch;      /* token rows of one step, 0: 512 */
    int max_logits;     /* rows of logits of one step, 0: 64 */
    kvasir_log_fn log;
    void *log_user;
} kvasir_engine_options;

/* `o` may be NULL. KVASIR_E_ARGUMENT names an option out of its range. */
KVASIR_API kvasir_status kvasir_engine_create(const kvasir_engine_options *o, kvasir_engine **out);
/* All its sequences must have been freed. NULL is fine. */
KVASIR_API void kvasir_engine_free(kvasir_engine *e);
/* Reads and packs the model's weights. Progress counts bytes. KVASIR_E_MEMORY says how much is missing. */
KVASIR_API kvasir_status kvasir_engine_load(kvasir_engine *e, const kvasir_model *m, kvasir_progress_fn progress,
                                            void *user);

/* Computes with n threads from the next step on; at most as many as the engine was created with. */
KVASIR_API kvasir_status kvasir_engine_set_threads(kvasir_engine *e, int n);

typedef struct kvasir_engine_info {
    int n_threads, max_batch, max_logits;
    const char *cpu_level;
    char cpu_model[96];
    uint64_t weights_bytes, workspace_bytes, kv_budget, kv_used, kv_peak;
    uint64_t resident_bytes, peak_resident_bytes; /* of the process */
} kvasir_engine_info;
KVASIR_API void kvasir_engine_get_info(const kvasir_engine *e, kvasir_engine_info *out); /* fills *out */

/* ---- sequences -------------------------------------------------------------------------------------------------- */

typedef struct kvasir_seq kvasir_seq;

typedef struct kvasir_seq_options {
    int n_ctx; /* the most tokens it may hold; 0: what the model was trained for, or what fits the budget with a mark if less */
    const char *kv; /* "f16" (default), "f32", "q8", "q8:q4", ... */
} kvasir_seq_options;

/* An empty sequence of a model that the engine has loaded. `o` may be NULL. */
KVASIR_API kvasir_status kvasir_seq_create(kvasir_engine *e, const kvasir_model *m, const kvasir_seq_options *o,
                                           kvasir_seq **out);
KVASIR_API void kvasir_seq_free(kvasir_seq *s); /* NULL is fine */
/* A new sequence with the first `at` tokens of another (-1: all). Shares blocks, copies only the one being filled. */
KVASIR_API kvasir_status kvasir_seq_fork(const kvasir_seq *from, int at, kvasir_seq **out);
/* Cuts to n tokens. Where sliding windows have let go of rows before n, the next step computes what is needed again. */
KVASIR_API kvasir_status kvasir_seq_truncate(kvasir_seq *s, int n);
/* Marks the present length as a place to come back to cheaply. The two newest marks are kept. A mark may hold memory of
   its own (rows that sliding windows let go of); where a step would fail for want of it, marks are given up first. */
KVASIR_API kvasir_status kvasir_seq_mark(kvasir_seq *s);
KVASIR_API int kvasir_seq_length(const kvasir_seq *s); /* tokens, computed or not */
/* How many of its tokens need no computing: all of them; or fewer after a fork or a cut to a place whose rows sliding
   windows have let go of. */
KVASIR_API int kvasir_seq_computed(const kvasir_seq *s);
KVASIR_API int kvasir_seq_ctx(const kvasir_seq *s);            /* the most tokens it may hold */
KVASIR_API const int32_t *kvasir_seq_ids(const kvasir_seq *s); /* length entries; valid until the sequence changes */
KVASIR_API uint64_t kvasir_seq_kv_bytes(const kvasir_seq *s);  /* of the blocks it refers to */
typedef struct kvasir_kv_held {
    int layer;
    const char *name, *type; /* as in kvasir_kv_stream */
    int n_pages;             /* of each head */
    uint64_t bytes;
} kvasir_kv_held;
/* What a sequence holds of stream i of kvasir_model_kv, counted in its own tables: the pages of 64 tokens that the pool
   has for it, without the rounding of blocks. */
KVASIR_API kvasir_status kvasir_seq_kv_stream(const kvasir_seq *s, int i, kvasir_kv_held *out);
/* Bytes that decoding one token at the present length has to read: the packed weights (of routed experts those that one
   token uses) and the pages of K and V that the token sees. Divided by kvasir_read_bandwidth they give the least
   seconds that a token takes, unless the bytes stay in a cache. */
KVASIR_API uint64_t kvasir_seq_step_bytes(const kvasir_seq *s);
KVASIR_API const char *kvasir_seq_kv_type(const kvasir_seq *s, int is_v); /* "q8" */

/* ---- the step --------------------------------------------------------------------------------------------------- */

typedef enum kvasir_want { KVASIR_WANT_NONE, KVASIR_WANT_LAST, KVASIR_WANT_ALL } kvasir_want;

/* Tokens to append to a sequence: one when decoding, a piece of any length when prefilling. */
typedef struct kvasir_work {
    kvasir_seq *seq;
    const int32_t *ids;
    int n;
    kvasir_want want;    /* which rows of logits */
    const float *logits; /* out: the wanted rows, n_vocab floats each; valid until the next step */
} kvasir_work;

/* Computes all items together (a sequence may appear once); n_vocab logits for each wanted row. The results do not
   depend on what else is in the step, on how a prompt is cut into steps, or on the number of threads: they are the
   same bits. All or nothing: on failure every sequence is as before. KVASIR_E_CONTEXT: the tokens do not fit the
   context; KVASIR_E_MEMORY: the KV budget is used up; KVASIR_E_CANCELLED: kvasir_cancel was called. A step of more
   than max_batch rows is computed in pieces. */
KVASIR_API kvasir_status kvasir_step(kvasir_engine *e, kvasir_work *work, int n_work);

/* Makes the step that is running return KVASIR_E_CANCELLED soon (within a layer); no effect when none is running.
   May be called from any thread and from a signal handler. */
KVASIR_API void kvasir_cancel(kvasir_engine *e);

/* ---- sampling --------------------------------------------------------------------------------------------------- */

typedef struct kvasir_sampler kvasir_sampler;

typedef struct kvasir_logit_bias {
    int32_t id;
    float bias; /* -INFINITY forbids */
} kvasir_logit_bias;

/* Zero switches a stage off. The order is: logit bias, repetition/frequency/presence penalties, DRY, top-k, typical,
   top-p, min-p, XTC, temperature, draw. temperature 0 is greedy (after bias and penalties). */
typedef struct kvasir_sampler_options {
    float temperature;
    int top_k;
    float top_p, min_p, typical_p;
    float repeat_penalty; /* 0 or 1: off */
    int repeat_last_n;    /* 0: 64, -1: everything */
    float frequency_penalty, presence_penalty;
    float dry_multiplier, dry_base;  /* base 0: 1.75 */
    int dry_allowed_length;          /* 0: 2 */
    int dry_last_n;                  /* 0: everything */
    const char *const *dry_breakers; /* NULL: newline, colon, quote, asterisk */
    int n_dry_breakers;
    float xtc_probability, xtc_threshold;
    const kvasir_logit_bias *bias;
    int n_bias;
    uint64_t seed;
} kvasir_sampler_options;

/* The model gives the vocabulary (DRY's breakers are text). KVASIR_E_ARGUMENT names an option out of its range. */
KVASIR_API kvasir_status kvasir_sampler_create(const kvasir_model *m, const kvasir_sampler_options *o,
                                               kvasir_sampler **out);
KVASIR_API void kvasir_sampler_free(kvasir_sampler *s); /* NULL is fine */
/* Tells the sampler about a token of the context (prompt tokens, then each chosen one). */
KVASIR_API void kvasir_sampler_accept(kvasir_sampler *s, int32_t id);
/* Chooses from n_vocab logits. The same seed, options, history and logits give the same id, at every CPU level. */
KVASIR_API int32_t kvasir_sampler_choose(kvasir_sampler *s, const float *logits);

/* ---- generate: prompt in, text out ------------------------------------------------------------------------------ */

typedef enum kvasir_stop {
    KVASIR_STOP_NONE,
    KVASIR_STOP_END,    /* an end-of-generation token */
    KVASIR_STOP_LIMIT,  /* n_predict tokens */
    KVASIR_STOP_STRING, /* a stop string */
    KVASIR_STOP_CONTEXT /* the context is full */
} kvasir_stop;

/* Proposes tokens that are then computed together, which is faster where the proposals are right. What is generated
   does not depend on it: the sampler chooses each token from the same logits, in the same order, as without. */
typedef enum kvasir_draft {
    KVASIR_DRAFT_NONE,
    KVASIR_DRAFT_LOOKUP /* what followed where the last tokens occurred before, in the prompt or the answer; proposes
                           fewer than max_logits and max_batch tokens at a time, at most 15 */
} kvasir_draft;

/* Gets text as soon as it is certain: whole characters, without stop strings; with a draft perhaps that of several
   tokens at once. Return nonzero to stop (KVASIR_E_CANCELLED). */
typedef int (*kvasir_text_fn)(void *user, const char *text, size_t n);

typedef struct kvasir_generate_options {
    const int32_t *ids; /* the prompt, appended to what the sequence holds */
    int n_ids;
    int n_predict;           /* 0: until the end or the context is full */
    const char *const *stop; /* stop strings; they may span tokens */
    int n_stop;
    int special;             /* show control tokens in the text */
    int ignore_end;          /* go on after end-of-generation tokens */
    int chunk;               /* prompt tokens per step, 0: max_batch */
    kvasir_sampler *sampler; /* NULL: greedy */
    kvasir_draft draft;
    kvasir_progress_fn on_prefill; /* prompt tokens done of all */
    kvasir_text_fn on_text;
    void *user; /* of both callbacks */
} kvasir_generate_options;

typedef struct kvasir_stats {
    int prompt_tokens, generated_tokens, depth; /* depth: tokens in the sequence at the end */
    double prefill_s, ttft_s, decode_s;         /* decode_s: after the first generated token */
    kvasir_stop stop;
    uint64_t kv_bytes;
    int drafted, accepted; /* tokens that were proposed, and how many of them were right */
} kvasir_stats;

/* The prompt must fit: KVASIR_E_CONTEXT with both numbers before anything is computed. *ids (ids may be NULL) is set to
   the generated ids, which are the caller's (kvasir_free). `stats` may be NULL. */
KVASIR_API kvasir_status kvasir_generate(kvasir_engine *e, kvasir_seq *s, const kvasir_generate_options *o,
                                         int32_t **ids, int *n_ids, kvasir_stats *stats);

/* ---- bench: the machine's limits and the kernels beside them ----------------------------------------------------- */

typedef struct kvasir_bench_row {
    const char *name, *unit; /* "gemv Q4_K", "GB/s"; valid during the call */
    double value, limit;     /* limit 0: the row is a limit itself */
    int threads;
} kvasir_bench_row;
typedef void (*kvasir_bench_fn)(void *user, const kvasir_bench_row *row);
/* Measures for about `seconds` in all. o as for an engine (threads, cpu). */
KVASIR_API kvasir_status kvasir_bench(const kvasir_engine_options *o, double seconds, kvasir_bench_fn on_row,
                                      void *user);
/* The best rate, in bytes per second, at which the threads read memory beyond the caches, measured for about `seconds`.
   o as for an engine (threads, cpu). */
KVASIR_API kvasir_status kvasir_read_bandwidth(const kvasir_engine_options *o, double seconds, double *bytes_per_s);

/* ---- machine: what a computer can do ----------------------------------------------------------------------------- */

enum { KVASIR_MACHINE_TEXT = 96, KVASIR_MACHINE_TEAMS = 32, KVASIR_MACHINE_KERNELS = 96, KVASIR_MACHINE_GPUS = 8 };

/* What a number of threads reaches together. Zero: not known. */
typedef struct kvasir_machine_team {
    int threads;
    char level[16];          /* CPU level: "avx2", ... */
    double read_bytes_per_s; /* memory beyond the caches; measured at one level, since it is the same at all */
    double int8_ops_per_s, f32_ops_per_s; /* a multiply-add counts as two */
    double barrier_s;                     /* seconds until all threads have met */
} kvasir_machine_team;

/* How fast one hot loop is on this machine, under the names of kvasir_bench's rows ("gemv Q4_K"). */
typedef struct kvasir_machine_kernel {
    char name[40], unit[8], level[16]; /* unit: "B/s", "op/s" (integers) or "FLOP/s" */
    int threads;
    double rate; /* in that unit: bytes or operations per second, not 10^9 of them */
} kvasir_machine_kernel;

typedef struct kvasir_machine_gpu {
    char name[KVASIR_MACHINE_TEXT];
    int unified;                               /* its memory is the computer's own */
    uint64_t memory_bytes, free_bytes;         /* free: when it was measured; 0: not known */
    double read_bytes_per_s, link_bytes_per_s; /* of its memory; to it, in one direction. 0: not known */
} kvasir_machine_gpu;

/* A computer, measured by kvasir_probe or described by hand. Zero: not known. */
typedef struct kvasir_machine {
    char name[KVASIR_MACHINE_TEXT], cpu[KVASIR_MACHINE_TEXT];
    char date[32]; /* of measuring: "2026-11-25T12:20:00Z"; may be empty */
    int n_cores;   /* that a process may use */
    int n_numa_nodes;
    uint64_t cache_bytes;                   /* the largest that a core has */
    uint64_t memory_bytes, available_bytes; /* physical; free for new programs when it was measured */
    uint64_t limit_bytes;                   /* of the process's control groups; 0: none */
    uint64_t swap_bytes, swap_free_bytes;
    double disk_bytes_per_s, page_cache_bytes_per_s; /* reading a file from the disk, and one that is in memory */
    double busy_cores; /* what other programs used of the cores while it was measured, on average */
    double
        spread; /* by which two measurements of the same, some seconds apart, differed: 0.1 is a tenth (the median) */
    int n_teams, n_kernels, n_gpus;
    kvasir_machine_team team[KVASIR_MACHINE_TEAMS]; /* first those of the best level, by threads; then other levels' */
    kvasir_machine_kernel kernel[KVASIR_MACHINE_KERNELS];
    kvasir_machine_gpu gpu[KVASIR_MACHINE_GPUS];
} kvasir_machine;

/* Is told what is being measured, step `done` of `total`; return nonzero to cancel (KVASIR_E_CANCELLED). */
typedef int (*kvasir_probe_fn)(void *user, const char *what, int done, int total);

typedef struct kvasir_probe_options {
    int n_threads;      /* of the largest team; 0: one per usable core */
    const char *cpu;    /* the level whose kernels are measured; NULL or "auto": the best */
    double seconds;     /* about, in all; 0: 10 */
    const char *folder; /* where the disk is measured, with a file of at most 256 MiB that has no name and so leaves
                           nothing behind; NULL: the disk is not measured */
    kvasir_probe_fn on_step;
    void *step_user;
    kvasir_log_fn log; /* what could not be measured, and why */
    void *log_user;
} kvasir_probe_options;

/* Asks the system about this computer and measures the rest: teams of 1, 2, 4, ... n_threads threads, the peaks
   of every CPU level that it has, the kernels of one, the disk, the page cache. `o` may be NULL. The computer
   should be idle. */
KVASIR_API kvasir_status kvasir_probe(const kvasir_probe_options *o, kvasir_machine *out);

/* ---- plan: memory, from headers alone ---------------------------------------------------------------------------- */

typedef struct kvasir_plan_options {
    int ctx;              /* tokens of each sequence; 0: chosen */
    int want_ctx;         /* the context to aim for where ctx is 0; 0: what the model was trained for */
    const char *kv;       /* as in kvasir_seq_options; with a peer also its own types; NULL: chosen */
    const char *unusable; /* types that are never chosen ("q4,q8:q4"): measurements say that they cost too much;
                             NULL: none */
    uint64_t budget;      /* types not to choose ("q4,q8:q4"): measurements say they cost too much; NULL: none */
    uint64_t reserve;     /* of these, bytes for other programs */
    int users;            /* sequences of each model, 0: 1 */
    int prefix;           /* tokens at their start that all of them share (forks of one sequence) */
    int n_threads;        /* 0: one per usable core */
    int max_batch;        /* as in kvasir_engine_options; of a peer: tokens of a micro-batch */
    int n_logits;         /* rows of logits that a step asks for, 0: one for each user */
    const char *peer;     /* "llama.cpp": its memory and command line as well; NULL: none */
    uint64_t gpu_bytes;   /* memory of a GPU that the peer may put layers into; 0: none */
} kvasir_plan_options;

typedef struct kvasir_plan_weights {
    const char *type;
    int in_memory; /* 0: stays in the file, from which rows are read as tokens ask for them */
    int n_tensors;
    uint64_t file_bytes, bytes; /* bytes: in memory */
} kvasir_plan_weights;

typedef struct kvasir_plan_stream {
    int layer, n_heads, head_dim, window; /* window 0: all tokens */
    int ratio;                            /* one row for every `ratio` tokens */
    const char *name;                     /* "k", "v", "kv" (V is a part of K), "compressed", "index" */
    const char *type;
    double row_bytes; /* all heads, in closed pages */
    uint64_t bytes;   /* pages of one sequence at the context, without the rounding of blocks */
} kvasir_plan_stream;

typedef struct kvasir_plan_state { /* fixed memory of a sequence */
    int layer;
    const char *name;
    uint64_t bytes;
} kvasir_plan_state;

typedef struct kvasir_plan_buffer { /* of a peer */
    const char *name;
    int64_t cells;
    int layers, is_state;
    uint64_t k_bytes, v_bytes; /* of a state all is in k_bytes */
} kvasir_plan_buffer;

typedef struct kvasir_plan_peer {
    const char *name, *type_k, *type_v;
    const char *error;      /* why it refuses; NULL: it does not, and only then the rest is filled in */
    int ctx;                /* of one sequence, as the peer rounds it */
    uint64_t kv_bytes;      /* all buffers, states included */
    uint64_t state_bytes;   /* of these, the bytes of states */
    double bytes_per_token; /* without windows and states */
    int gpu_layers;         /* layers and the output matrix, from the last on: as many as fit gpu_bytes */
    const kvasir_plan_buffer *buffers;
    const char *const *args; /* a command line: program, options */
    int n_buffers, n_args;
} kvasir_plan_peer;

/* Bytes are those of all users together, unless said otherwise. */
typedef struct kvasir_plan_model {
    const kvasir_model *model;
    int runs;     /* 0: this version cannot run it; then weights are counted as in the file and workspace_bytes is 0 */
    int kv_known; /* 0: an architecture of which only the weights are known; all about KV is 0 and kv_says tells why */
    int ctx;      /* of one sequence */
    const char *kv_k, *kv_v;
    uint64_t weights_bytes;     /* what the engine's info will say */
    uint64_t kv_bytes;          /* what the pool will hold when all sequences are full */
    uint64_t kv_shared_bytes;   /* of these, the blocks that all users refer to */
    uint64_t kv_sequence_bytes; /* of these, one user's own */
    uint64_t mark_bytes;        /* besides, the most that one mark of each user adds (kvasir_seq_mark) */
    uint64_t state_bytes;
    uint64_t workspace_bytes; /* what the engine's info will say */
    uint64_t buffer_bytes;    /* workspace, logits and the lists of a step */
    uint64_t total_bytes;
    int max_ctx
        [3]; /* the longest context in the budget, without marks, with f16, q8, q4; -1: the type cannot hold a head size */
    int spill_depth; /* tokens beyond which the chosen types leave the budget (the margin spent); 0: never */
    const kvasir_plan_weights *weights;
    const kvasir_plan_stream *streams;
    const kvasir_plan_state *states;
    int n_weights, n_streams, n_states;
    const kvasir_plan_peer *peer; /* NULL: not asked for, or KV is not known */
    int kv_assumed;               /* nobody knows the architecture; plain attention is assumed, and kv_says how */
    const char *kv_says;          /* a sentence; NULL where KV is known for certain */
    int ctx_train;                /* the context the model was trained for; 0: not known */
} kvasir_plan_model;

typedef struct kvasir_plan {
    int n_models, users, prefix, n_threads, max_batch;
    const kvasir_plan_model *models;
    uint64_t budget, reserve, margin; /* margin: kept free for what a plan cannot know */
    uint64_t program_bytes;           /* the program, headers, tokenizers, tables */
    uint64_t total_bytes;             /* where n_unknown is not 0, at least so much */
    int fits; /* total_bytes is within budget less reserve and margin, and nothing is missing in it. 0 with missing_bytes 0: not
                 known, since n_unknown is not 0 */
    uint64_t missing_bytes;
    const char *const *why;      /* how the plan was chosen, one sentence for each step */
    const char *const *remedies; /* what would fit, where it does not */
    int n_why, n_remedies;
    int n_unknown;            /* models whose KV is not known (kv_known 0) and not in total_bytes */
    const char *const *notes; /* what else the user should know: a context beyond the trained one */
    int n_notes;
} kvasir_plan;

/* Plans the memory of models that are used at the same time, and chooses what the options leave open: memory stays
   inside the budget, then KV shrinks (f16, q8, V in q4, K in q4), then the context. The models may have been opened with
   header_only and inspect_only; they must outlive the plan. A plan that does not fit is no error. An architecture that does not
   run is planned where its header says enough (kv_assumed). KVASIR_E_UNSUPPORTED where ctx, kv or a peer is given and an
   architecture's KV is not known. Freed by kvasir_plan_free. */
KVASIR_API kvasir_status kvasir_plan_make(const kvasir_model *const *models, int n, const kvasir_plan_options *o,
                                          kvasir_plan **out);
KVASIR_API void kvasir_plan_free(kvasir_plan *p); /* NULL is fine */

/* ---- predict: speed, from a header and a machine ----------------------------------------------------------------- */

/* A number, and the interval in which nine of ten measurements lie. */
typedef struct kvasir_estimate {
    double value, low, high;
} kvasir_estimate;

/* What a sweep has measured at a depth; 0: not measured. */
typedef struct kvasir_speed_sample {
    const char *kv;
    int depth, n_prefill;       /* n_prefill: tokens behind the depth that prefill_s was measured with */
    double decode_s, prefill_s; /* of one token, of n_prefill tokens */
    double read_bytes_per_s;    /* of memory at that time (kvasir_read_bandwidth); 0: not known */
} kvasir_speed_sample;

typedef struct kvasir_predict_options {
    const char *kv;                     /* as in kvasir_seq_options */
    const char *cpu;                    /* level; NULL: the machine's best */
    int n_threads;                      /* 0: all of the machine's cores */
    int max_batch;                      /* as in kvasir_engine_options */
    const kvasir_speed_sample *samples; /* measurements of this model on this machine, of any KV types */
    int n_samples;
} kvasir_predict_options;

typedef struct kvasir_speed {
    int depth;
    kvasir_estimate decode_s;  /* seconds of one token behind `depth` ones */
    kvasir_estimate prefill_s; /* seconds to read `depth` tokens into an empty sequence */
    kvasir_estimate batch_s;   /* seconds to read max_batch more behind them */
    double floor_s;            /* the bytes that a token reads over the machine's best bandwidth */
    const char *basis;         /* "sweep", "probe" (measured kernels) or "machine" (its limits alone) */
} kvasir_speed;

/* How fast the model would be. KVASIR_E_UNSUPPORTED for an architecture that cannot run here, KVASIR_E_ARGUMENT when
   the machine's profile lacks what is needed: the message names it. */
KVASIR_API kvasir_status kvasir_predict(const kvasir_model *m, const kvasir_machine *machine,
                                        const kvasir_predict_options *o, int depth, kvasir_speed *out);

#ifdef __cplusplus
}
#endif
#endif
