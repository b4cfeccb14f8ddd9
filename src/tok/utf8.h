/* UTF-8, byte by byte: what is a character, what is the start of one, what is neither. */
#ifndef KVASIR_TOK_UTF8_H
#define KVASIR_TOK_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the character at s (n > 0 bytes are there): 1 to 4. 0 when no character begins like this; -1 when the
   bytes begin one that goes on beyond n. Strict: no overlong forms, no surrogates, nothing above U+10FFFF. */
static inline int utf8_char(const unsigned char *s, size_t n)
{
    unsigned char c = s[0], low = 0x80, high = 0xbf;
    int need;
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    for (int i = 1; i < need; i++) {
        if ((size_t)i == n) return -1;
        if (s[i] < low || s[i] > high) return 0;
        low = 0x80;
        high = 0xbf;
    }
    return need;
}

/* The length that a lead byte announces, with nothing else checked: the step of the reference engine. */
static inline size_t utf8_lead(unsigned char c)
{
    return c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Writes a code point (also a surrogate) and returns its length. */
static inline size_t utf8_put(char *to, uint32_t cp)
{
    if (cp < 0x80) {
        to[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        to[0] = (char)(0xc0 | cp >> 6);
        to[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        to[0] = (char)(0xe0 | cp >> 12);
        to[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        to[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | cp >> 18);
    to[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    to[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    to[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

#endif
