#include "fetch/sha256.h"
#include "base/file.h"
#include "base/mem.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 1 << 20, DIGEST = 32 };

static kvasir_status finish(EVP_MD_CTX *hash, char out[FETCH_SHA256_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(hash, digest, &n) != 1 || n != DIGEST)
        return fail(KVASIR_E_INTERNAL, "libcrypto has no SHA-256");
    for (int i = 0; i < DIGEST; i++) (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return KVASIR_OK;
}

static kvasir_status add_file(EVP_MD_CTX *hash, const file *f, unsigned char *piece, kvasir_progress_fn progress,
                              void *user)
{
    for (uint64_t at = 0; at < file_size(f);) {
        size_t n = file_size(f) - at < PIECE ? (size_t)(file_size(f) - at) : PIECE;
        TRY(file_read(f, at, piece, n));
        if (EVP_DigestUpdate(hash, piece, n) != 1) return fail(KVASIR_E_INTERNAL, "libcrypto failed");
        at += n;
        if (progress && progress(user, at, file_size(f)))
            return fail(KVASIR_E_CANCELLED, "stopped while checking the file");
    }
    return KVASIR_OK;
}

kvasir_status sha256_file(const char *path, kvasir_progress_fn progress, void *user, char out[FETCH_SHA256_BYTES])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char *piece = mem_alloc(1, PIECE);
    file *f = NULL;
    kvasir_status status = hash && piece ? file_open(path, &f) : fail_memory(PIECE);
    if (status == KVASIR_OK && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1)
        status = fail(KVASIR_E_INTERNAL, "libcrypto has no SHA-256");
    if (status == KVASIR_OK) status = add_file(hash, f, piece, progress, user);
    if (status == KVASIR_OK) status = finish(hash, out);
    if (f) file_close(f);
    mem_free(piece);
    EVP_MD_CTX_free(hash);
    return status;
}

kvasir_status sha256_text(const char *text, char out[FETCH_SHA256_BYTES])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (!hash) return fail_memory(1);
    kvasir_status status =
        EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(hash, text, strlen(text)) == 1
            ? finish(hash, out)
            : fail(KVASIR_E_INTERNAL, "libcrypto has no SHA-256");
    EVP_MD_CTX_free(hash);
    return status;
}
