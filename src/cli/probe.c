/* kvasir probe: measures this machine, and shows profiles of machines. */
#include "cli/files/embedded.h"
#include "cli/machine/machine.h"
#include "cli/session/session.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 1024 };

typedef struct probe_args {
    const char *profile;
    int show, list, threads, force;
    float seconds;
    const char *cpu, *folder, *out;
    output_args output;
} probe_args;

#define FIELD(name) offsetof(probe_args, name)
static const cli_option probe_options[] = {
    {"seconds", 0, CLI_FLOAT, NULL, "S", FIELD(seconds), "Measure for about this long in all (default 10)", 0.2, 600,
     NULL},
    {"threads", 't', CLI_INT, NULL, "N", FIELD(threads), "The most threads (default: one per usable core)", 0, 1024,
     NULL},
    {"cpu", 0, CLI_TEXT, NULL, "LEVEL", FIELD(cpu),
     "Instruction set whose kernels are measured, or auto for the best (default: KVASIR_CPU, or auto)", 0, 0,
     "auto ref avx2 avx512vnni avx512bf16 neon dotprod"},
    {"folder", 0, CLI_FILE, NULL, "DIR", FIELD(folder),
     "Where the disk is measured, with a file of up to 256 MiB that is not kept (default ~/.cache/kvasir)", 0, 0, NULL},
    {"out", 'o', CLI_FILE, NULL, "FILE", FIELD(out),
     "Store the profile here (default ~/.config/kvasir/machine.json, where other commands look for it)", 0, 0, NULL},
    {"force", 0, CLI_FLAG, NULL, NULL, FIELD(force), "Store it even where the machine was busy meanwhile", 0, 0, NULL},
    {0},
};
static const cli_option show_options[] = {
    {"show", 0, CLI_FLAG, NULL, NULL, FIELD(show),
     "Measure nothing: print a stored profile, that of FILE, or one that comes with kvasir by its name", 0, 0, NULL},
    {"list", 0, CLI_FLAG, NULL, NULL, FIELD(list), "Measure nothing: list the profiles that come with kvasir", 0, 0,
     NULL},
    {0},
};
static const cli_group probe_groups[] = {
    {"Measuring", probe_options, 0},
    {"Profiles", show_options, 0},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example probe_examples[] = {
    {"kvasir probe", "Measures this machine and stores what it found for other commands."},
    {"kvasir probe --folder /data/models", "The same, with the disk that the models are on."},
    {"kvasir probe --show", "What is stored about this machine."},
    {"kvasir probe --show rtx-4090", "A profile that comes with kvasir."},
    {0},
};

static void probe_defaults(void *args)
{
    ((probe_args *)args)->seconds = 10;
}

/* ---- showing ---- */

static void copy_key(json_t *to, const json_t *from, const char *key)
{
    json_t *v = json_object_get(from, key);
    if (v) (void)json_object_set(to, key, v);
}

/* With --json as the profile was understood: plain numbers, every field; and what is there for readers. */
static int show(const probe_args *a)
{
    char where[PATH_BYTES];
    kvasir_machine m;
    kvasir_status status = machine_find(a->profile, &m);
    if (status != KVASIR_OK) return failed(status);
    if (!a->output.json) {
        machine_print(&m);
        return finish_output(EXIT_DONE);
    }
    json_t *original;
    status = machine_find_json(a->profile, where, sizeof where, &original);
    if (status != KVASIR_OK) return failed(status);
    json_t *d = machine_json(&m);
    copy_key(d, original, "source");
    copy_key(d, original, "notes");
    json_decref(original);
    return print_json(d);
}

static int list(const probe_args *a)
{
    json_t *d = json_document("probe-list"), *machines = json_array();
    for (const embedded *s = embedded_machines; s->name; s++) {
        kvasir_machine m;
        kvasir_status status = machine_find(s->name, &m);
        if (status != KVASIR_OK) {
            json_decref(machines);
            json_decref(d);
            return failed(status);
        }
        if (!a->output.json) (void)printf("%-18s %s\n", s->name, m.name);
        (void)json_array_append_new(machines, json_pack("{s:s, s:s}", "name", s->name, "machine", m.name));
    }
    (void)json_object_set_new(d, "machines", machines);
    if (a->output.json) return print_json(d);
    json_decref(d);
    return finish_output(EXIT_DONE);
}

/* ---- measuring ---- */

static int on_step(void *user, const char *what, int done, int total)
{
    progress_update(user, (uint64_t)done, (uint64_t)total, what);
    return interrupted();
}

static void on_log(void *user, const char *text)
{
    progress_end(user);
    note("%s", text);
}

static kvasir_status prepare_out(const probe_args *a, char *to, size_t n)
{
    if (!a->out) {
        TRY(machine_default_path(to, n));
        TRY(file_make_folders(to));
    } else {
        int length = snprintf(to, n, "%s", a->out);
        if (length < 0 || (size_t)length >= n)
            return fail(KVASIR_E_ARGUMENT, "%s: the path is longer than %zu bytes", a->out, n - 1);
    }
    return output_check(to);
}

/* The folder that was asked for; else the cache folder, without which the disk just is not measured. */
static const char *disk_folder(const probe_args *a, char *to, size_t n)
{
    if (a->folder) return a->folder;
    kvasir_status status = machine_cache_folder(to, n);
    if (status == KVASIR_OK) status = file_make_folders(to);
    if (status == KVASIR_OK && mkdir(to, 0777) != 0 && errno != EEXIST)
        status = fail(KVASIR_E_IO, "%s: %s", to, strerror(errno));
    if (status == KVASIR_OK && access(to, W_OK | X_OK) != 0) status = fail(KVASIR_E_IO, "%s: %s", to, strerror(errno));
    if (status == KVASIR_OK) return to;
    note("the disk is not measured: %s", kvasir_message());
    return NULL;
}

static int measure(const probe_args *a)
{
    char path[PATH_BYTES], cache[PATH_BYTES], why[256];
    kvasir_machine m;
    kvasir_status status = prepare_out(a, path, sizeof path);
    if (status != KVASIR_OK) return failed(status);
    progress p = progress_start("measuring", "steps");
    kvasir_probe_options o = {.n_threads = a->threads,
                              .cpu = cpu_choice(a->cpu),
                              .seconds = (double)a->seconds,
                              .folder = disk_folder(a, cache, sizeof cache),
                              .on_step = on_step,
                              .step_user = &p,
                              .log = on_log,
                              .log_user = &p};
    catch_interrupts();
    status = kvasir_probe(&o, &m);
    progress_end(&p);
    if (status != KVASIR_OK) return failed(status);
    const bool busy = machine_was_busy(&m, why, sizeof why), stores = !busy || a->force;
    json_t *d = machine_json(&m);
    status = stores ? json_write(d, path) : KVASIR_OK;
    if (status != KVASIR_OK) {
        json_decref(d);
        return failed(status);
    }
    int code = EXIT_DONE;
    if (a->output.json) {
        code = print_json(d);
    } else {
        json_decref(d);
        machine_print(&m);
        code = finish_output(EXIT_DONE);
    }
    if (busy) note("the machine was busy: %s", why);
    if (stores) {
        note("stored in %s", path);
        return code;
    }
    note(
        "nothing was stored, since plans made from this would be wrong: run it again when the machine is idle, or with "
        "--force");
    return code == EXIT_DONE ? EXIT_CHECK : code;
}

static int probe_main(void *args)
{
    const probe_args *a = args;
    output_apply(&a->output);
    if (a->show && a->list) return usage_error("--show and --list do not go together");
    if (a->profile && !a->show)
        return usage_error("%s: a profile is for --show; --out says where one is stored", a->profile);
    return a->list ? list(a) : a->show ? show(a) : measure(a);
}

const cli_command probe_command = {
    .name = "probe",
    .argument = "FILE",
    .argument_optional = 1,
    .argument_field = FIELD(profile),
    .summary = "Measure this machine for planning",
    .about =
        "Measures what this machine can do, and stores it as a profile: memory bandwidth and peak arithmetic of "
        "1, 2, 4, ... threads, each kernel, the disk, the page cache, how much memory there is and how much of it "
        "may be used, GPUs. Other commands predict speed from it.\n\n"
        "The machine should be idle meanwhile: everything else that runs makes the numbers smaller. A profile is a "
        "JSON file that may be edited, and one of another machine may be written by hand; some come with kvasir.",
    .examples = probe_examples,
    .groups = probe_groups,
    .size = sizeof(probe_args),
    .defaults = probe_defaults,
    .run = probe_main,
};
