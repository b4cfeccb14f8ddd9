#include "cli/args/near.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Fills `row` with the distances of `a` from all beginnings of `b`: optimal string alignment, the form of
   Damerau-Levenshtein in which no part is edited twice. False: too long. */
static int distances(const char *a, const char *b, int row[NEAR_WORD_BYTES])
{
    int before[NEAR_WORD_BYTES], last[NEAR_WORD_BYTES];
    int n = (int)strnlen(a, NEAR_WORD_BYTES), m = (int)strnlen(b, NEAR_WORD_BYTES);
    if (n == NEAR_WORD_BYTES || m == NEAR_WORD_BYTES) return 0;
    for (int j = 0; j <= m; j++) row[j] = before[j] = last[j] = j;
    for (int i = 1; i <= n; i++) {
        memcpy(before, last, sizeof before);
        memcpy(last, row, sizeof last);
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return 1;
}

int near_distance(const char *a, const char *b)
{
    int row[NEAR_WORD_BYTES] = {0};
    return distances(a, b, row) ? row[strlen(b)] : NEAR_FAR;
}

int near_start_distance(const char *a, const char *b)
{
    int row[NEAR_WORD_BYTES] = {0}, best = NEAR_FAR;
    if (!distances(a, b, row)) return NEAR_FAR;
    for (size_t j = 0; j <= strlen(b); j++) best = least(best, row[j]);
    return best;
}

near_word near_begin(const char *typed)
{
    return (near_word){.typed = typed, .distance = NEAR_FAR};
}

static void take(near_word *n, const char *word, int distance)
{
    int letters = 0;
    for (const char *s = n->typed; *s; s++) letters += isalnum((unsigned char)*s) != 0;
    int allowed = letters / 3; /* of two letters every word is near */
    if (distance > (allowed < 3 ? allowed : 3) || distance >= n->distance) return;
    n->distance = distance;
    (void)snprintf(n->best, sizeof n->best, "%s", word);
}

void near_try(near_word *n, const char *word)
{
    take(n, word, near_distance(n->typed, word));
}

void near_try_start(near_word *n, const char *word)
{
    take(n, word, near_start_distance(n->typed, word));
}
