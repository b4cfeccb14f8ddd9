/* The options of llama.cpp's programs that Kvasir has not: those without which the answer is the same, and those that would
   change it. An option of the command's own with the same name wins. */
#include "cli/args/options.h"

#include <string.h>

/* The answer does not depend on it. */
#define NOTHING(name, others, value, says)                                                                             \
    {                                                                                                                  \
        name, 0, CLI_NOTHING, others, value, 0, says, 0, 0, NULL                                                       \
    }
/* The same; the argument may be absent, and is one of these words. */
#define MAYBE(name, others, words, says)                                                                               \
    {                                                                                                                  \
        name, 0, CLI_MAYBE, others, "WORD", 0, says, 0, 0, words                                                       \
    }
/* The answer would be another one. `off`: arguments that ask for nothing. */
#define REFUSED(name, others, value, says)                                                                             \
    {                                                                                                                  \
        name, 0, CLI_REFUSED, others, value, 0, says, 0, 0, NULL                                                       \
    }
#define REFUSED_BUT(name, others, value, off, says)                                                                    \
    {                                                                                                                  \
        name, 0, CLI_REFUSED, others, value, 0, says, 0, 0, off                                                        \
    }

#define CPU_ALONE  "no effect: this version computes on the CPU"
#define SYSTEM     "no effect: which cores are used is up to the system; taskset and --threads limit them"
#define ROPE       "the positions are scaled as the model file says, and not otherwise"
#define ONE_SERVER "an option of llama-server that Kvasir has not (docs/serve.md lists what it answers)"
#define GRAMMAR    "output is not constrained by grammars or schemas; ask for the form in the prompt"
#define LORA                                                                                                           \
    "adapters are not supported; merge it into the model first (llama-export-lora, or merge_and_unload of peft)"
#define MEDIA "pictures and sounds are not read; without this option the model answers text"
#define DRAFT "a second model that drafts is not supported; --draft lookup (of kvasir run) drafts without one"

const cli_option cli_llama_options[] = {
    /* how it is computed */
    MAYBE("flash-attn", "-fa", "on off auto 0 1", "no effect: attention always works without storing its scores"),
    NOTHING("threads-batch", "-tb", "N", "no effect: prompts are computed with the threads of --threads"),
    NOTHING("parallel", "-np", "N", "no effect: there is one answer at a time here"),
    NOTHING("mlock", NULL, NULL, "no effect: the weights are in memory of the program, and not locked there"),
    NOTHING("mmap", NULL, NULL, "no effect: files are read, not mapped"),
    NOTHING("no-mmap", NULL, NULL, "no effect: files are read, not mapped"),
    NOTHING("direct-io", "-dio --no-direct-io -ndio", NULL, "no effect: files are read as usual"),
    NOTHING("numa", NULL, "HOW", "no effect: threads and memory are left where the system puts them"),
    NOTHING("cpu-mask", "-C --cpu-mask-batch -Cb", "MASK", SYSTEM),
    NOTHING("cpu-range", "-Cr --cpu-range-batch -Crb", "RANGE", SYSTEM),
    NOTHING("cpu-strict", "--cpu-strict-batch", "N", SYSTEM),
    NOTHING("prio", "--prio-batch", "N", "no effect: nice sets the priority"),
    NOTHING("poll", "--poll-batch", "N", "no effect: threads wait in a way of their own"),
    NOTHING("warmup", "--no-warmup", NULL, "no effect: nothing has to be warmed up"),
    NOTHING("cont-batching", "-cb --no-cont-batching -nocb", NULL,
            "no effect: a server always computes requests together, and answers do not depend on it"),
    NOTHING("swa-full", NULL, NULL, "no effect: of a sliding window what is seen no more is let go"),
    NOTHING("kv-unified", "-kvu --no-kv-unified -no-kvu", NULL, "no effect: there is one pool of KV blocks for all"),
    NOTHING("defrag-thold", "-dt", "N", "no effect: the KV cache is made of blocks and has no gaps"),
    NOTHING("check-tensors", NULL, NULL, "no effect: what is read is checked as it is"),
    NOTHING("repack", "--no-repack -nr", NULL, "no effect: weights are always packed"),
    NOTHING("no-host", "--op-offload --no-op-offload", NULL, CPU_ALONE),
    NOTHING("kv-offload", "-kvo --no-kv-offload -nkvo", NULL, CPU_ALONE),
    NOTHING("device", "-dev", "NAMES", CPU_ALONE),
    NOTHING("split-mode", "-sm", "HOW", CPU_ALONE),
    NOTHING("main-gpu", "-mg", "N", CPU_ALONE),
    NOTHING("tensor-split", "-ts", "LIST", CPU_ALONE),
    NOTHING("n-gpu-layers", "--gpu-layers -ngl", "N", CPU_ALONE),
    NOTHING("override-tensor", "-ot", "LIST", CPU_ALONE),
    NOTHING("cpu-moe", "-cmoe", NULL, CPU_ALONE),
    NOTHING("n-cpu-moe", "-ncmoe", "N", CPU_ALONE),
    MAYBE("fit", "-fit", "on off", "no effect: kvasir plan says beforehand what fits"),
    NOTHING("rpc", NULL, "SERVERS", "no effect: this machine computes alone"),
    REFUSED("grp-attn-n", "-gan", "N", "self-extend is not supported; choose a model that was trained for the length"),
    REFUSED("grp-attn-w", "-gaw", "N", "self-extend is not supported; choose a model that was trained for the length"),

    /* the context */
    NOTHING("no-context-shift", NULL, NULL, "no effect: the context is never shifted"),
    NOTHING("keep", NULL, "N", "no effect: nothing of the prompt is ever thrown away"),
    REFUSED("context-shift", NULL, NULL,
            "the context is never shifted, since the answer would forget its beginning; a larger --ctx makes room"),
    NOTHING("prompt-cache", NULL, "FILE", "no effect: prompts are not kept in files"),
    NOTHING("prompt-cache-all", "--prompt-cache-ro", NULL, "no effect: prompts are not kept in files"),
    NOTHING("cache-prompt", "--no-cache-prompt", NULL, "no effect: a server shares equal beginnings always"),
    NOTHING("cache-reuse", NULL, "N", "no effect: a server shares equal beginnings, and nothing that would be inexact"),
    NOTHING("cache-ram", "-cram", "MIB", "no effect: --kv-memory limits what is kept"),
    NOTHING("ctx-checkpoints", "-ctxcp --swa-checkpoints", "N",
            "no effect: checkpoints are made where they are needed"),
    NOTHING("slot-prompt-similarity", "-sps", "X", "no effect: a server finds the longest equal beginning"),

    /* the model */
    REFUSED("lora", NULL, "FILE", LORA),
    REFUSED("lora-scaled", NULL, "FILE", LORA),
    REFUSED("control-vector", "--control-vector-scaled", "FILE", "control vectors are not supported"),
    REFUSED("control-vector-layer-range", NULL, "A", "control vectors are not supported"),
    REFUSED("mmproj", "-mm --mmproj-url -mmu", "FILE", MEDIA),
    REFUSED("image", "--audio", "FILE", MEDIA),
    NOTHING("no-mmproj", "--no-mmproj-auto", NULL, "no effect: text alone is read"),
    NOTHING("mmproj-offload", "--no-mmproj-offload", NULL, "no effect: text alone is read"),
    REFUSED("override-kv", NULL, "KEY=TYPE:VALUE",
            "the model file is taken as it is; gguf_set_metadata.py changes a copy"),
    REFUSED("rope-scaling", NULL, "HOW", ROPE),
    REFUSED("rope-scale", NULL, "N", ROPE),
    REFUSED("rope-freq-base", NULL, "N", ROPE),
    REFUSED("rope-freq-scale", NULL, "N", ROPE),
    REFUSED("yarn-orig-ctx", NULL, "N", ROPE),
    REFUSED("yarn-ext-factor", NULL, "N", ROPE),
    REFUSED("yarn-attn-factor", NULL, "N", ROPE),
    REFUSED("yarn-beta-slow", NULL, "N", ROPE),
    REFUSED("yarn-beta-fast", NULL, "N", ROPE),
    REFUSED("hf-file", "-hff", "FILE", "the file stands behind the repository: -hf OWNER/REPO:FILE"),
    REFUSED(
        "hf-token", "-hft", "TOKEN",
        "a token on a command line can be read by everyone here; KVASIR_HF_TOKEN or kvasir pull --token-file takes it"),
    REFUSED("offline", NULL, NULL, "a path, or a name that kvasir list shows, asks no network"),
    REFUSED("model-draft", "-md -hfd -hfrd --hf-repo-draft", "FILE", DRAFT),
    NOTHING("draft-max", "--draft-n", "N", "no effect: without a second model"),
    NOTHING("draft-min", "--draft-n-min --draft-p-min --draft-p-split", "N", "no effect: without a second model"),
    NOTHING("ctx-size-draft", "-cd -devd --device-draft -ngld --gpu-layers-draft --n-gpu-layers-draft", "N",
            "no effect: without a second model"),
    NOTHING("cache-type-k-draft", "-ctkd --cache-type-v-draft -ctvd", "T", "no effect: without a second model"),
    NOTHING("threads-draft", "-td --threads-batch-draft -tbd", "N", "no effect: without a second model"),

    /* the prompt and its template */
    NOTHING("jinja", NULL, NULL, "no effect: chat templates are always interpreted"),
    REFUSED(
        "no-jinja", NULL, NULL,
        "chat templates are always interpreted; --raw (of kvasir run) leaves them out, --template FILE takes another"),
    REFUSED("chat-template", NULL, "NAME", "templates have no names here; --template FILE takes one from a file"),
    REFUSED("chat-template-kwargs", NULL, "JSON",
            "templates get no variables of your own; --template FILE takes another"),
    REFUSED("reasoning-budget", NULL, "N",
            "how long a model thinks is not limited; --predict limits all that it writes"),
    REFUSED_BUT("reasoning-format", NULL, "HOW", "none", "what a model thinks is not cut out of its answer"),
    REFUSED("interactive", "-i -if --interactive-first", NULL,
            "the user's turns need a chat template: --chat chats, as kvasir run does at a terminal without a prompt"),
    REFUSED("in-prefix", "--in-suffix", "TEXT",
            "what stands around a message is up to the chat template; --template FILE"),
    NOTHING("in-prefix-bos", NULL, NULL, "no effect: the chat template says where BOS stands"),
    NOTHING("no-display-prompt", NULL, NULL, "no effect: the prompt is not printed"),
    NOTHING("display-prompt", NULL, NULL, "no effect: the prompt is not printed"),
    NOTHING("no-escape", NULL, NULL, "no effect: backslashes stay what they are"),
    NOTHING("multiline-input", "-mli", NULL, "no effect: a line that ends with a backslash goes on in the next one"),
    NOTHING("verbose-prompt", NULL, NULL, "no effect: kvasir tokenize shows a prompt's tokens"),

    /* sampling */
    REFUSED("samplers", "--sampling-seq --sampler-seq", "LIST",
            "the order is fixed (docs/run.md); --top-k 0, --top-p 1, --min-p 0 and the like switch one off"),
    REFUSED_BUT("mirostat", NULL, "N", "0",
                "mirostat is not supported; --temp with --top-p or --min-p limits what is unlikely"),
    NOTHING("mirostat-lr", "--mirostat-ent", "N", "no effect: without mirostat"),
    REFUSED_BUT("dynatemp-range", NULL, "N", "0 0.0", "the temperature is fixed: --temp"),
    NOTHING("dynatemp-exp", NULL, "N", "no effect: without a range of temperatures"),
    REFUSED_BUT("top-nsigma", "--top-n-sigma", "N", "0 -1 -1.0",
                "this sampler is not supported; --min-p drops what is unlikely"),
    REFUSED_BUT("xtc", NULL, "N", "0", "--xtc-probability and --xtc-threshold set it"),
    REFUSED("grammar", "--grammar-file", "TEXT", GRAMMAR),
    REFUSED("json-schema", "-j --json-schema-file -jf", "TEXT", GRAMMAR),
    NOTHING("backend-sampling", "-bs", NULL, CPU_ALONE),

    /* servers */
    REFUSED(
        "api-key", NULL, "KEY",
        "a key on a command line can be read by everyone here; --api-key-file FILE (of kvasir serve) holds keys, one a "
        "line"),
    REFUSED("embedding", "--embeddings", NULL, "embeddings are not computed"),
    REFUSED("pooling", "--attention --embd-normalize --embd-output-format --embd-separator", "HOW",
            "embeddings are not computed"),
    REFUSED("reranking", "--rerank", NULL, "documents are not ranked"),
    NOTHING("metrics", NULL, NULL, "no effect: GET /metrics is always answered by kvasir serve"),
    NOTHING("props", "--no-slots --no-webui", NULL, "no effect: there is nothing of that kind to switch on or off"),
    NOTHING("timeout", "-to", "SECONDS", "no effect: the limits of kvasir serve are fixed (docs/serve.md)"),
    NOTHING("threads-http", NULL, "N", "no effect: one thread speaks HTTP"),
    REFUSED("slot-save-path", "--path --api-prefix --media-path", "TEXT", ONE_SERVER),
    REFUSED("ssl-key-file", "--ssl-cert-file", "FILE", "connections are not encrypted; put a proxy in front of it"),
    REFUSED("prefill-assistant", "--no-prefill-assistant", NULL, ONE_SERVER),

    /* what is shown */
    NOTHING("log-file", NULL, "FILE", "no effect: what is no result goes to stderr; 2>FILE keeps it"),
    MAYBE("log-colors", "--color -co", "on off auto",
          "no effect: colours are used at a terminal, unless NO_COLOR is set"),
    NOTHING("log-prefix", "--log-timestamps --log-verbose --simple-io", NULL,
            "no effect: there is no log of this kind"),
    NOTHING("verbosity", "--log-verbosity -lv", "N", "no effect: -v says more"),
    NOTHING("perf", "--no-perf --show-timings --no-show-timings", NULL, "no effect: the last line has the times"),
    NOTHING("print-token-count", "-ptc", "N", "no effect: the last line has the number of tokens"),
    NOTHING("lookup-cache-static", "-lcs --lookup-cache-dynamic -lcd", "FILE",
            "no effect: --draft lookup keeps no file"),
    {0},
};

/* ---- what the help says of them ----------------------------------------------------------------------- */

enum { NAME_BYTES = 64 };

typedef struct names {
    FILE *f;
    const char *wanted; /* a name that is looked for, with its dashes */
    int n, found;
} names;

static void print_name(names *out, const char *name, const char *means)
{
    (void)fprintf(out->f, "%s%s%s%s", out->n++ ? ", " : "", name, means ? " is --" : "", means ? means : "");
}

/* Names with one dash, which getopt's help does not show. */
static void print_short_names(void *user, const cli_group *g, const cli_option *o)
{
    const char *others = o->others;
    char name[NAME_BYTES];
    (void)g;
    while (cli_next_word(&others, name, sizeof name))
        if (name[1] != '-') print_name(user, name, o->name);
}

static void look_for_own(void *user, const cli_group *g, const cli_option *o)
{
    names *n = user;
    (void)g;
    if (strcmp(n->wanted + 2, o->name) == 0 || cli_has_word(o->others, n->wanted)) n->found = 1;
}

/* Those of the table that are taken without effect, or those that are refused, by their shortest name. */
static void print_table(const cli_command *c, FILE *f, int refused)
{
    names out = {.f = f};
    for (const cli_option *o = cli_llama_options; o->name; o++) {
        char name[NAME_BYTES], first[NAME_BYTES] = "";
        const char *others = o->others;
        (void)snprintf(name, sizeof name, "--%s", o->name);
        names own = {.wanted = name};
        cli_each_option(c, look_for_own, &own);
        if ((o->type == CLI_REFUSED) != refused || own.found) continue;
        if (others) (void)cli_next_word(&others, first, sizeof first);
        print_name(&out, first[0] && first[1] != '-' ? first : name, NULL);
    }
}

void cli_llama_print_names(const cli_command *c, FILE *f)
{
    names out = {.f = f};
    if (!cli_takes_model(c)) return;
    (void)fputs("These of llama.cpp's names mean an option above, as all letters and long names there do: ", f);
    cli_each_option(c, print_short_names, &out);
    (void)fputs(".\n\nTaken, with a line that says that they have no effect: ", f);
    print_table(c, f, 0);
    (void)fputs(".\n\nRefused, with a line that says what to do instead: ", f);
    print_table(c, f, 1);
    (void)fputs(".", f);
}
