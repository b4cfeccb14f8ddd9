/* The names of things to fetch. */
#include "fetch/fetch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char hub[] = "hf:";

static bool is_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

bool fetch_is_name(const char *text)
{
    return is_url(text) || strncmp(text, hub, strlen(hub)) == 0;
}

/* Letters, digits, and . _ - (but not at the beginning): nothing that leads out of a folder. */
static bool plain(const char *s, size_t n)
{
    if (n == 0 || n >= FETCH_NAME_BYTES || s[0] == '.' || s[0] == '-') return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("._-", s[i])) return false;
    return true;
}

static kvasir_status part(const char *whole, const char *what, const char *s, size_t n, char *to)
{
    if (n == 0)
        return fail(KVASIR_E_ARGUMENT,
                    "%s: the %s is missing; a name is hf:OWNER/REPO[@REVISION][:FILE or quantisation]",
                    quoted(whole, strlen(whole)), what);
    if (!plain(s, n)) {
        return fail(
            KVASIR_E_ARGUMENT,
            "%s: the %s %s is no name (letters, digits, '.', '_', '-'); a name is hf:OWNER/REPO[@REVISION][:FILE "
            "or quantisation]",
            quoted(whole, strlen(whole)), what, quoted(s, n));
    }
    memcpy(to, s, n);
    to[n] = '\0';
    return KVASIR_OK;
}

/* A branch may have slashes in its name (refs/pr/1). They are kept escaped, as URLs want them, so that the name
   makes one folder. */
static kvasir_status revision(const char *whole, const char *s, size_t n, char *to)
{
    char piece[FETCH_NAME_BYTES];
    size_t used = 0;
    for (const char *end = s + n; s <= end; s++) {
        size_t length = 0;
        while (s + length < end && s[length] != '/') length++;
        TRY(part(whole, "revision", s, length, piece));
        int added = snprintf(to + used, FETCH_NAME_BYTES - used, "%s%s", used ? "%2F" : "", piece);
        used += (size_t)added;
        if (used >= FETCH_NAME_BYTES)
            return fail(KVASIR_E_ARGUMENT, "%s: the revision is too long", quoted(whole, strlen(whole)));
        s += length;
    }
    return KVASIR_OK;
}

bool fetch_safe_path(const char *path)
{
    if (strlen(path) >= FETCH_NAME_BYTES) return false;
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || p[0] == '.') return false;
        for (size_t i = 0; i < n; i++)
            if (iscntrl((unsigned char)p[i]) || strchr("\\?#\"", p[i])) return false;
        p += n;
        if (*p == '\0') return true;
    }
}

kvasir_status fetch_parse(const char *text, fetch_name *out)
{
    *out = (fetch_name){0};
    if (is_url(text)) {
        if (strlen(text) >= FETCH_URL_BYTES)
            return fail(KVASIR_E_ARGUMENT, "the URL is longer than %d bytes", FETCH_URL_BYTES - 1);
        out->url = text;
        return KVASIR_OK;
    }
    const char *owner = text + strlen(hub), *slash = strchr(owner, '/');
    if (!slash)
        return fail(KVASIR_E_ARGUMENT,
                    "%s names no repository; a name is hf:OWNER/REPO[@REVISION][:FILE or quantisation]",
                    quoted(text, strlen(text)));
    const char *repo = slash + 1, *end = repo + strcspn(repo, "@:"), *colon = strchr(repo, ':');
    TRY(part(text, "owner", owner, (size_t)(slash - owner), out->owner));
    TRY(part(text, "repository", repo, (size_t)(end - repo), out->repo));
    (void)snprintf(out->revision, sizeof out->revision, "main");
    if (*end == '@') TRY(revision(text, end + 1, strcspn(end + 1, ":"), out->revision));
    if (!colon) return KVASIR_OK;
    if (!colon[1])
        return fail(KVASIR_E_ARGUMENT, "%s: a file or a quantisation is missing behind the colon",
                    quoted(text, strlen(text)));
    if (!fetch_safe_path(colon + 1))
        return fail(KVASIR_E_ARGUMENT, "%s: %s is no file of a repository and no quantisation",
                    quoted(text, strlen(text)), quoted(colon + 1, strlen(colon + 1)));
    (void)snprintf(out->what, sizeof out->what, "%s", colon + 1);
    return KVASIR_OK;
}

/* Reads `digits` digits at s. */
static bool number(const char *s, int digits, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)s[i])) return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return true;
}

bool fetch_split(const char *path, int *part_number, int *n_parts, size_t *at)
{
    static const char like[] = "-00001-of-00003.gguf";
    size_t n = strlen(path), tail = sizeof like - 1;
    if (n <= tail) return false;
    const char *s = path + n - tail;
    *at = n - tail;
    return s[0] == '-' && number(s + 1, 5, part_number) && strncmp(s + 6, "-of-", 4) == 0 &&
           number(s + 10, 5, n_parts) && strcmp(s + 15, ".gguf") == 0 && *part_number >= 1 &&
           *part_number <= *n_parts && *n_parts <= FETCH_MAX_PARTS;
}

bool fetch_link_next(const char *text, char *to, size_t room)
{
    while ((text = strchr(text, '<')) != NULL) {
        size_t n = strcspn(++text, ">");
        const char *from = text, *next = "rel=\"next\"";
        if (from[n] == '\0') return false;
        text += n + 1;
        size_t about = strcspn(text, "<"); /* the parameters of this address; the next address may have commas, too */
        for (size_t i = 0; i + strlen(next) <= about; i++)
            if (strncasecmp(text + i, next, strlen(next)) == 0 && n < room) {
                memcpy(to, from, n);
                to[n] = '\0';
                return true;
            }
    }
    return false;
}

static bool whole_number(const char **s, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**s)) return false;
    errno = 0;
    *out = strtoull(*s, &end, 10);
    *s = end;
    return errno == 0;
}

bool fetch_content_range(const char *text, uint64_t *from, uint64_t *to, uint64_t *total)
{
    text += strspn(text, " \t");
    if (strncasecmp(text, "bytes ", 6) != 0) return false;
    text += 6;
    return whole_number(&text, from) && *text++ == '-' && whole_number(&text, to) && *text++ == '/' &&
           whole_number(&text, total) && *from <= *to && *to < *total;
}
