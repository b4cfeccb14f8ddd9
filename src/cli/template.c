/* kvasir template: a chat template and its variables to the prompt. */
#include "cli/session/remote.h"
#include "cli/session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct template_args {
    const char *model, *template_file, *file, *now;
    output_args output;
} template_args;

#define FIELD(name) offsetof(template_args, name)
static const cli_option template_options[] = {
    {"template", 0, CLI_FILE, "--chat-template-file", "FILE", FIELD(template_file),
     "This template (Jinja) instead of the model's own", 0, 0, NULL},
    {"file", 'f', CLI_FILE, NULL, "FILE", FIELD(file), "Read the variables from a file instead of stdin", 0, 0, NULL},
    {"now", 0, CLI_TEXT, NULL, "TIME", FIELD(now),
     "The time that strftime_now shows, as 2026-01-15T09:05:07 (default: the clock)", 0, 0, NULL},
    {0},
};
static const cli_group template_groups[] = {{"Template", template_options, 0},
                                            {"Output", output_options, FIELD(output)},
                                            {0}};
static const cli_example template_examples[] = {
    {"echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":true}' | kvasir "
     "template model.gguf",
     "The prompt that the model's own template makes."},
    {"kvasir template --template chat.jinja -f variables.json --now 2026-01-15T09:05:07",
     "A template file without a model, at a fixed time."},
    {0},
};

static kvasir_status parse_time(const char *text, int64_t *out)
{
    struct tm t = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
    if (!end || *end)
        return fail(KVASIR_E_ARGUMENT, "--now wants a time like 2026-01-15T09:05:07, not '%s'",
                    quoted(text, strlen(text)));
    *out = (int64_t)timegm(&t);
    return KVASIR_OK;
}

static kvasir_status render(const template_args *a, const kvasir_model *m, char **out, size_t *n_out)
{
    char *template_text = NULL, *json = NULL;
    size_t n = 0;
    int64_t now = 0;
    if (a->now) TRY(parse_time(a->now, &now));
    if (a->template_file) TRY(read_text(a->template_file, &template_text, &n));
    kvasir_status status = read_text(a->file ? a->file : "-", &json, &n);
    if (status == KVASIR_OK && strlen(json) != n) status = fail(KVASIR_E_ARGUMENT, "the variables hold a NUL byte");
    if (status == KVASIR_OK) status = kvasir_template_render(m, template_text, json, now, out, n_out);
    free(template_text);
    free(json);
    return status;
}

static int template_main(void *args)
{
    const template_args *a = args;
    if (!a->model && !a->template_file) return usage_error("a MODEL or --template FILE is needed");
    output_apply(&a->output);
    kvasir_model *m = NULL;
    kvasir_model_options o = {.header_only = 1, .inspect_only = 1};
    char path[FETCH_PATH_BYTES];
    int pulled = a->model ? model_header_path(a->model, path, &o.header_only) : EXIT_DONE;
    if (pulled != EXIT_DONE) return pulled;
    kvasir_status status = a->model ? kvasir_model_open(path, &o, &m) : KVASIR_OK;
    if (status != KVASIR_OK) return failed_model(status);
    if (!a->template_file && !kvasir_model_get_info(m)->chat_template) {
        int code = usage_error("%s has no chat template; give one with --template FILE", a->model);
        kvasir_model_close(m);
        return code;
    }
    char *out = NULL;
    size_t n = 0;
    int code = EXIT_DONE;
    status = render(a, m, &out, &n);
    if (status != KVASIR_OK) {
        code = failed(status);
    } else if (a->output.json) {
        json_t *d = json_document("template");
        (void)json_object_set_new(d, "prompt", json_text(out, n));
        code = print_json(d);
    } else {
        (void)fwrite(out, 1, n, stdout); /* exactly the prompt: no newline is added */
        code = finish_output(EXIT_DONE);
    }
    kvasir_free(out);
    kvasir_model_close(m);
    return code;
}

const cli_command template_command = {
    .name = "template",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_optional = 1,
    .argument_field = FIELD(model),
    .summary = "Render a chat template",
    .about = "Reads the template's variables as one JSON object from stdin (messages, tools, "
             "add_generation_prompt, ...) and writes "
             "the prompt. bos_token and eos_token come from the model unless they are given. Leave tools out "
             "where there are none: "
             "some published templates fail on null.\n\nWhat a template says with raise_exception is "
             "printed, and the exit status is 1.",
    .examples = template_examples,
    .groups = template_groups,
    .size = sizeof(template_args),
    .run = template_main,
};
