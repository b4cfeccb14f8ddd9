/* kvasir sweep: options, and the order of things. */
#include "cli/sweep/sweep.h"
#include "cli/files/config_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(sweep_args, name)
static const cli_option what_options[] = {
    {"depths", 'd', CLI_TEXT, NULL, "LIST", FIELD(depths),
     "Tokens in the cache at which to measure, K and M allowed (default 0,2k,8k,32k, or what the context allows)", 0, 0,
     NULL},
    {"kv", 0, CLI_TEXT, "--cache-type", "LIST", FIELD(kv), "Types of the KV cache, K:V allowed (default f16)", 0, 0,
     "f16 q8 q4 q8:q4 f32"},
    {"pp", 0, CLI_COUNT, NULL, "N", FIELD(pp), "Tokens of the prefill that is measured behind each depth (default 512)",
     1, SWEEP_MAX_PP, NULL},
    {"tg", 0, CLI_COUNT, NULL, "N", FIELD(tg), "Tokens of the decode that is measured behind each depth (default 32)",
     1, SWEEP_MAX_TG, NULL},
    {"repeat", 'r', CLI_INT, NULL, "N", FIELD(repeat), "How often each is measured (default 3)", 1, SWEEP_MAX_REPEAT,
     NULL},
    {"text", 'f', CLI_FILE, "--file", "FILE", FIELD(text), "The text that is read (default: one that is built in)", 0,
     0, NULL},
    {0},
};
static const cli_option file_options[] = {
    {"out", 'o', CLI_FILE, NULL, "FILE", FIELD(out), "Keep the JSON document here, written anew after each row", 0, 0,
     NULL},
    {"resume", 0, CLI_FILE, NULL, "FILE", FIELD(resume),
     "Go on with the document of --out: measure only what it does not have; what is not given is as it says", 0, 0,
     NULL},
    {"svg", 0, CLI_FILE, NULL, "FILE", FIELD(svg), "Write a chart", 0, 0, NULL},
    {"html", 0, CLI_FILE, NULL, "FILE", FIELD(html), "Write a page with the chart and the table", 0, 0, NULL},
    {"csv", 0, CLI_FILE, NULL, "FILE", FIELD(csv), "Write the rows as CSV", 0, 0, NULL},
    {"compare", 0, CLI_FILE, NULL, "A.json", FIELD(compare),
     "Measure nothing: print the ratios of the rows that A.json and B.json (in the model's place) share", 0, 0, NULL},
    {0},
};
static const cli_group sweep_groups[] = {
    {"What is measured", what_options, 0},
    {"Files", file_options, 0},
    {"Engine", engine_options, FIELD(engine)},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example sweep_examples[] = {
    {"kvasir sweep model.gguf", "Speed at 0, 2k, 8k and 32k tokens, as far as the context goes."},
    {"kvasir sweep model.gguf --depths 0,16k,64k --kv f16,q8,q4 --out sweep.json --html sweep.html",
     "Three KV types, kept as JSON and shown as a page."},
    {"kvasir sweep model.gguf --resume sweep.json", "Goes on where Ctrl-C stopped it."},
    {"kvasir sweep --compare old.json new.json", "What became faster, and by how much."},
    {0},
};

static const double bandwidth_seconds = 0.5;

/* ---- output ---- */

static const char *out_path(const sweep *w)
{
    return w->args->out ? w->args->out : w->args->resume;
}

static kvasir_status on_row(sweep *w, const sweep_row *r, int is_new)
{
    if (!w->args->output.json) sweep_print_row(r);
    return is_new && out_path(w) ? sweep_save(w, out_path(w)) : KVASIR_OK;
}

static kvasir_status write_files(const sweep *w)
{
    const sweep_args *a = w->args;
    if (out_path(w)) TRY(sweep_save(w, out_path(w)));
    if (a->csv) TRY(sweep_write_csv(w, a->csv));
    if (a->svg) TRY(sweep_write_svg(w, a->svg));
    return a->html ? sweep_write_html(w, a->html) : KVASIR_OK;
}

static kvasir_status check_files(const sweep *w)
{
    const sweep_args *a = w->args;
    TRY(output_check(out_path(w)));
    TRY(output_check(a->csv));
    TRY(output_check(a->svg));
    return output_check(a->html);
}

static void note_stopped(const sweep *w, int n_done)
{
    if (out_path(w))
        note("%d of %d rows are in %s; kvasir sweep %s --resume %s goes on", n_done, sweep_n_rows(w), out_path(w),
             w->args->model, out_path(w));
    else
        note("%d of %d rows were measured; with --out FILE they would have been kept", n_done, sweep_n_rows(w));
}

/* Shows and writes what was measured, which after Ctrl-C is a part; the exit status. */
static int report(const sweep *w, kvasir_status measured)
{
    int n_done = 0, n_failed = 0;
    for (int i = 0; i < sweep_n_rows(w); i++) {
        n_done += w->rows[i].state == SWEEP_DONE;
        n_failed += w->rows[i].state == SWEEP_FAILED;
    }
    int code = measured != KVASIR_OK ? failed(measured) : n_done == 0 ? EXIT_ROOM : EXIT_DONE;
    if (!w->args->output.json && n_done) sweep_print_sparklines(w);
    if (n_failed) note("%d of %d rows do not fit the memory", n_failed, sweep_n_rows(w));
    /* Nothing measured is no reason to write over what was. */
    kvasir_status status = n_done + n_failed > 0 ? write_files(w) : KVASIR_OK;
    if (status != KVASIR_OK && code == EXIT_DONE)
        code = failed(status);
    else if (status != KVASIR_OK)
        (void)failed(status);
    if (code == EXIT_STOPPED) note_stopped(w, n_done);
    int printed = w->args->output.json ? print_json(sweep_document(w)) : finish_output(EXIT_DONE);
    return code == EXIT_DONE ? printed : code;
}

/* ---- the sweep ---- */

/* A type that this version does not store is said before anything is measured. */
static kvasir_status try_types(const sweep *w)
{
    for (int t = 0; t < w->plan.n_types; t++) {
        kvasir_seq *s = NULL;
        kvasir_seq_options o = {.n_ctx = 1, .kv = w->plan.kv[t]};
        kvasir_status status = kvasir_seq_create(w->s.engine, w->s.model, &o, &s);
        kvasir_seq_free(s);
        if (status == KVASIR_E_UNSUPPORTED) return KVASIR_E_ARGUMENT; /* an option, not the model */
        if (status != KVASIR_OK && status != KVASIR_E_MEMORY) return status;
    }
    return KVASIR_OK;
}

static kvasir_status prepare(sweep *w)
{
    const engine_args *e = &w->engine;
    kvasir_engine_options o = {.n_threads = e->threads, .cpu = cpu_choice(e->cpu)};
    kvasir_engine_get_info(w->s.engine, &w->info);
    TRY(try_types(w));
    if (w->saved) TRY(sweep_take_rows(w));
    if (!(w->read_bytes_per_s > 0)) TRY(kvasir_read_bandwidth(&o, bandwidth_seconds, &w->read_bytes_per_s));
    return KVASIR_OK;
}

static int run(sweep *w)
{
    const sweep_args *a = w->args;
    kvasir_status status = KVASIR_OK;
    if (a->resume) status = sweep_read(a->resume, &w->saved);
    if (status == KVASIR_OK) status = sweep_plan_options(w);
    if (status == KVASIR_OK) status = check_files(w);
    if (status != KVASIR_OK) return failed(status);
    int code = session_open_model(a->model, &w->engine, &a->output, &w->s);
    if (code != EXIT_DONE) return code;
    status = sweep_plan_model(w);
    if (status != KVASIR_OK) return failed(status);
    code = session_load(&w->engine, 1, &w->s);
    if (code != EXIT_DONE) return code;
    status = prepare(w);
    if (status != KVASIR_OK) return failed(status);
    if (a->output.verbose)
        note("reads %.1f GB/s, text of %d tokens, model %s", w->read_bytes_per_s * 1e-9, w->plan.n_ids, w->fingerprint);
    if (!a->output.json) sweep_print_head();
    return report(w, sweep_measure(w, on_row));
}

static int sweep_main(void *args)
{
    sweep_args *a = args;
    output_apply(&a->output);
    if (a->compare && !a->model) return usage_error("--compare wants two documents: --compare A.json B.json");
    if (a->compare) return sweep_compare(a->compare, a->model, a->output.json);
    if (!a->model) return usage_error("MODEL is missing");
    int code = config_apply(a->model, &a->engine, &a->kv, NULL);
    if (code != EXIT_DONE) return code;
    sweep w = {.args = a};
    code = run(&w);
    sweep_plan_free(&w);
    session_close(&w.s);
    return code;
}

const cli_command sweep_command = {
    .name = "sweep",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_optional = 1,
    .argument_field = FIELD(model),
    .summary = "Measure speed as the context fills",
    .about = "Fills the KV cache with a text and measures at each depth: the speed of reading a prompt, the speed of "
             "generating, the time to the first token, memory, and how far generating is from what the memory's "
             "bandwidth allows. One row for each depth and KV type.\n\n"
             "All types are filled once, whatever the number of depths. After Ctrl-C what was measured is reported "
             "and kept: with --out it can be resumed.",
    .examples = sweep_examples,
    .groups = sweep_groups,
    .size = sizeof(sweep_args),
    .run = sweep_main,
};
