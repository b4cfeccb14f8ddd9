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

/* U+0080 to U+009F, U+FFFE and U+FFFF: not all of them are allowed in XML, and none shows anything. */
static int is_invisible(const unsigned char *s)
{
    return (s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe);
}

static void put_valid(FILE *f, const char *s)
{
    for (; *s; s++) {
        const char *entity = entity_of(*s);
        if (entity)
            (void)fputs(entity, f);
        else if (is_invisible((const unsigned char *)s)) {
            (void)fputc(' ', f);
            s += (unsigned char)*s == 0xc2 ? 1 : 2;
        } else
            (void)fputc((unsigned char)*s < ' ' || *s == 0x7f ? ' ' : *s, f);
    }
}

void xml_text(FILE *f, const char *s)
{
    json_t *valid = s ? json_text(s, strlen(s)) : NULL;
    if (valid) put_valid(f, json_string_value(valid));
    json_decref(valid);
}
