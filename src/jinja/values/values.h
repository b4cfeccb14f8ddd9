/* The values that templates work with, as in Python: made, compared, turned into text, iterated over. Strings are
   always valid UTF-8 and know their length in code points. Everything that is made while rendering lies in the
   rendering's memory (jrun, jinja/run/run.h). */
#ifndef KVASIR_JINJA_VALUES_VALUES_H
#define KVASIR_JINJA_VALUES_VALUES_H

#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- what a value is --------------------------------------------------------------------------------- */

/* Python's integers have no limit; here they have 127 bits, and going beyond is an error. */
__extension__ typedef __int128 jint;

typedef enum jkind {
    J_MISSING, /* no value at all: a variable that is not set, an argument that is not given */
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STRING,
    J_BYTES,
    J_LIST,
    J_TUPLE,
    J_DICT,
    J_RANGE,
    J_VIEW, /* dict.keys(), .values(), .items() */
    J_ITER, /* a generator or iterator of Python: can be read once */
    J_NAMESPACE,
    J_MACRO,
    J_METHOD,   /* a method with its object */
    J_FUNCTION, /* range, dict, ... */
    J_LOOP,
    J_CYCLER,
    J_JOINER
} jkind;

typedef struct jrun jrun;
typedef struct jnode jnode;
typedef struct jiter jiter;
typedef struct jmacro jmacro;
typedef struct jloop jloop;

typedef struct jstr {
    const char *s; /* valid UTF-8, not NUL-terminated */
    size_t n, chars;
    bool markup; /* Python's Markup: `+` escapes the other operand */
} jstr;

typedef struct jval jval;
typedef struct jlist {
    jval *v;
    size_t n;
    bool group; /* of groupby: has .grouper and .list */
} jlist;

typedef struct jdict jdict;

typedef struct jrange {
    jint start, stop, step;
    jint n;
} jrange;

typedef enum jview_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } jview_kind;
typedef struct jview {
    jview_kind kind;
    jdict *dict;
} jview;

typedef struct jundef jundef;
typedef struct jbound jbound;
typedef struct jcycler jcycler;
typedef struct jjoiner jjoiner;
typedef struct jfunction jfunction;

struct jval {
    jkind kind;
    union {
        bool b;
        jint i;
        double f;
        const jstr *s;
        jlist *list;
        jdict *dict; /* J_DICT and J_NAMESPACE */
        const jrange *range;
        const jview *view;
        jiter *iter;
        const jundef *undef;
        const jmacro *macro;
        const jbound *bound;
        const jfunction *function;
        jloop *loop;
        jcycler *cycler;
        jjoiner *joiner;
    };
};

struct jundef {
    const char *hint;    /* a whole sentence; NULL: made from what follows */
    const char *of_type; /* type of the object that was asked, NULL for a variable */
    jval name;
};

struct jcycler {
    jlist items;
    size_t pos;
};

struct jjoiner {
    jval separator;
    bool used;
};

/* The arguments of a call. */
typedef struct jargs {
    jval *v;
    size_t n;
    const jstr **names; /* of the keyword arguments */
    jval *named;
    size_t n_named;
} jargs;

enum { J_MAX_PARAMS = 6 };

/* A function written in C, with its parameters: names separated by blanks, of which the first `required` must be given.
   "_" is a parameter without a name (positional only). a->v[i] is the i-th parameter, or J_MISSING. If params is NULL,
   the function gets the arguments as they were passed. */
typedef kvasir_status (*jbuiltin)(jrun *r, jval self, const jargs *a, jval *out);
struct jfunction {
    const char *name;
    jbuiltin call;
    int required;
    const char *params;
};

struct jbound {
    jval self;
    const jfunction *method;
};

static inline jval j_undefined(const jundef *u)
{
    return (jval){.kind = J_UNDEFINED, .undef = u};
}
static inline jval j_none(void)
{
    return (jval){.kind = J_NONE};
}
static inline jval j_bool(bool b)
{
    return (jval){.kind = J_BOOL, .b = b};
}
static inline jval j_int(jint i)
{
    return (jval){.kind = J_INT, .i = i};
}
static inline jval j_float(double f)
{
    return (jval){.kind = J_FLOAT, .f = f};
}
static inline jval j_str(const jstr *s)
{
    return (jval){.kind = J_STRING, .s = s};
}
static inline bool j_is_sequence(jval v)
{
    return v.kind == J_LIST || v.kind == J_TUPLE;
}
static inline bool j_is_number(jval v)
{
    return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT;
}
static inline bool j_is_integral(jval v)
{
    return v.kind == J_BOOL || v.kind == J_INT;
}
static inline jint j_integer(jval v)
{
    return v.kind == J_BOOL ? (jint)v.b : v.i;
}
static inline double j_double(jval v)
{
    return v.kind == J_FLOAT ? v.f : (double)j_integer(v);
}

typedef enum jcompare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN } jcompare;

/* ---- value.c, dict.c: making and comparing ----------------------------------------------------------- */

/* Makes a string from a copy of n bytes of valid UTF-8, or of a NUL-terminated text. */
kvasir_status j_string(jrun *r, const char *s, size_t n, jval *out);
kvasir_status j_text(jrun *r, const char *s, jval *out);
/* A part of a string, sharing its bytes. */
kvasir_status j_part(jrun *r, const jstr *of, size_t at, size_t n, jval *out);
/* Turns a string that has just been made into Markup. */
void j_set_markup(jval v);
/* A list (or tuple) of n values that the caller fills in. */
kvasir_status j_new_list(jrun *r, jkind kind, size_t n, jval *out);
kvasir_status j_pair(jrun *r, jval a, jval b, jval *out); /* a tuple */
/* An undefined value with this message (see jundef), and one for a variable that is not there. */
kvasir_status j_new_undefined(jrun *r, const char *hint, const char *of_type, jval name, jval *out);
kvasir_status j_undefined_name(jrun *r, const jstr *name, jval *out);
/* Fails with the message that an undefined value gives when it is used. */
kvasir_status j_use_undefined(jrun *r, jval v);

const char *j_type_name(jval v); /* as Python names it */
bool j_truth(jval v);            /* as bool() in Python */
/* The length of the value; false when it has none. */
bool j_length(jval v, size_t *n);
/* Python's ==, the comparisons, and `what in in`; they fail for types that cannot be compared. */
kvasir_status j_equal(jrun *r, jval a, jval b, bool *out);
kvasir_status j_compare(jrun *r, jcompare op, jval a, jval b, bool *out);
kvasir_status j_contains(jrun *r, jval in, jval what, bool *out);
bool j_same(jval a, jval b);                /* the test `sameas`: Python's `is` */
bool j_is(const jstr *s, const char *text); /* equal texts */
/* Sorts pairs by their first member, ascending; equal ones keep their order. */
kvasir_status j_sort_pairs(jrun *r, jlist *pairs);

kvasir_status j_new_dict(jrun *r, size_t room, jdict **out); /* `room`: entries expected */
/* Adds or replaces; a key that cannot be one fails. */
kvasir_status j_dict_put(jrun *r, jdict *d, jval key, jval value);
/* The value of a key; J_MISSING when it is not there. Fails for a value that cannot be a key. */
kvasir_status j_dict_get(jrun *r, const jdict *d, jval key, jval *out);
kvasir_status j_dict_get_text(jrun *r, const jdict *d, const jstr *key, jval *out); /* the same */
size_t j_dict_size(const jdict *d);                                                 /* entries */
jval j_dict_key(const jdict *d, size_t i);   /* of entry i, in the order of insertion */
jval j_dict_value(const jdict *d, size_t i); /* of entry i */
/* Whether the value can be a key. */
kvasir_status j_hashable(jrun *r, jval v, bool *out);

/* ---- repr.c, json.c, format.c, str_format.c, percent.c: values to text --------------------------------- */

/* Write a value as Python's str() and repr() do. */
kvasir_status j_emit_str(jrun *r, jval v);
kvasir_status j_emit_repr(jrun *r, jval v);
kvasir_status j_to_str(jrun *r, jval v, const jstr **out); /* a string as it is, other values as str() gives them */
kvasir_status j_emit_int(jrun *r, jint i);
kvasir_status j_emit_float(jrun *r, double f); /* as repr() */
/* The shortest digits that read back as f (finite, not negative): up to 17, without a point. Returns the exponent of
   the first one. */
int j_shortest(double f, char digits[24]);
enum { J_INT_DIGITS = 130 };
/* The digits of |i| in a base of 2 to 16; returns where they start in `to`. */
char *j_int_digits(jint i, unsigned base, char to[J_INT_DIGITS + 1]);

/* Reads the decimal number s[0..n): digits, optional fraction, optional exponent, in no locale. */
double j_read_double(const char *s, size_t n);
/* Reads digits in a base; false when the number does not fit. */
bool j_read_int(const char *s, size_t n, unsigned base, jint *out);

/* JSON to values, and the filter tojson. */
kvasir_status j_json_read(jrun *r, const char *s, size_t n, jval *out);
kvasir_status j_tojson(jrun *r, jval self, const jargs *a, jval *out);

/* Python's format % args; the methods format and format_map; format(v, spec); strftime_now. */
kvasir_status j_printf(jrun *r, const jstr *format, jval args, jval *out);
kvasir_status j_str_format(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status j_str_format_map(jrun *r, jval self, const jargs *a, jval *out);
kvasir_status j_format_value(jrun *r, jval v, const jstr *spec);
kvasir_status j_strftime(jrun *r, jval self, const jargs *a, jval *out);

/* ---- iter.c ------------------------------------------------------------------------------------------ */

/* Gives the next value, or J_MISSING at the end. */
typedef kvasir_status (*jnext)(jrun *r, jiter *it, jval *out);
struct jiter {
    jnext next;
    const char *type; /* Python's name of it */
    jval source;
    jiter *inner;
    size_t pos;
    jint at; /* of ranges */
    void *state;
};
/* Over `source`, as `next` gives it. */
kvasir_status j_new_iter(jrun *r, const char *type, jnext next, jval source, jiter **out);
/* An iterator over v; fails when Python cannot iterate over it. */
kvasir_status j_iterate(jrun *r, jval v, jiter **out);
bool j_iterable(jval v);                                  /* whether j_iterate can succeed */
kvasir_status j_iter_next(jrun *r, jiter *it, jval *out); /* J_MISSING at the end */
/* All values of an iterable, as a new list. */
kvasir_status j_to_list(jrun *r, jval v, jlist **out);
/* reversed(): J_ITER, or J_MISSING when the value cannot be reversed. */
kvasir_status j_reversed(jrun *r, jval v, jval *out);

/* ---- unicode.c, strings.c: text as Python sees it ---------------------------------------------------- */

/* Decodes the code point at s[*at] (valid UTF-8) and moves *at behind it. */
uint32_t j_decode(const char *s, size_t *at);
/* The same for the code point that ends at s[*at]; *at moves to its start. */
uint32_t j_decode_before(const char *s, size_t *at);
size_t j_encode(uint32_t c, char to[4]); /* returns the length */
size_t j_count(const char *s, size_t n); /* code points in n bytes */
/* Where code point number `chars` of the string starts. */
size_t j_offset(const jstr *s, size_t chars);
/* Copies text, with bad UTF-8 replaced by U+FFFD, and with `newlines` all line ends as \n. */
kvasir_status j_valid_utf8(arena *mem, const char *s, size_t n, bool newlines, char **out, size_t *n_out);
bool j_space(uint32_t c);                   /* white space, as str.isspace() sees it */
bool j_word(uint32_t c);                    /* \w */
bool j_printable(uint32_t c);               /* as str.isprintable() sees it */
bool j_identifier(const char *s, size_t n); /* as str.isidentifier() sees it */
typedef enum jcase { CASE_LOWER, CASE_UPPER, CASE_TITLE, CASE_SWAP, CASE_FOLD, CASE_CAPITALIZE } jcase;
/* Emits the text in another case, by Python's rules for str.lower() and so on. */
kvasir_status j_emit_case(jrun *r, jcase how, const char *s, size_t n);
typedef enum jclass {
    CLASS_ALNUM,
    CLASS_ALPHA,
    CLASS_ASCII,
    CLASS_DECIMAL,
    CLASS_DIGIT,
    CLASS_IDENTIFIER,
    CLASS_LOWER,
    CLASS_NUMERIC,
    CLASS_PRINTABLE,
    CLASS_SPACE,
    CLASS_TITLE,
    CLASS_UPPER
} jclass;
bool j_class(jclass c, const jstr *s); /* whether all of s is of the class: str.isalnum() and its like */
/* Strips characters from the ends of s; chars NULL: white space. which: 1 left, 2 right, 3 both. */
kvasir_status j_strip(jrun *r, const jstr *s, const jstr *chars, int which, jval *out);
/* str.replace(); at most `count` times, all where it is negative. */
kvasir_status j_replace(jrun *r, const jstr *s, const jstr *old, const jstr *new, jint count, jval *out);
kvasir_status j_split_lines(jrun *r, const jstr *s, bool keep, jval *out); /* keep: with line ends */
/* Pads s to a width: where -1 puts the text to the left, 0 in the middle, 1 to the right. */
kvasir_status j_center(jrun *r, const jstr *s, jint width, const jstr *fill, int where, jval *out);
/* The byte offset of `what` in s at or after `from`, SIZE_MAX when it is not there. */
size_t j_find_text(const jstr *s, size_t from, const jstr *what);
kvasir_status j_emit_escaped(jrun *r, const jstr *s); /* for HTML */

#endif
