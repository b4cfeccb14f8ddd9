/* Iterators: each has one `next` function and makes its values when they are asked for. */
#include "jinja/run/run.h"

#include <string.h>

kvasir_status j_new_iter(jrun *r, const char *type, jnext next, jval source, jiter **out)
{
    TRY(j_take(r, 1, sizeof **out, out));
    **out = (jiter){.next = next, .type = type, .source = source};
    return KVASIR_OK;
}

kvasir_status j_iter_next(jrun *r, jiter *it, jval *out)
{
    TRY(j_step(r, 1));
    TRY(j_down(r)); /* iterators may read from iterators */
    kvasir_status status = it->next(r, it, out);
    j_up(r);
    return status;
}

static kvasir_status next_item(jrun *r, jiter *it, jval *out)
{
    const jlist *list = it->source.list;
    *out = it->pos < list->n ? list->v[it->pos++] : (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status next_item_back(jrun *r, jiter *it, jval *out)
{
    const jlist *list = it->source.list;
    bool any = it->pos > 0 && it->pos <= list->n;
    *out = any ? list->v[--it->pos] : (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status next_char(jrun *r, jiter *it, jval *out)
{
    const jstr *s = it->source.s;
    size_t from = it->pos;
    *out = (jval){.kind = J_MISSING};
    if (from >= s->n) return KVASIR_OK;
    (void)j_decode(s->s, &it->pos);
    if (s->markup) return j_string(r, s->s + from, it->pos - from, out); /* its characters are plain text */
    return j_part(r, s, from, it->pos - from, out);
}

static kvasir_status next_char_back(jrun *r, jiter *it, jval *out)
{
    const jstr *s = it->source.s;
    size_t to = it->pos;
    *out = (jval){.kind = J_MISSING};
    if (to == 0) return KVASIR_OK;
    (void)j_decode_before(s->s, &it->pos);
    if (s->markup) return j_string(r, s->s + it->pos, to - it->pos, out);
    return j_part(r, s, it->pos, to - it->pos, out);
}

static kvasir_status next_byte(jrun *r, jiter *it, jval *out)
{
    const jstr *s = it->source.s;
    *out = it->pos < s->n ? j_int((unsigned char)s->s[it->pos++]) : (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status next_number(jrun *r, jiter *it, jval *out)
{
    const jrange *g = it->source.range;
    *out = (jint)it->pos < g->n ? j_int(g->start + (jint)it->pos++ * g->step) : (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status next_number_back(jrun *r, jiter *it, jval *out)
{
    const jrange *g = it->source.range;
    *out = it->pos > 0 ? j_int(g->start + (jint)--it->pos * g->step) : (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

static kvasir_status dict_part(jrun *r, const jval *of, size_t i, jval *out)
{
    const jdict *d = of->kind == J_VIEW ? of->view->dict : of->dict;
    jview_kind kind = of->kind == J_VIEW ? of->view->kind : VIEW_KEYS;
    if (kind == VIEW_ITEMS) return j_pair(r, j_dict_key(d, i), j_dict_value(d, i), out);
    *out = kind == VIEW_KEYS ? j_dict_key(d, i) : j_dict_value(d, i);
    return KVASIR_OK;
}

static kvasir_status next_key(jrun *r, jiter *it, jval *out)
{
    size_t n = 0;
    *out = (jval){.kind = J_MISSING};
    (void)j_length(it->source, &n);
    return it->pos < n ? dict_part(r, &it->source, it->pos++, out) : KVASIR_OK;
}

static kvasir_status next_key_back(jrun *r, jiter *it, jval *out)
{
    *out = (jval){.kind = J_MISSING};
    return it->pos > 0 ? dict_part(r, &it->source, --it->pos, out) : KVASIR_OK;
}

static kvasir_status next_none(jrun *r, jiter *it, jval *out)
{
    *out = (jval){.kind = J_MISSING};
    return KVASIR_OK;
}

/* In Jinja a loop object can be iterated over: it gives each item together with the loop. Nobody writes that, and it
   is not supported. */
bool j_iterable(jval v)
{
    switch (v.kind) {
    case J_UNDEFINED:
    case J_STRING:
    case J_BYTES:
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
    case J_RANGE:
    case J_VIEW:
    case J_ITER:
        return true;
    default:
        return false;
    }
}

kvasir_status j_iterate(jrun *r, jval v, jiter **out)
{
    switch (v.kind) {
    case J_ITER:
        *out = v.iter;
        return KVASIR_OK;
    case J_UNDEFINED:
        return j_new_iter(r, "generator", next_none, v, out);
    case J_STRING:
        return j_new_iter(r, "str_iterator", next_char, v, out);
    case J_BYTES:
        return j_new_iter(r, "bytes_iterator", next_byte, v, out);
    case J_LIST:
    case J_TUPLE:
        return j_new_iter(r, "list_iterator", next_item, v, out);
    case J_DICT:
    case J_VIEW:
        return j_new_iter(r, "dict_keyiterator", next_key, v, out);
    case J_RANGE:
        return j_new_iter(r, "range_iterator", next_number, v, out);
    default:
        return j_fail(r, "'%s' object is not iterable", j_type_name(v));
    }
}

kvasir_status j_to_list(jrun *r, jval v, jlist **out)
{
    jiter *it;
    size_t room = 0;
    jval made;
    TRY(j_iterate(r, v, &it));
    (void)j_length(v, &room);
    TRY(j_new_list(r, J_LIST, room, &made));
    jlist *list = *out = made.list;
    list->n = 0;
    for (;;) {
        jval item;
        TRY(j_iter_next(r, it, &item));
        if (item.kind == J_MISSING) return KVASIR_OK;
        if (list->n == room) {
            jval *more;
            room = room ? room * 2 : 8;
            TRY(j_take(r, room, sizeof *more, &more));
            if (list->n) memcpy(more, list->v, list->n * sizeof *more);
            list->v = more;
        }
        list->v[list->n++] = item;
    }
}

kvasir_status j_reversed(jrun *r, jval v, jval *out)
{
    jiter *it;
    size_t n = 0;
    jnext next = v.kind == J_UNDEFINED                  ? next_none
                 : v.kind == J_STRING                   ? next_char_back
                 : j_is_sequence(v)                     ? next_item_back
                 : v.kind == J_RANGE                    ? next_number_back
                 : v.kind == J_DICT || v.kind == J_VIEW ? next_key_back
                                                        : NULL;
    *out = (jval){.kind = J_MISSING};
    if (!next) return KVASIR_OK;
    TRY(j_new_iter(r, "reversed", next, v, &it));
    (void)j_length(v, &n);
    it->pos = v.kind == J_STRING ? v.s->n : n;
    *out = (jval){.kind = J_ITER, .iter = it};
    return KVASIR_OK;
}
