#include "server/http/keys.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int differs(const char a[KEY_BYTES], const char b[KEY_BYTES])
{
    unsigned char bits = 0;
    for (size_t i = 0; i < KEY_BYTES; i++) bits |= (unsigned char)(a[i] ^ b[i]);
    return bits != 0;
}

int keys_find(const keys *k, const char *text)
{
    char padded[KEY_BYTES] = "";
    size_t n = strnlen(text, KEY_BYTES);
    int found = -1;
    if (n == 0 || n == KEY_BYTES) return -1;
    memcpy(padded, text, n);
    for (int i = 0; i < k->n; i++) { /* compares with all of them: the time must not tell which it is */
        found = differs(padded, k->list[i].text) == 0 ? k->list[i].number : found;
    }
    return found;
}

static int place_of(const keys *k, const char padded[KEY_BYTES])
{
    for (int i = 0; i < k->n; i++)
        if (memcmp(padded, k->list[i].text, KEY_BYTES) == 0) return i;
    return -1;
}

/* Adds a key, with the number that it had in the file before. */
static kvasir_status add(keys *k, const keys *before, const char *text, size_t n)
{
    char padded[KEY_BYTES] = "";
    memcpy(padded, text, n);
    if (place_of(k, padded) >= 0) return KVASIR_OK;
    if (k->n == KEYS_MOST) return fail(KVASIR_E_ARGUMENT, "more than %d keys", (int)KEYS_MOST);
    if (k->n == k->room) {
        int room = k->room ? 2 * k->room : 16;
        key *more = mem_grow(k->list, (size_t)k->room, (size_t)room, sizeof *more);
        if (!more) return fail_memory((size_t)room * sizeof *more);
        k->list = more;
        k->room = room;
    }
    int place = place_of(before, padded);
    memcpy(k->list[k->n].text, padded, KEY_BYTES);
    k->list[k->n++].number = place >= 0 ? before->list[place].number : k->next++;
    return KVASIR_OK;
}

static kvasir_status add_lines(keys *k, const keys *before, const char *path, const char *text)
{
    for (int line = 1; *text; line++) {
        size_t n = strcspn(text, "\n"), from = 0, to = n;
        while (from < to && is_space(text[from])) from++;
        while (to > from && is_space(text[to - 1])) to--;
        if (to - from >= KEY_BYTES)
            return fail(KVASIR_E_ARGUMENT, "%s: the key in line %d has more than %d bytes", path, line, KEY_BYTES - 1);
        if (to > from && text[from] != '#') TRY(add(k, before, text + from, to - from));
        text += n + (text[n] == '\n');
    }
    return k->n > 0 ? KVASIR_OK : fail(KVASIR_E_ARGUMENT, "%s: there is no key in it", path);
}

static kvasir_status read_file(const char *path, char **out)
{
    FILE *f = fopen(path, "re");
    if (!f) return fail(KVASIR_E_IO, "%s: %s", path, strerror(errno));
    char *text = mem_alloc(KEY_FILE_BYTES + 1, 1);
    size_t n = text ? fread(text, 1, KEY_FILE_BYTES, f) : 0;
    int failed = ferror(f), all = n < KEY_FILE_BYTES;
    (void)fclose(f);
    if (text && !failed && all && memchr(text, 0, n) == NULL) {
        *out = text;
        return KVASIR_OK;
    }
    int is_memory = !text;
    mem_free(text);
    return is_memory ? fail_memory(KEY_FILE_BYTES)
           : failed  ? fail(KVASIR_E_IO, "%s: it cannot be read", path)
                     : fail(KVASIR_E_ARGUMENT, "%s: a file of keys is text of less than 1 MiB", path);
}

kvasir_status keys_read(keys *k, const char *path)
{
    char *text = NULL;
    keys next = {.next = k->next};
    TRY(read_file(path, &text));
    kvasir_status status = add_lines(&next, k, path, text);
    mem_free(text);
    keys_free(status == KVASIR_OK ? k : &next);
    if (status == KVASIR_OK) *k = next;
    return status;
}

void keys_free(keys *k)
{
    mem_free(k->list);
    *k = (keys){0};
}
