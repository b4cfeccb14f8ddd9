/* The lexer: Jinja's token rules with trim_blocks and lstrip_blocks on, without regular expressions. */
#include "jinja/syntax/syntax.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char at(const jlexer *x, size_t i)
{
    return i < x->n ? x->s[i] : '\0';
}

static bool starts(const jlexer *x, size_t i, const char *text)
{
    size_t n = strlen(text);
    return i <= x->n && n <= x->n - i && memcmp(x->s + i, text, n) == 0;
}

static kvasir_status lex_fail(const jlexer *x, const char *what)
{
    return fail(KVASIR_E_TEMPLATE, "line %u: %s", x->line, what);
}

static size_t skip_space(const jlexer *x, size_t i)
{
    while (i < x->n) {
        size_t next = i;
        if (!j_space(j_decode(x->s, &next))) break;
        i = next;
    }
    return i;
}

/* Moves to `to`, counting lines. */
static void advance(jlexer *x, size_t to)
{
    for (size_t i = x->at; i < to; i++) x->line += x->s[i] == '\n';
    if (to > x->at) x->line_starting = x->s[to - 1] == '\n';
    x->at = to;
}

kvasir_status j_lex_open(jlexer *x, arena *mem, const char *text, size_t n)
{
    char *clean;
    *x = (jlexer){.mem = mem, .line = 1, .line_starting = true};
    TRY(j_valid_utf8(mem, text, n, true, &clean, &x->n));
    if (x->n > 0 && clean[x->n - 1] == '\n') x->n--; /* keep_trailing_newline is off */
    x->s = clean;
    return KVASIR_OK;
}

/* Matches "raw" or "endraw" and the end of its tag at i, behind the tag's begin and sign. Returns where the text after
   the tag starts, or 0. `trim`: a newline after the tag is a part of it. */
static size_t match_word_tag(const jlexer *x, size_t i, const char *word, bool trim)
{
    i = skip_space(x, i);
    if (!starts(x, i, word)) return 0;
    i = skip_space(x, i + strlen(word));
    if (starts(x, i, "-%}")) return skip_space(x, i + 3);
    if (trim && starts(x, i, "+%}")) return i + 3;
    if (!starts(x, i, "%}")) return 0;
    i += 2;
    return trim && at(x, i) == '\n' ? i + 1 : i;
}

/* The end of the data that starts at x->at and is followed by a tag at `tag`. The tag's sign and lstrip_blocks decide
   how much white space is stripped. */
static size_t data_end(const jlexer *x, size_t tag, char sign, bool variable)
{
    size_t end = tag;
    if (sign == '-') {
        while (end > x->at) {
            size_t before = end;
            if (!j_space(j_decode_before(x->s, &before))) break;
            end = before;
        }
        return end;
    }
    if (sign == '+' || variable) return end;
    while (end > x->at && x->s[end - 1] != '\n') {
        size_t before = end;
        if (!j_space(j_decode_before(x->s, &before))) return tag;
        end = before;
    }
    return end > x->at || x->line_starting ? end : tag;
}

static size_t after_sign(const jlexer *x, size_t i, char *sign)
{
    *sign = at(x, i) == '-' || at(x, i) == '+' ? at(x, i) : '\0';
    return *sign ? i + 1 : i;
}

/* {% raw %}: gives the data up to {% endraw %}. x->at is behind the begin of the raw tag. */
static kvasir_status lex_raw(jlexer *x, jtoken *out)
{
    for (size_t i = x->at; i + 1 < x->n; i++) {
        char sign;
        if (!starts(x, i, "{%")) continue;
        size_t after = match_word_tag(x, after_sign(x, i + 2, &sign), "endraw", true);
        if (after == 0) continue;
        *out = (jtoken){.type = T_DATA, .line = x->line, .s = x->s + x->at};
        out->n = data_end(x, i, sign, false) - x->at;
        advance(x, after);
        return KVASIR_OK;
    }
    return lex_fail(x, "the end of the raw block is missing");
}

/* Skips a comment; x->at is behind its begin and sign. */
static kvasir_status skip_comment(jlexer *x)
{
    for (size_t i = x->at; i < x->n; i++) {
        size_t end = 0;
        if (starts(x, i, "+#}"))
            end = i + 3;
        else if (starts(x, i, "-#}"))
            end = skip_space(x, i + 3);
        else if (starts(x, i, "#}"))
            end = at(x, i + 2) == '\n' ? i + 3 : i + 2;
        if (end == 0) continue;
        advance(x, end);
        return KVASIR_OK;
    }
    return lex_fail(x, "the end of the comment is missing");
}

/* Enters the tag at `tag`, where x->at is. A raw block gives its data in *out; other tags give nothing. */
static kvasir_status enter_tag(jlexer *x, jtoken *out, bool *has_data)
{
    char kind = x->s[x->at + 1], sign;
    size_t after = after_sign(x, x->at + 2, &sign);
    if (kind == '%') {
        size_t raw = match_word_tag(x, after, "raw", false);
        if (raw) {
            advance(x, raw);
            *has_data = true;
            return lex_raw(x, out);
        }
    }
    advance(x, after);
    if (kind == '#') return skip_comment(x);
    x->state = kind == '%' ? LEX_BLOCK : LEX_VARIABLE;
    x->n_brackets = 0;
    *has_data = true;
    *out = (jtoken){.type = kind == '%' ? T_BLOCK_BEGIN : T_VARIABLE_BEGIN, .line = x->line};
    return KVASIR_OK;
}

static kvasir_status lex_root(jlexer *x, jtoken *out)
{
    while (x->at < x->n) {
        size_t tag = x->at;
        while (tag < x->n &&
               !(x->s[tag] == '{' && (at(x, tag + 1) == '{' || at(x, tag + 1) == '%' || at(x, tag + 1) == '#')))
            tag++;
        if (tag < x->n) {
            char sign;
            (void)after_sign(x, tag + 2, &sign);
            size_t end = data_end(x, tag, sign, x->s[tag + 1] == '{');
            *out = (jtoken){.type = T_DATA, .line = x->line, .s = x->s + x->at, .n = end - x->at};
        } else {
            *out = (jtoken){.type = T_DATA, .line = x->line, .s = x->s + x->at, .n = tag - x->at};
        }
        if (out->n > 0) {
            advance(x, tag);
            return KVASIR_OK;
        }
        for (; x->at < tag; x->at++) x->line += x->s[x->at] == '\n'; /* stripped to nothing */
        if (tag == x->n) break;
        bool has = false;
        TRY(enter_tag(x, out, &has));
        if (has) return KVASIR_OK;
    }
    *out = (jtoken){.type = T_EOF, .line = x->line};
    return KVASIR_OK;
}

/* The end of the digits from i on, single underscores between them included; i if there are none. */
static size_t digits(const jlexer *x, size_t i)
{
    size_t end = i;
    while (is_digit(at(x, end)) || (end > i && at(x, end) == '_' && is_digit(at(x, end + 1)))) end++;
    return end;
}

static size_t match_exponent(const jlexer *x, size_t i)
{
    if (at(x, i) != 'e' && at(x, i) != 'E') return i;
    size_t from = i + 1 + (at(x, i + 1) == '+' || at(x, i + 1) == '-');
    size_t end = digits(x, from);
    return end > from ? end : i;
}

/* The end of a float at x->at, or x->at. A number after a dot is a subscript, not a float. */
static size_t match_float(const jlexer *x)
{
    size_t end = digits(x, x->at);
    if (end == x->at || (x->at > 0 && x->s[x->at - 1] == '.')) return x->at;
    if (at(x, end) == '.' && is_digit(at(x, end + 1))) return match_exponent(x, digits(x, end + 1));
    size_t with = match_exponent(x, end);
    return with > end ? with : x->at;
}

static unsigned digit_value(char c)
{
    if (is_digit(c)) return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f') return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return (unsigned)(c - 'A') + 10;
    return 99;
}

static size_t match_integer(const jlexer *x, unsigned *base)
{
    size_t i = x->at;
    char mark = (char)(at(x, i + 1) | 0x20);
    *base = at(x, i) != '0' ? 10 : mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 10;
    if (*base != 10) {
        size_t end = i + 2;
        while (digit_value(at(x, end)) < *base || (at(x, end) == '_' && digit_value(at(x, end + 1)) < *base)) end++;
        if (end > i + 2) return end;
        *base = 10;
    }
    if (at(x, i) != '0') return digits(x, i);
    for (i++; at(x, i) == '0' || (at(x, i) == '_' && at(x, i + 1) == '0');) i++;
    return i;
}

static kvasir_status lex_number(jlexer *x, jtoken *out)
{
    unsigned base = 10;
    size_t end = match_float(x);
    out->type = end > x->at ? T_FLOAT : T_INTEGER;
    if (out->type == T_INTEGER) end = match_integer(x, &base);
    size_t from = base == 10 ? x->at : x->at + 2, n = 0;
    char *clean = arena_alloc(x->mem, end - from + 1, 1);
    if (!clean) return fail_memory(end - from);
    for (size_t i = from; i < end; i++)
        if (x->s[i] != '_') clean[n++] = x->s[i];
    out->s = x->s + x->at;
    out->n = end - x->at;
    if (out->type == T_FLOAT)
        out->number = j_float(j_read_double(clean, n));
    else {
        out->number.kind = J_INT;
        if (!j_read_int(clean, n, base, &out->number.i)) return lex_fail(x, "the number is too large");
    }
    advance(x, end);
    return KVASIR_OK;
}

static bool read_hex(const char *s, size_t n, size_t *i, size_t count, uint32_t *c)
{
    *c = 0;
    for (size_t k = 0; k < count; k++, (*i)++) {
        unsigned v = *i < n ? digit_value(s[*i]) : 99;
        if (v > 15) return false;
        *c = *c << 4 | v;
    }
    return true;
}

/* Decodes one escape of a string literal into out; *i is behind its backslash. False when it is malformed. */
static bool unescape(const char *s, size_t n, size_t *i, char *out, size_t *used)
{
    static const char plain[] = "\\'\"abfnrtv", meaning[] = "\\'\"\a\b\f\n\r\t\v";
    char c = s[(*i)++];
    uint32_t code = 0;
    const char *p = c ? strchr(plain, c) : NULL;
    if (p) {
        out[(*used)++] = meaning[p - plain];
    } else if (c >= '0' && c <= '7') {
        code = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && *i < n && s[*i] >= '0' && s[*i] <= '7'; k++)
            code = code * 8 + (uint32_t)(s[(*i)++] - '0');
        *used += j_encode(code, out + *used);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        if (!read_hex(s, n, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, &code) || code > 0x10ffff) return false;
        *used += j_encode(code, out + *used);
    } else if (c == 'N') {
        return false; /* names of characters */
    } else if (c != '\n') {
        out[(*used)++] = '\\'; /* not an escape: both characters stand for themselves */
        out[(*used)++] = c;
    }
    return true;
}

/* A backslash before a character beyond ASCII, at s[*i]. Python's decoder sees such a character already escaped, and
   the two backslashes become one: '\é' is the four characters \xe9. */
static void unescape_wide(const char *s, size_t *i, char *out, size_t *used)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t c = j_decode(s, i);
    int width = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
    out[(*used)++] = '\\';
    out[(*used)++] = width == 2 ? 'x' : width == 4 ? 'u' : 'U';
    for (int k = width - 1; k >= 0; k--) out[(*used)++] = hex[c >> (4 * k) & 15];
}

static kvasir_status lex_string(jlexer *x, jtoken *out)
{
    char quote = x->s[x->at];
    size_t end = x->at + 1, used = 0;
    while (end < x->n && x->s[end] != quote) end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n) return lex_fail(x, "a string has no end");
    const char *s = x->s + x->at + 1;
    size_t n = end - x->at - 1;
    char *text = arena_alloc(x->mem, 3 * n + 1, 1);
    if (!text) return fail_memory(3 * n);
    for (size_t i = 0; i < n;) {
        if (s[i] != '\\') {
            text[used++] = s[i++];
            continue;
        }
        i++;
        if ((unsigned char)s[i] >= 0x80)
            unescape_wide(s, &i, text, &used);
        else if (!unescape(s, n, &i, text, &used))
            return lex_fail(x, "a string has an escape that cannot be read");
    }
    *out = (jtoken){.type = T_STRING, .line = x->line, .s = text, .n = used};
    advance(x, end + 1);
    return KVASIR_OK;
}

static kvasir_status lex_name(jlexer *x, jtoken *out)
{
    size_t end = x->at;
    while (end < x->n) {
        size_t next = end;
        if (!j_word(j_decode(x->s, &next))) break;
        end = next;
    }
    if (end == x->at) {
        size_t one = x->at;
        (void)j_decode(x->s, &one);
        return fail(KVASIR_E_TEMPLATE, "line %u: unexpected character %s", x->line, quoted(x->s + x->at, one - x->at));
    }
    *out = (jtoken){.type = T_NAME, .line = x->line, .s = x->s + x->at, .n = end - x->at};
    if (!j_identifier(out->s, out->n)) return lex_fail(x, "a name has a character that names cannot have");
    advance(x, end);
    return KVASIR_OK;
}

static kvasir_status lex_bracket(jlexer *x, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (x->n_brackets == J_MAX_BRACKETS) return lex_fail(x, "brackets are nested too deep");
        x->brackets[x->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (x->n_brackets == 0 || x->brackets[--x->n_brackets] != c)
            return fail(KVASIR_E_TEMPLATE, "line %u: unexpected '%c'", x->line, c);
    }
    return KVASIR_OK;
}

static bool match_operator(const jlexer *x, jtoken *out)
{
    static const struct {
        char text[3];
        jtoken_type type;
    } all[] = {{"//", T_FLOORDIV}, {"**", T_POW},   {"==", T_EQ},      {"!=", T_NE},      {">=", T_GE},
               {"<=", T_LE},       {"+", T_ADD},    {"-", T_SUB},      {"/", T_DIV},      {"*", T_MUL},
               {"%", T_MOD},       {"~", T_TILDE},  {"[", T_LBRACKET}, {"]", T_RBRACKET}, {"(", T_LPAREN},
               {")", T_RPAREN},    {"{", T_LBRACE}, {"}", T_RBRACE},   {">", T_GT},       {"<", T_LT},
               {"=", T_ASSIGN},    {".", T_DOT},    {":", T_COLON},    {"|", T_PIPE},     {",", T_COMMA},
               {";", T_SEMICOLON}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!starts(x, x->at, all[i].text)) continue;
        *out = (jtoken){.type = all[i].type, .line = x->line, .s = x->s + x->at, .n = strlen(all[i].text)};
        return true;
    }
    return false;
}

/* The end of the end mark of the present tag, if it stands at x->at; else 0. */
static size_t match_tag_end(const jlexer *x)
{
    bool block = x->state == LEX_BLOCK;
    const char *end = block ? "%}" : "}}";
    if (at(x, x->at) == '-' && starts(x, x->at + 1, end)) return skip_space(x, x->at + 3);
    if (block && at(x, x->at) == '+' && starts(x, x->at + 1, end)) return x->at + 3;
    if (!starts(x, x->at, end)) return 0;
    return block && at(x, x->at + 2) == '\n' ? x->at + 3 : x->at + 2;
}

static kvasir_status lex_tag(jlexer *x, jtoken *out)
{
    for (;;) {
        size_t end = x->n_brackets == 0 ? match_tag_end(x) : 0;
        if (end) {
            *out = (jtoken){.type = x->state == LEX_BLOCK ? T_BLOCK_END : T_VARIABLE_END, .line = x->line};
            advance(x, end);
            x->state = LEX_ROOT;
            return KVASIR_OK;
        }
        size_t space = skip_space(x, x->at);
        if (space == x->at) break;
        advance(x, space);
    }
    if (x->at >= x->n) {
        *out = (jtoken){.type = T_EOF, .line = x->line};
        return KVASIR_OK;
    }
    char c = x->s[x->at];
    *out = (jtoken){.line = x->line};
    if (is_digit(c)) return lex_number(x, out);
    if (c == '\'' || c == '"') return lex_string(x, out);
    if (!match_operator(x, out)) return lex_name(x, out);
    TRY(lex_bracket(x, c));
    advance(x, x->at + out->n);
    return KVASIR_OK;
}

kvasir_status j_lex_next(jlexer *x, jtoken *out)
{
    return x->state == LEX_ROOT ? lex_root(x, out) : lex_tag(x, out);
}
