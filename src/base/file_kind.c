#include "base/file_kind.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

bool file_kind_is_gguf(const char *head, size_t n)
{
    return n >= 4 && memcmp(head, "GGUF", 4) == 0;
}

/* What a kind begins with, letters of either case where `any_case`. */
static const struct {
    const char *begins;
    size_t n;
    bool any_case;
    const char *says;
} kinds[] = {
#define KIND(text, any_case, says)                                                                                     \
    {                                                                                                                  \
        text, sizeof text - 1, any_case, says                                                                          \
    }
    KIND("version https://git-lfs", false,
         "it is a Git LFS pointer, a few lines in place of the file: git lfs pull fetches the file itself, and so does "
         "kvasir "
         "pull"),
    KIND("<!doctype html", true,
         "it is a page of HTML, as a sign-in or a page about the file is: use the address of the download itself (of a "
         "hub the "
         "one with /resolve/, not /blob/)"),
    KIND("<html", true,
         "it is a page of HTML, as a sign-in or a page about the file is: use the address of the download itself (of a "
         "hub the "
         "one with /resolve/, not /blob/)"),
    KIND("<?xml", true, "it is an XML document, as some stores send in place of a file: see what it says"),
    KIND("{", false,
         "it is a JSON text, as servers send for errors and repositories keep for settings: see what it says"),
    KIND("PK\3\4", false,
         "it is a ZIP archive, as PyTorch's checkpoints are: unpack it, or convert the checkpoint with llama.cpp's "
         "convert_hf_to_gguf.py"),
    KIND("\x1f\x8b", false, "it is compressed by gzip: unpack it first"),
    KIND("\x28\xb5\x2f\xfd", false, "it is compressed by zstd: unpack it first"),
    KIND("\xfd"
         "7zXZ",
         false, "it is compressed by xz: unpack it first"),
    KIND("7z\xbc\xaf", false, "it is a 7z archive: unpack it first"),
    KIND("algg", false, "it is a LoRA adapter of the time before GGUF: Kvasir runs models alone"),
    KIND("tjgg", false, "it is a model of the time before GGUF (GGJT): fetch it as GGUF, or convert the original anew"),
    KIND("fmgg", false, "it is a model of the time before GGUF (GGMF): fetch it as GGUF, or convert the original anew"),
    KIND("lmgg", false, "it is a model of the time before GGUF (GGML): fetch it as GGUF, or convert the original anew"),
    KIND("\x93NUMPY", false, "it is an array of NumPy"),
#undef KIND
};

/* A length of its JSON header, 8 bytes little-endian, and then that header (huggingface/safetensors, README). */
static bool is_safetensors(const char *head, size_t n)
{
    enum { MOST = 100 << 20 };
    uint64_t length = 0;
    if (n < 10 || head[8] != '{') return false;
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)head[i];
    return length > 1 && length <= MOST;
}

const char *file_kind_of(const char *head, size_t n)
{
    if (is_safetensors(head, n))
        return "it is a safetensors file: fetch the model as GGUF, or convert its folder with llama.cpp's "
               "convert_hf_to_gguf.py";
    if (n >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0) head += 3, n -= 3; /* UTF-8's mark */
    const char *text = head;
    while ((size_t)(text - head) < n && strchr(" \t\r\n", *text) && *text) text++;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *at = kinds[i].any_case ? text : head;
        if (n - (size_t)(at - head) < kinds[i].n) continue;
        if (kinds[i].any_case ? strncasecmp(at, kinds[i].begins, kinds[i].n) == 0
                              : memcmp(at, kinds[i].begins, kinds[i].n) == 0)
            return kinds[i].says;
    }
    return NULL;
}
