/* Typed access to metadata. */
#include "gguf/part.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const type_name[GGUF_VALUE_TYPES] = {
    [GGUF_U8] = "u8",   [GGUF_I8] = "i8",   [GGUF_U16] = "u16",   [GGUF_I16] = "i16",       [GGUF_U32] = "u32",
    [GGUF_I32] = "i32", [GGUF_F32] = "f32", [GGUF_BOOL] = "bool", [GGUF_STRING] = "string", [GGUF_ARRAY] = "array",
    [GGUF_U64] = "u64", [GGUF_I64] = "i64", [GGUF_F64] = "f64",
};

/* The result for an absent key: KVASIR_OK unless it is required. */
static kvasir_status absent(const char *path, const char *key, bool required)
{
    if (!required) return KVASIR_OK;
    return fail(KVASIR_E_FORMAT, "%s: key %s is missing", path, quoted(key, strlen(key)));
}

static kvasir_status wrong_type(const char *path, const char *key, const gguf_kv *kv, const char *wanted)
{
    bool array = kv->type == GGUF_ARRAY;
    return fail(KVASIR_E_FORMAT, "%s: key %s is %s%s, not %s", path, quoted(key, strlen(key)),
                array ? "an array of " : "a value of type ", type_name[kv->element], wanted);
}

bool gguf_kv_integer(const gguf_kv *kv, bool *negative, uint64_t *magnitude)
{
    int64_t v = 0;
    uint64_t u = 0;
    switch (kv->type) {
    case GGUF_U8:
        u = *(const uint8_t *)kv->data;
        break;
    case GGUF_U16:
        u = *(const uint16_t *)kv->data;
        break;
    case GGUF_U32:
        u = *(const uint32_t *)kv->data;
        break;
    case GGUF_U64:
        u = *(const uint64_t *)kv->data;
        break;
    case GGUF_I8:
        v = *(const int8_t *)kv->data; // NOLINT(bugprone-signed-char-misuse): a number, not a character
        break;
    case GGUF_I16:
        v = *(const int16_t *)kv->data;
        break;
    case GGUF_I32:
        v = *(const int32_t *)kv->data;
        break;
    case GGUF_I64:
        v = *(const int64_t *)kv->data;
        break;
    default:
        return false;
    }
    *negative = v < 0;
    *magnitude = v < 0 ? 0 - (uint64_t)v : v > 0 ? (uint64_t)v : u;
    return true;
}

kvasir_status kv_get_u32(const char *path, const char *key, const gguf_kv *kv, bool required, uint32_t min,
                         uint32_t max, uint32_t *out)
{
    bool negative;
    uint64_t value;
    if (!kv) return absent(path, key, required);
    if (!gguf_kv_integer(kv, &negative, &value)) return wrong_type(path, key, kv, "an integer");
    if ((negative && value != 0) || value < min || value > max)
        return fail(KVASIR_E_FORMAT, "%s: key %s is %s%llu, not from %u to %u", path, quoted(key, strlen(key)),
                    negative ? "-" : "", (unsigned long long)value, min, max);
    *out = (uint32_t)value;
    return KVASIR_OK;
}

kvasir_status gguf_get_u32(const gguf *g, const char *key, bool required, uint32_t min, uint32_t max, uint32_t *out)
{
    return kv_get_u32(gguf_path(g), key, gguf_find(g, key), required, min, max, out);
}

kvasir_status gguf_get_f32(const gguf *g, const char *key, bool required, float min, float max, float *out)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return absent(gguf_path(g), key, required);
    double value;
    if (kv->type == GGUF_F32)
        value = (double)*(const float *)kv->data;
    else if (kv->type == GGUF_F64)
        value = *(const double *)kv->data;
    else
        return wrong_type(gguf_path(g), key, kv, "a float");
    /* Compared before the cast, which an f64 may overflow. The negation catches NaN. */
    if (!(fabs(value) <= (double)FLT_MAX) || value < (double)min || value > (double)max)
        return fail(KVASIR_E_FORMAT, "%s: key %s is %g, not from %g to %g", gguf_path(g), quoted(key, strlen(key)),
                    value, (double)min, (double)max);
    *out = (float)value;
    return KVASIR_OK;
}

kvasir_status gguf_get_bool(const gguf *g, const char *key, bool required, bool *out)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return absent(gguf_path(g), key, required);
    if (kv->type != GGUF_BOOL) return wrong_type(gguf_path(g), key, kv, "a boolean");
    *out = *(const unsigned char *)kv->data != 0;
    return KVASIR_OK;
}

kvasir_status gguf_get_string(const gguf *g, const char *key, bool required, gguf_string *out)
{
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv) return absent(gguf_path(g), key, required);
    if (kv->type != GGUF_STRING) return wrong_type(gguf_path(g), key, kv, "a string");
    *out = *(const gguf_string *)kv->data;
    return KVASIR_OK;
}

bool gguf_is_number(gguf_value_type type)
{
    return type != GGUF_STRING && type != GGUF_ARRAY;
}

double gguf_number(const gguf_kv *kv, size_t i)
{
    switch (kv->element) {
    case GGUF_U8:
    case GGUF_BOOL:
        return ((const uint8_t *)kv->data)[i];
    case GGUF_I8:
        return ((const int8_t *)kv->data)[i];
    case GGUF_U16:
        return ((const uint16_t *)kv->data)[i];
    case GGUF_I16:
        return ((const int16_t *)kv->data)[i];
    case GGUF_U32:
        return ((const uint32_t *)kv->data)[i];
    case GGUF_I32:
        return ((const int32_t *)kv->data)[i];
    case GGUF_U64:
        return (double)((const uint64_t *)kv->data)[i];
    case GGUF_I64:
        return (double)((const int64_t *)kv->data)[i];
    case GGUF_F32:
        return (double)((const float *)kv->data)[i];
    case GGUF_F64:
        return ((const double *)kv->data)[i];
    default:
        return NAN;
    }
}

kvasir_status gguf_get_array(const gguf *g, const char *key, bool required, gguf_value_type element, const void **out,
                             size_t *n)
{
    const gguf_kv *kv = gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (!kv) return absent(gguf_path(g), key, required);
    if (kv->type != GGUF_ARRAY || kv->element != element) {
        char wanted[32];
        (void)snprintf(wanted, sizeof wanted, "an array of %s", type_name[element]);
        return wrong_type(gguf_path(g), key, kv, wanted);
    }
    *out = kv->data;
    *n = kv->count;
    return KVASIR_OK;
}
