#include "cli/session/wrap.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

static const char replacement[] = "\xef\xbf\xbd";

/* ---- what is written ---------------------------------------------------------------------------------- */

/* A terminal goes to its next line by itself when a character no longer fits. */
static void advance(wrap *w, int columns)
{
    w->column += columns;
    if (w->width > 0 && w->column > w->width) w->column = columns;
}

static void put_spaces(wrap *w)
{
    for (; w->spaces > 0; w->spaces--) {
        w->out(w->user, " ", 1);
        advance(w, 1);
    }
}

static void put_word(wrap *w)
{
    if (w->n_word > 0) w->out(w->user, w->word, w->n_word);
    advance(w, w->word_columns);
    w->n_word = 0;
    w->word_columns = 0;
}

/* A word that is held back fits the line. */
static void release(wrap *w)
{
    if (w->n_word == 0) return;
    put_spaces(w);
    put_word(w);
}

/* Spaces that would only make the terminal begin another line are invisible at the end of this one. */
static void end_spaces(wrap *w)
{
    if (w->width == 0 || w->column + w->spaces <= w->width) put_spaces(w);
    w->spaces = 0;
}

static int left_to_terminal(const wrap *w)
{
    return w->width < WRAP_LEAST || w->fence > 0 || w->run >= 3;
}

/* ---- blocks of code ----------------------------------------------------------------------------------- */

/* Follows whether the line begins with ``` or ~~~. */
static void look_for_fence(wrap *w, char c)
{
    if (c == ' ' && w->run == 0 && !w->has_word) return;
    if ((c == '`' || c == '~') && !w->after_run && (w->run == 0 ? !w->has_word : c == w->run_of)) {
        w->run_of = c;
        w->run++;
        return;
    }
    if (w->run < 3) { /* too short, or nothing of it */
        w->run = 0;
        return;
    }
    w->after_run |= c == ' ' ? 1 : 3;
    w->run_in_rest |= c == '`';
}

/* At the end of a line: does a block begin or end with it? */
static void pass_fence(wrap *w)
{
    if (w->fence > 0) {
        if (w->run >= w->fence && w->run_of == w->fence_of && w->after_run < 2) w->fence = 0;
    } else if (w->run >= 3 && !(w->run_of == '`' && w->run_in_rest)) { /* `code` in three ticks is no block */
        w->fence = w->run;
        w->fence_of = w->run_of;
    }
    w->run = w->after_run = w->run_in_rest = 0;
}

/* ---- characters --------------------------------------------------------------------------------------- */

static void take_visible(wrap *w, const char *text, size_t n, int columns)
{
    look_for_fence(w, n == 1 ? *text : 'x');
    int starts_line = !w->has_word;
    w->has_word = 1;
    if (w->glued || starts_line || left_to_terminal(w) || w->n_word + n > sizeof w->word) {
        release(w);
        put_spaces(w);
        w->out(w->user, text, n);
        advance(w, columns);
        w->glued = 1;
        return;
    }
    memcpy(w->word + w->n_word, text, n);
    w->n_word += n;
    w->word_columns += columns;
    if (w->column + w->spaces + w->word_columns > w->width) {
        w->out(w->user, "\n", 1);
        w->column = w->spaces = 0;
        put_word(w);
        w->glued = 1;
    } else if (columns > 1) { /* Chinese and the like has no spaces; a line may end behind every character */
        release(w);
        w->glued = 1;
    }
}

static void take_space(wrap *w)
{
    look_for_fence(w, ' ');
    release(w);
    w->glued = 0;
    w->spaces++;
    if (!w->has_word || left_to_terminal(w)) put_spaces(w);
}

static void take_tab(wrap *w)
{
    enum { STOP = 8 };
    look_for_fence(w, ' ');
    release(w);
    put_spaces(w);
    w->out(w->user, "\t", 1);
    w->column = (w->column / STOP + 1) * STOP;
    if (w->width > 0 && w->column > w->width) w->column = w->width;
    w->glued = w->has_word; /* there is no space that a line end could replace */
}

static void take_newline(wrap *w)
{
    release(w);
    end_spaces(w);
    w->out(w->user, "\n", 1);
    w->column = w->has_word = w->glued = 0;
    pass_fence(w);
}

static void take_control(wrap *w, unsigned c)
{
    char text[16];
    int n = snprintf(text, sizeof text, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
    for (int i = 0; i < n; i++) take_visible(w, text + i, 1, 1);
}

static void take_character(wrap *w, utf8proc_int32_t c, const char *text, size_t n)
{
    if (w->carriage) {
        w->carriage = 0;
        if (c != '\n') take_control(w, '\r');
    }
    if (c == '\n')
        take_newline(w);
    else if (c == '\r')
        w->carriage = 1;
    else if (c == '\t')
        take_tab(w);
    else if (c == ' ')
        take_space(w);
    else if (!shown_character((uint32_t)c))
        take_control(w, (unsigned)c);
    else
        take_visible(w, text, n, utf8proc_charwidth(c));
}

static void take_bad(wrap *w)
{
    w->n_part = 0;
    take_character(w, 0xfffd, replacement, sizeof replacement - 1);
}

/* How many bytes a character with this first byte has; 0: none begins so. */
static size_t sequence_bytes(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

void wrap_feed(wrap *w, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (w->n_part > 0 && (byte & 0xc0) != 0x80) take_bad(w); /* the character before has no end */
        size_t need = sequence_bytes(w->n_part > 0 ? (unsigned char)w->part[0] : byte);
        if (need == 0) {
            take_bad(w);
            continue;
        }
        w->part[w->n_part++] = text[i];
        if (w->n_part < need) continue;
        utf8proc_int32_t c = -1;
        char whole[4];
        memcpy(whole, w->part, need);
        if (utf8proc_iterate((const utf8proc_uint8_t *)whole, (utf8proc_ssize_t)need, &c) != (utf8proc_ssize_t)need) {
            take_bad(w);
            continue;
        }
        w->n_part = 0;
        take_character(w, c, whole, need);
    }
}

void wrap_end(wrap *w)
{
    if (w->n_part > 0) take_bad(w);
    w->carriage = 0;
    release(w);
    end_spaces(w);
}
