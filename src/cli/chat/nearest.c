/* Names that were probably meant, and the rest of those that were begun. */
#include "cli/chat/chat.h"

#include <stdio.h>
#include <string.h>

enum { MOST_CHARACTERS = 32 };

int edit_distance(const char *a, const char *b)
{
    int row[MOST_CHARACTERS + 1];
    size_t n = strlen(b);
    if (n > MOST_CHARACTERS || strlen(a) > MOST_CHARACTERS) return MOST_CHARACTERS;
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = (int)i + 1;
        for (size_t j = 0; j < n; j++) {
            int least = diagonal + (a[i] != b[j]);
            if (row[j] + 1 < least) least = row[j] + 1;
            if (row[j + 1] + 1 < least) least = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = least;
        }
    }
    return row[n];
}

const char *nearest_name(const char *word, name_at names)
{
    const char *best = NULL;
    size_t n = strlen(word);
    int least = n < 5 ? 2 : 3; /* this many changes make another word */
    for (int i = 0; names(i); i++) {
        int distance = n >= 2 && strncmp(names(i), word, n) == 0 ? 0 : edit_distance(word, names(i));
        if (distance >= least) continue;
        least = distance;
        best = names(i);
    }
    return best;
}

int complete_name(const char *word, name_at names, char *to, size_t n)
{
    const char *first = NULL;
    size_t typed = strlen(word), common = 0;
    int found = 0;
    for (int i = 0; names(i); i++) {
        if (strncmp(names(i), word, typed) != 0) continue;
        if (found++ == 0) {
            first = names(i);
            common = strlen(first);
        }
        size_t same = typed;
        while (same < common && first[same] == names(i)[same]) same++;
        common = same;
    }
    if (found == 0 || (found > 1 && common == typed)) return 0;
    (void)snprintf(to, n, "%.*s%s", (int)(common - typed), first + typed, found == 1 ? " " : "");
    return 1;
}
