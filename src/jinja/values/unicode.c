/* Characters as Python sees them: UTF-8, white space, classes, case. */
#include "jinja/values/case.h"
#include "jinja/run/run.h"

#include <string.h>
#include <utf8proc.h>

/* ---- UTF-8 -------------------------------------------------------------------------------------------- */

uint32_t j_decode(const char *s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s + *at;
    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *at += 2;
        return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] < 0xf0) {
        *at += 3;
        return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3fu);
    }
    *at += 4;
    return (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3fu);
}

uint32_t j_decode_before(const char *s, size_t *at)
{
    do (*at)--;
    while (((unsigned char)s[*at] & 0xc0) == 0x80);
    size_t i = *at;
    return j_decode(s, &i);
}

/* Surrogates and what lies beyond Unicode become U+FFFD. */
size_t j_encode(uint32_t c, char to[4])
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t j_count(const char *s, size_t n)
{
    size_t chars = 0;
    for (size_t i = 0; i < n; i++) chars += ((unsigned char)s[i] & 0xc0) != 0x80;
    return chars;
}

size_t j_offset(const jstr *s, size_t chars)
{
    if (chars >= s->chars) return s->n;
    if (s->chars == s->n) return chars;
    size_t i = 0;
    while (chars-- > 0) (void)j_decode(s->s, &i);
    return i;
}

/* The length of the valid sequence at s, 0 if there is none. */
static size_t sequence(const unsigned char *s, size_t n)
{
    size_t need = s[0] < 0x80                   ? 1
                  : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                  : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                  : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                : 0;
    if (need == 0 || need > n) return 0;
    for (size_t i = 1; i < need; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)) return 0;
    return need;
}

kvasir_status j_valid_utf8(arena *mem, const char *s, size_t n, bool newlines, char **out, size_t *n_out)
{
    size_t bad = 0, used = 0;
    for (size_t i = 0; i < n;) {
        size_t k = sequence((const unsigned char *)s + i, n - i);
        bad += k == 0;
        i += k ? k : 1;
    }
    char *to = *out = arena_alloc(mem, n + 2 * bad + 1, 1);
    if (!to) return fail_memory(n + 2 * bad + 1);
    for (size_t i = 0; i < n;) {
        size_t k = sequence((const unsigned char *)s + i, n - i);
        if (k == 0) {
            used += j_encode(0xfffd, to + used);
            i++;
        } else if (newlines && s[i] == '\r') {
            to[used++] = '\n';
            i += i + 1 < n && s[i + 1] == '\n' ? 2 : 1;
        } else {
            memcpy(to + used, s + i, k);
            used += k;
            i += k;
        }
    }
    *n_out = used;
    return KVASIR_OK;
}

/* ---- classes ------------------------------------------------------------------------------------------ */

bool j_space(uint32_t c)
{
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static utf8proc_category_t category(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

static bool is_letter(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/* Digits that are not decimal: superscripts, circled digits and the like. */
static bool is_digit(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
        {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
        {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
        {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
    if (category(c) == UTF8PROC_CATEGORY_ND) return true;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

/* Numbers by category, and the ideographs that are numbers. */
static bool is_numeric(uint32_t c)
{
    static const uint32_t ideographs[] = {0x3405, 0x3483, 0x382a, 0x3b4d, 0x4e00, 0x4e03, 0x4e07, 0x4e09, 0x4e5d,
                                          0x4e8c, 0x4e94, 0x4e96, 0x4ebf, 0x4ec0, 0x4edf, 0x4ee8, 0x4f0d, 0x4f70,
                                          0x5104, 0x5146, 0x5169, 0x516b, 0x516d, 0x5341, 0x5343, 0x5344, 0x5345,
                                          0x534c, 0x53c1, 0x53c2, 0x53c3, 0x53c4, 0x56db, 0x58f1, 0x58f9, 0x5e7a,
                                          0x5efe, 0x5eff, 0x5f0c, 0x5f0d, 0x5f0e, 0x5f10, 0x62fe, 0x634c, 0x67d2,
                                          0x6f06, 0x7396, 0x767e, 0x8086, 0x842c, 0x8cae, 0x8cb3, 0x8d30, 0x9621,
                                          0x9646, 0x964c, 0x9678, 0x96f6};
    utf8proc_category_t k = category(c);
    if (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) return true;
    for (size_t i = 0; i < sizeof ideographs / sizeof *ideographs; i++)
        if (ideographs[i] == c) return true;
    return false;
}

static bool is_alnum(uint32_t c)
{
    return is_letter(c) || is_numeric(c) || is_digit(c);
}

bool j_word(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return is_alnum(c);
}

bool j_printable(uint32_t c)
{
    if (c < 0x7f) return c >= 0x20;
    utf8proc_category_t k = category(c);
    return k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS;
}

bool j_identifier(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool first = i == 0;
        uint32_t c = j_decode(s, &i);
        utf8proc_category_t k = category(c);
        bool start = is_letter(c) || k == UTF8PROC_CATEGORY_NL || c == '_';
        bool more = k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ND ||
                    k == UTF8PROC_CATEGORY_PC;
        if (!start && (first || !more)) return false;
    }
    return n > 0;
}

/* Unicode's Other_Lowercase and Other_Uppercase, besides the categories. */
static bool is_lower(uint32_t c)
{
    static const uint32_t ranges[][2] = {{0xaa, 0xaa},     {0xba, 0xba},     {0x2b0, 0x2b8},   {0x2c0, 0x2c1},
                                         {0x2e0, 0x2e4},   {0x345, 0x345},   {0x37a, 0x37a},   {0x1d2c, 0x1d6a},
                                         {0x1d78, 0x1d78}, {0x1d9b, 0x1dbf}, {0x2071, 0x2071}, {0x207f, 0x207f},
                                         {0x2090, 0x209c}, {0x2170, 0x217f}, {0x24d0, 0x24e9}, {0x2c7c, 0x2c7d},
                                         {0xa69c, 0xa69d}, {0xa770, 0xa770}, {0xa7f8, 0xa7f9}, {0xab5c, 0xab5f}};
    if (category(c) == UTF8PROC_CATEGORY_LL) return true;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

static bool is_upper(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_LU || (c >= 0x2160 && c <= 0x216f) || (c >= 0x24b6 && c <= 0x24cf) ||
           (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

static bool is_title(uint32_t c)
{
    return category(c) == UTF8PROC_CATEGORY_LT;
}

static bool is_cased(uint32_t c)
{
    return is_lower(c) || is_upper(c) || is_title(c);
}

static bool in_class(jclass k, uint32_t c)
{
    switch (k) {
    case CLASS_ALNUM:
        return is_alnum(c);
    case CLASS_ALPHA:
        return is_letter(c);
    case CLASS_ASCII:
        return c < 0x80;
    case CLASS_DECIMAL:
        return category(c) == UTF8PROC_CATEGORY_ND;
    case CLASS_DIGIT:
        return is_digit(c);
    case CLASS_NUMERIC:
        return is_numeric(c);
    case CLASS_PRINTABLE:
        return j_printable(c);
    case CLASS_SPACE:
        return j_space(c);
    default:
        return false;
    }
}

/* islower, isupper and istitle: at least one character with case, and none that contradicts. */
static bool cased_class(jclass k, const jstr *s)
{
    bool any = false, after_cased = false;
    for (size_t i = 0; i < s->n;) {
        uint32_t c = j_decode(s->s, &i);
        bool lower = is_lower(c), upper = is_upper(c), title = is_title(c);
        if (k == CLASS_LOWER && (upper || title)) return false;
        if (k == CLASS_UPPER && (lower || title)) return false;
        if (k == CLASS_TITLE && (((upper || title) && after_cased) || (lower && !after_cased))) return false;
        after_cased = lower || upper || title;
        any |= k == CLASS_LOWER ? lower : k == CLASS_UPPER ? upper : after_cased;
    }
    return any;
}

bool j_class(jclass k, const jstr *s)
{
    if (k == CLASS_LOWER || k == CLASS_UPPER || k == CLASS_TITLE) return cased_class(k, s);
    if (k == CLASS_IDENTIFIER) return j_identifier(s->s, s->n);
    if (s->n == 0) return k == CLASS_ASCII || k == CLASS_PRINTABLE;
    for (size_t i = 0; i < s->n;)
        if (!in_class(k, j_decode(s->s, &i))) return false;
    return true;
}

/* ---- case --------------------------------------------------------------------------------------------- */

static bool case_ignorable(uint32_t c)
{
    static const uint16_t others[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                      0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    utf8proc_category_t k = category(c);
    if (k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
        k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK)
        return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] == c) return true;
    return false;
}

/* Is the capital sigma at [at, end) the last letter of a word? */
static bool final_sigma(const char *s, size_t n, size_t at, size_t end)
{
    bool before = false;
    while (at > 0) {
        uint32_t c = j_decode_before(s, &at);
        if (case_ignorable(c)) continue;
        before = is_cased(c);
        break;
    }
    while (before && end < n) {
        uint32_t c = j_decode(s, &end);
        if (!case_ignorable(c)) return !is_cased(c);
    }
    return before;
}

static kvasir_status emit_lower(jrun *r, const char *s, size_t n, size_t at, size_t end, uint32_t c)
{
    if (c == 0x3a3) return j_emit_char(r, final_sigma(s, n, at, end) ? 0x3c2 : 0x3c3);
    if (c == 0x130) { /* the dot becomes a character of its own */
        TRY(j_emit_char(r, 'i'));
        return j_emit_char(r, 0x307);
    }
    return j_emit_char(r, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
}

static kvasir_status emit_upper(jrun *r, uint32_t c, bool title)
{
    size_t low = 0, high = sizeof special_cases / sizeof *special_cases;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (special_cases[middle].c < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < sizeof special_cases / sizeof *special_cases && special_cases[low].c == c) {
        const uint32_t *to = title ? special_cases[low].title : special_cases[low].upper;
        for (int i = 0; i < 3 && to[i]; i++) TRY(j_emit_char(r, to[i]));
        return KVASIR_OK;
    }
    utf8proc_int32_t p = (utf8proc_int32_t)c;
    return j_emit_char(r, (uint32_t)(title ? utf8proc_totitle(p) : utf8proc_toupper(p)));
}

static kvasir_status emit_folded(jrun *r, uint32_t c)
{
    utf8proc_int32_t to[8];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, to, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n < 1 || n > 8) return j_emit_char(r, c);
    for (utf8proc_ssize_t i = 0; i < n; i++) TRY(j_emit_char(r, (uint32_t)to[i]));
    return KVASIR_OK;
}

kvasir_status j_emit_case(jrun *r, jcase how, const char *s, size_t n)
{
    bool after_cased = false;
    TRY(j_step(r, n / 16));
    for (size_t i = 0; i < n;) {
        size_t at = i;
        uint32_t c = j_decode(s, &i);
        bool upper = how == CASE_UPPER || (how == CASE_SWAP && is_lower(c));
        bool title = (how == CASE_TITLE && !after_cased) || (how == CASE_CAPITALIZE && at == 0);
        if (how == CASE_FOLD)
            TRY(emit_folded(r, c));
        else if (how == CASE_SWAP && !upper && !is_upper(c))
            TRY(j_emit_char(r, c));
        else if (upper || title)
            TRY(emit_upper(r, c, title));
        else
            TRY(emit_lower(r, s, n, at, i, c));
        if (how == CASE_TITLE) after_cased = is_cased(c);
    }
    return KVASIR_OK;
}
