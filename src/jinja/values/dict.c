/* Dictionaries that keep the order of their keys: entries in a row, and an index into them by hash. */
#include "jinja/run/run.h"

#include <math.h>
#include <string.h>

struct jdict {
    struct entry {
        jval key, value;
        uint64_t hash;
    } * v;
    size_t n, room;
    uint32_t *index; /* entry number + 1, 0: free; twice as many places as entries */
};

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static uint64_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ n, word;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&word, s, 8);
        h = mix(h ^ word);
    }
    word = 0;
    if (n) memcpy(&word, s, n);
    return mix(h ^ word);
}

/* Numbers that are equal have equal hashes, whatever their type. */
static uint64_t hash_number(jval v)
{
    if (v.kind != J_FLOAT || (fabs(v.f) < 0x1p126 && v.f == floor(v.f))) {
        jint i = v.kind == J_FLOAT ? (jint)v.f : j_integer(v);
        return mix((uint64_t)i ^ (uint64_t)(i >> 64) << 1);
    }
    uint64_t bits;
    memcpy(&bits, &v.f, sizeof bits);
    return mix(bits);
}

static uint64_t hash_flat(jval v)
{
    if (j_is_number(v)) return hash_number(v);
    if (v.kind == J_STRING || v.kind == J_BYTES) return hash_bytes(v.s->s, v.s->n) + (v.kind == J_BYTES);
    if (v.kind == J_NONE || v.kind == J_UNDEFINED) return (uint64_t)v.kind;
    if (v.kind == J_RANGE) return mix((uint64_t)v.range->n);
    return mix((uint64_t)(uintptr_t)v.list);
}

/* *is is false when the value is a list or dictionary, or contains one. Each value counts as a step, since a tuple may
   occur in another one a million times. */
static kvasir_status hash_of(jrun *r, jval v, uint64_t *out, bool *is)
{
    TRY(j_step(r, 1));
    *is = v.kind != J_LIST && v.kind != J_DICT && !(v.kind == J_VIEW && v.view->kind != VIEW_VALUES);
    if (v.kind != J_TUPLE) {
        *out = hash_flat(v);
        return v.kind == J_STRING ? j_step(r, v.s->n / 64) : KVASIR_OK;
    }
    *out = 0x51ed270b;
    TRY(j_down(r));
    for (size_t i = 0; *is && i < v.list->n; i++) {
        uint64_t member;
        TRY(hash_of(r, v.list->v[i], &member, is));
        *out = mix(*out ^ member);
    }
    j_up(r);
    return KVASIR_OK;
}

static kvasir_status hash_key(jrun *r, jval key, uint64_t *out)
{
    bool is;
    TRY(hash_of(r, key, out, &is));
    return is ? KVASIR_OK : j_fail(r, "unhashable type: '%s'", j_type_name(key));
}

kvasir_status j_hashable(jrun *r, jval v, bool *out)
{
    uint64_t hash;
    return hash_of(r, v, &hash, out);
}

kvasir_status j_new_dict(jrun *r, size_t room, jdict **out)
{
    TRY(j_take(r, 1, sizeof **out, out));
    jdict *d = *out;
    d->room = 4;
    while (d->room < room) d->room *= 2;
    TRY(j_take(r, d->room, sizeof *d->v, &d->v));
    return j_take(r, d->room * 2, sizeof *d->index, &d->index);
}

size_t j_dict_size(const jdict *d)
{
    return d->n;
}

jval j_dict_key(const jdict *d, size_t i)
{
    return d->v[i].key;
}

jval j_dict_value(const jdict *d, size_t i)
{
    return d->v[i].value;
}

/* The place in the index where the key is, or where it would go. */
static kvasir_status probe(jrun *r, const jdict *d, jval key, uint64_t hash, size_t *place)
{
    size_t mask = d->room * 2 - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        bool same = false;
        *place = at;
        if (d->index[at] == 0) return KVASIR_OK;
        const struct entry *e = &d->v[d->index[at] - 1];
        if (e->hash == hash) TRY(j_equal(r, e->key, key, &same));
        if (same) return KVASIR_OK;
        TRY(j_step(r, 1));
    }
}

static kvasir_status grow(jrun *r, jdict *d)
{
    struct entry *v;
    size_t mask = d->room * 4 - 1;
    if (d->room >= UINT32_MAX / 4) return j_fail(r, "a dictionary has too many keys");
    TRY(j_take(r, d->room * 2, sizeof *v, &v));
    TRY(j_take(r, d->room * 4, sizeof *d->index, &d->index));
    memcpy(v, d->v, d->n * sizeof *v);
    d->v = v;
    d->room *= 2;
    for (size_t i = 0; i < d->n; i++) {
        size_t at = v[i].hash & mask;
        while (d->index[at]) at = (at + 1) & mask;
        d->index[at] = (uint32_t)i + 1;
    }
    return KVASIR_OK;
}

kvasir_status j_dict_put(jrun *r, jdict *d, jval key, jval value)
{
    size_t place;
    uint64_t hash;
    TRY(hash_key(r, key, &hash));
    TRY(probe(r, d, key, hash, &place));
    if (d->index[place]) {
        d->v[d->index[place] - 1].value = value;
        return KVASIR_OK;
    }
    if (d->n == d->room) {
        TRY(grow(r, d));
        TRY(probe(r, d, key, hash, &place));
    }
    d->v[d->n] = (struct entry){key, value, hash};
    d->index[place] = (uint32_t)++d->n;
    return KVASIR_OK;
}

kvasir_status j_dict_get(jrun *r, const jdict *d, jval key, jval *out)
{
    size_t place;
    uint64_t hash;
    *out = (jval){.kind = J_MISSING};
    TRY(hash_key(r, key, &hash));
    TRY(probe(r, d, key, hash, &place));
    if (d->index[place]) *out = d->v[d->index[place] - 1].value;
    return KVASIR_OK;
}

kvasir_status j_dict_get_text(jrun *r, const jdict *d, const jstr *key, jval *out)
{
    return j_dict_get(r, d, j_str(key), out);
}
