/* kvasir tokenize: text to ids and back. */
#include "cli/session/remote.h"
#include "cli/session/session.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tokenize_args {
    const char *model, *prompt, *file, *pre;
    int decode, jsonl, plain, no_bos, hide_special, pieces;
    output_args output;
} tokenize_args;

#define FIELD(name) offsetof(tokenize_args, name)
static const cli_option text_options[] = {
    {"prompt", 'p', CLI_TEXT, NULL, "TEXT", FIELD(prompt), "The text (or with --decode the ids); default: stdin", 0, 0,
     NULL},
    {"file", 'f', CLI_FILE, NULL, "FILE", FIELD(file), "Read it from a file; - is stdin", 0, 0, NULL},
    {"decode", 'd', CLI_FLAG, NULL, NULL, FIELD(decode),
     "Ids to text: a JSON array, or numbers between spaces or commas", 0, 0, NULL},
    {"jsonl", 0, CLI_FLAG, NULL, NULL, FIELD(jsonl),
     "One request a line, {\"text\":...} or {\"bytes_hex\":...} (with --decode {\"ids\":[...]}), one answer "
     "a line",
     0, 0, NULL},
    {"pieces", 0, CLI_FLAG, NULL, NULL, FIELD(pieces), "One token a line: id and text", 0, 0, NULL},
    {"no-special", 0, CLI_FLAG, "--no-parse-special", NULL, FIELD(plain),
     "Control tokens written in the text are plain text", 0, 0, NULL},
    {"no-bos", 0, CLI_FLAG, "--no-add-special", NULL, FIELD(no_bos), "Add no BOS or EOS token", 0, 0, NULL},
    {"hide-special", 0, CLI_FLAG, NULL, NULL, FIELD(hide_special), "With --decode: leave control tokens out", 0, 0,
     NULL},
    {"pre", 0, CLI_TEXT, NULL, "NAME", FIELD(pre), "The split pattern instead of the one that the file names", 0, 0,
     NULL},
    {0},
};
static const cli_group tokenize_groups[] = {{"Text", text_options, 0}, {"Output", output_options, FIELD(output)}, {0}};
static const cli_example tokenize_examples[] = {
    {"kvasir tokenize model.gguf -p 'Hello, world'", "The ids on one line."},
    {"kvasir tokenize model.gguf --pieces -f prompt.txt", "Each id with its text."},
    {"echo 1 2 3 | kvasir tokenize model.gguf --decode", "Back to text."},
    {0},
};

/* ---- jsonl -------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static kvasir_status parse_hex(const char *hex, size_t n, char **bytes, size_t *n_bytes)
{
    char *out = mem_alloc(n / 2 + 1, 1);
    if (!out) return fail_memory(n / 2 + 1);
    for (size_t i = 0; i + 1 < n + (n & 1); i += 2) {
        int high = hex_digit(hex[i]), low = i + 1 < n ? hex_digit(hex[i + 1]) : -1;
        if (high < 0 || low < 0) {
            mem_free(out);
            return fail(KVASIR_E_ARGUMENT, "bytes_hex: no two hex digits at %zu", i);
        }
        out[i / 2] = (char)(high << 4 | low);
    }
    *bytes = out;
    *n_bytes = n / 2;
    return KVASIR_OK;
}

static int flag_of(const json_t *request, const char *name, int otherwise)
{
    const json_t *value = json_object_get(request, name);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static kvasir_status encode_request(const kvasir_model *m, const tokenize_args *a, const json_t *request,
                                    json_t **answer)
{
    const json_t *text = json_object_get(request, "text"), *hex = json_object_get(request, "bytes_hex");
    char *bytes = NULL;
    size_t n = json_string_length(text), n_ids = 0;
    int32_t *ids = NULL;
    if (json_is_string(hex))
        TRY(parse_hex(json_string_value(hex), json_string_length(hex), &bytes, &n));
    else if (!json_is_string(text))
        return fail(KVASIR_E_ARGUMENT, "neither text nor bytes_hex is there");
    kvasir_status status =
        kvasir_tokenize(m, bytes ? bytes : json_string_value(text), n, flag_of(request, "add_special", !a->no_bos),
                        flag_of(request, "parse_special", !a->plain), &ids, &n_ids);
    if (status == KVASIR_OK) *answer = json_pack("{s:o}", "ids", json_ids(ids, n_ids));
    kvasir_free(ids);
    mem_free(bytes);
    return status;
}

static json_t *hex_text(const char *bytes, size_t n)
{
    char *hex = mem_alloc(2 * n + 1, 1);
    if (!hex) return json_null();
    for (size_t i = 0; i < n; i++) (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    json_t *text = json_string(hex);
    mem_free(hex);
    return text;
}

static kvasir_status decode_request(const kvasir_model *m, const tokenize_args *a, const json_t *request,
                                    json_t **answer)
{
    const json_t *list = json_object_get(request, "ids");
    size_t n = json_array_size(list), n_text = 0;
    if (!json_is_array(list)) return fail(KVASIR_E_ARGUMENT, "ids is not there");
    int32_t *ids = mem_alloc(n, sizeof *ids);
    if (!ids) return fail_memory(n * sizeof *ids);
    char *text = NULL;
    kvasir_status status = KVASIR_OK;
    for (size_t i = 0; i < n && status == KVASIR_OK; i++) {
        json_int_t id = json_integer_value(json_array_get(list, i));
        if (!json_is_integer(json_array_get(list, i)) || id < 0 || id > INT32_MAX)
            status = fail(KVASIR_E_ARGUMENT, "entry %zu of ids is no token id", i);
        ids[i] = (int32_t)id;
    }
    if (status == KVASIR_OK)
        status = kvasir_detokenize(m, ids, n, flag_of(request, "special", !a->hide_special), &text, &n_text);
    if (status == KVASIR_OK) {
        *answer = json_pack("{s:o}", "text", json_text(text, n_text));
        json_t *exact = json_stringn(text, n_text);
        if (!exact) (void)json_object_set_new(*answer, "bytes_hex", hex_text(text, n_text));
        json_decref(exact);
    }
    kvasir_free(text);
    mem_free(ids);
    return status;
}

/* One answer for each line, in order; a bad line is answered with {"error":...} and makes the exit status 1.
 */
static int serve_lines(const kvasir_model *m, const tokenize_args *a)
{
    FILE *in = a->file && strcmp(a->file, "-") != 0 ? fopen(a->file, "rb") : stdin;
    if (!in) return failed(fail(KVASIR_E_IO, "%s: the file cannot be opened", a->file));
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int code = EXIT_DONE;
    while ((n = getline(&line, &room, in)) >= 0 && !ferror(stdout)) {
        size_t length = (size_t)n;
        while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
        if (length == 0) continue;
        json_error_t error;
        json_t *request = json_loadb(line, length, JSON_ALLOW_NUL, &error), *answer = NULL;
        kvasir_status status = !json_is_object(request) ? fail(KVASIR_E_ARGUMENT, "no JSON object: %s", error.text)
                               : a->decode              ? decode_request(m, a, request, &answer)
                                                        : encode_request(m, a, request, &answer);
        if (status != KVASIR_OK) {
            answer = json_pack("{s:o}", "error", json_text_or_null(kvasir_message()));
            code = EXIT_FAILED;
        }
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)putchar('\n');
        (void)fflush(stdout);
        json_decref(answer);
        json_decref(request);
    }
    free(line);
    if (in != stdin) (void)fclose(in);
    return finish_output(code);
}

/* ---- one text ----------------------------------------------------------------------------------------- */

static int print_pieces(const kvasir_model *m, const int32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n_ids; i++) {
        char *piece = NULL;
        size_t n = 0;
        kvasir_status status = kvasir_detokenize(m, &ids[i], 1, 1, &piece, &n);
        if (status != KVASIR_OK) return failed(status);
        json_t *text = json_text(piece, n);
        (void)printf("%d\t", ids[i]);
        (void)json_dumpf(text, stdout, JSON_ENCODE_ANY);
        (void)putchar('\n');
        json_decref(text);
        kvasir_free(piece);
    }
    return finish_output(EXIT_DONE);
}

static int encode_text(const kvasir_model *m, const tokenize_args *a, const char *text, size_t n)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    kvasir_status status = kvasir_tokenize(m, text, n, !a->no_bos, !a->plain, &ids, &n_ids);
    if (status != KVASIR_OK) return failed(status);
    note_double_bos(kvasir_model_get_info(m), ids, n_ids);
    int code;
    if (a->output.json) {
        json_t *d = json_document("tokenize");
        (void)json_object_set_new(d, "ids", json_ids(ids, n_ids));
        (void)json_object_set_new(d, "n", json_bytes(n_ids));
        code = print_json(d);
    } else if (a->pieces) {
        code = print_pieces(m, ids, n_ids);
    } else {
        for (size_t i = 0; i < n_ids; i++) (void)printf(i ? " %d" : "%d", ids[i]);
        (void)putchar('\n');
        code = finish_output(EXIT_DONE);
    }
    kvasir_free(ids);
    return code;
}

static int decode_text(const kvasir_model *m, const tokenize_args *a, const char *text, size_t n)
{
    int32_t *ids = NULL;
    size_t n_ids = 0, n_out = 0;
    char *out = NULL;
    kvasir_status status = parse_ids(text, n, &ids, &n_ids);
    if (status == KVASIR_OK) status = kvasir_detokenize(m, ids, n_ids, !a->hide_special, &out, &n_out);
    int code = EXIT_DONE;
    if (status != KVASIR_OK) {
        code = failed(status);
    } else if (a->output.json) {
        json_t *d = json_document("tokenize");
        (void)json_object_set_new(d, "ids", json_ids(ids, n_ids));
        (void)json_object_set_new(d, "text", json_text(out, n_out));
        code = print_json(d);
    } else {
        (void)fwrite(out, 1, n_out, stdout); /* the bytes and no newline: what was encoded comes back exactly */
        code = finish_output(EXIT_DONE);
    }
    kvasir_free(out);
    mem_free(ids);
    return code;
}

static int tokenize_main(void *args)
{
    const tokenize_args *a = args;
    if (a->prompt && a->file) return usage_error("-p and -f exclude each other");
    if (a->jsonl && (a->prompt || a->output.json || a->pieces))
        return usage_error("--jsonl reads its requests from stdin or -f and has a format of its own");
    output_apply(&a->output);
    kvasir_model *m = NULL;
    kvasir_model_options o = {.pre = a->pre, .header_only = 1, .inspect_only = 1}; /* the vocabulary is enough */
    char path[FETCH_PATH_BYTES];
    int code = model_header_path(a->model, path, &o.header_only);
    if (code != EXIT_DONE) return code;
    kvasir_status status = kvasir_model_open(path, &o, &m);
    if (status != KVASIR_OK) return failed_model(status);
    print_model_notes(m);
    if (a->jsonl) {
        code = serve_lines(m, a);
    } else {
        char *text = NULL;
        size_t n = a->prompt ? strlen(a->prompt) : 0;
        status = a->prompt ? KVASIR_OK : read_text(a->file ? a->file : "-", &text, &n);
        const char *input = a->prompt ? a->prompt : text;
        code = status != KVASIR_OK ? failed(status)
               : a->decode         ? decode_text(m, a, input, n)
                                   : encode_text(m, a, input, n);
        free(text);
    }
    kvasir_model_close(m);
    return code;
}

const cli_command tokenize_command = {
    .name = "tokenize",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Text to token ids and back",
    .about = "Splits text into the model's tokens, exactly as given: a newline at the end of a file is part "
             "of it. With --decode "
             "ids become text again.",
    .examples = tokenize_examples,
    .groups = tokenize_groups,
    .size = sizeof(tokenize_args),
    .run = tokenize_main,
};
