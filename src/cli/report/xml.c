#include "cli/report/xml.h"
#include "cli/common/common.h"

#include <string.h>

static const char *entity_of(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* The text is UTF-8. What may not be shown is a space: not all of it is allowed in XML. */
static void put_valid(FILE *f, const char *s)
{
    for (const char *end = s + strlen(s); s < end;) {
        const size_t shown = shown_sequence(s, (size_t)(end - s));
        const char *entity = entity_of(*s);
        if (entity)
            (void)fputs(entity, f);
        else if (shown)
            (void)fwrite(s, 1, shown, f);
        else
            (void)fputc(' ', f);
        for (s += shown ? shown : 1; !shown && ((unsigned char)*s & 0xc0) == 0x80;)
            s++; /* the rest of one that is not */
    }
}

void xml_text(FILE *f, const char *s)
{
    json_t *valid = s ? json_text(s, strlen(s)) : NULL;
    if (valid) put_valid(f, json_string_value(valid));
    json_decref(valid);
}
