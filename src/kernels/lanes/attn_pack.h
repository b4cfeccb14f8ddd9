/* What writes pages in family "attn", over sixteen lanes: part of attn.h. */

/* ---- open pages ---- */

/* Writes K in squares of 16 tokens by 16 channels, which are transposed in registers; the tokens that do not fill a
   square are written one by one. */
static void append_k(attn_format f, const float *rows, size_t ld, int n, int at, int head_dim, void *page)
{
    uint16_t *to = (uint16_t *)page + at;
    if (head_dim % ATTN_LANES || f != ATTN_F16) { /* f32 is for tests */
        reference().append_k(f, rows, ld, n, at, head_dim, page);
        return;
    }
    int t = 0;
    v16 r[16];
    for (; t + 16 <= n; t += 16) {
        for (int d = 0; d < head_dim; d += 16) {
            foreach (i, 16) r[i] = v16_load(rows + (size_t)(t + i) * ld + (size_t)d);
            v16_transpose(r);
            foreach (i, 16) v16_store_f16(to + (d + i) * KV_PAGE + t, r[i]);
        }
    }
    for (; t < n; t++) {
        for (int d = 0; d < head_dim; d += 16) {
            uint16_t few[16];
            v16_store_f16(few, v16_load(rows + (size_t)t * ld + (size_t)d));
            for (int i = 0; i < 16; i++) to[(d + i) * KV_PAGE + t] = few[i];
        }
    }
}

static void append_v(attn_format f, const float *rows, size_t ld, int n, int at, int head_dim, void *page)
{
    uint16_t *to = (uint16_t *)page + (size_t)at * (size_t)head_dim;
    if (head_dim % ATTN_LANES || f != ATTN_F16) {
        reference().append_v(f, rows, ld, n, at, head_dim, page);
        return;
    }
    for (int t = 0; t < n; t++)
        for (int d = 0; d < head_dim; d += 16)
            v16_store_f16(to + (size_t)t * (size_t)head_dim + (size_t)d, v16_load(rows + (size_t)t * ld + (size_t)d));
}

/* ---- closed pages ---- */

/* Keeps lanes within low..high. Adding EXP_MAGIC then leaves the nearest even integer in the low bits. */
LANES v16 clamp(v16 x, float low, float high)
{
    return v16_min(v16_max(x, v16_set(low)), v16_set(high));
}

/* Stores the f16 scales with which amax becomes 127; returns their inverses, 0 for 0. */
LANES v16 scale_q8(v16 amax, uint16_t *scale)
{
    v16_store_f16(scale, v16_mul(amax, v16_set(1.0f / 127.0f)));
    v16 s = v16_load_f16(scale);
    return v16_if_greater(s, v16_set(0), v16_div(v16_set(1), s), v16_set(0));
}

/* One block of n channels of sixteen tokens in four bits: gives q as floats, and the f16 scales. */
LANES void block_q4(const v16 *x, int n, bool is_v, v16 *q, uint16_t *scale)
{
    static const float k_range[ATTN_Q4_TRIES] = ATTN_Q4_K_RANGE, v_range[ATTN_Q4_TRIES] = ATTN_Q4_V_RANGE;
    const v16 zero = v16_set(0), magic = v16_set(EXP_MAGIC);
    v16 e = zero, size = zero, best = zero, factor = zero, value = zero;
    for (int i = 0; i < n; i++) {
        v16 m = v16_abs(x[i]);
        e = v16_if_greater(m, size, x[i], e);
        size = v16_if_greater(m, size, m, size);
    }
    v16 live = v16_zero_below(size, v16_set(ATTN_Q4_LEAST), v16_set(1));
    if (is_v) e = size;
    for (int c = 0; c < ATTN_Q4_TRIES; c++) {
        v16 f = v16_div(v16_set(is_v ? v_range[c] : k_range[c]), e), a = zero, b = zero;
        f = v16_if_greater(live, zero, f, zero);
        for (int i = 0; i < n; i++) {
            v16 r = v16_sub(v16_add(clamp(v16_mul(x[i], f), -8, 7), magic), magic);
            a = v16_fma(x[i], r, a);
            b = v16_fma(r, r, b);
        }
        v16 explained = v16_div(v16_mul(a, a), b);
        value = v16_if_greater(explained, best, v16_div(a, b), value);
        factor = v16_if_greater(explained, best, f, factor);
        best = v16_if_greater(explained, best, explained, best);
    }
    for (int i = 0; i < n; i++) q[i] = v16_sub(v16_add(clamp(v16_mul(x[i], factor), -8, 7), magic), magic);
    v16_store_f16(scale, value);
}

/* Writes words of four bytes, r + EXP_MAGIC + centre, one channel after the other. */
LANES void store_biased(uint8_t *to, const v16 *r, float centre)
{
    v16 byte[4];
    foreach (i, 4) byte[i] = v16_add(r[i], v16_set(EXP_MAGIC + centre));
    v16_store_words(to, byte);
}

/* n (16 or 32) channels of sixteen tokens from t on. */
LANES void close_k_block(attn_format f, const v16 *x, int n, int d, int t, uint8_t *values, uint16_t *scale)
{
    v16 q[ACT_BLOCK];
    if (f == ATTN_Q4) {
        block_q4(x, n, false, q, scale);
        for (int i = 0; i < n; i += 8) {
            v16 both[4]; /* low + 16 * high, each less 8: 136 too little */
            foreach (j, 4) both[j] = v16_fma(q[i + 4 + j], v16_set(16), q[i + j]);
            store_biased(values + ((d + i) / 8 * KV_PAGE + t) * 4, both, 136);
        }
        return;
    }
    v16 amax = v16_set(0);
    for (int i = 0; i < n; i++) amax = v16_max(amax, v16_abs(x[i]));
    v16 inverse = scale_q8(amax, scale);
    for (int i = 0; i < n; i++) q[i] = clamp(v16_mul(x[i], inverse), -127, 127);
    for (int i = 0; i < n; i += 4) store_biased(values + ((d + i) / 4 * KV_PAGE + t) * 4, q + i, 128);
}

static void close_k(attn_format f, const uint16_t *open, int head_dim, void *closed)
{
    uint8_t *values = closed;
    uint16_t *scale = (uint16_t *)(void *)(values + attn_values_bytes(f, head_dim));
    uint16_t *mean = (uint16_t *)(void *)(values + attn_mean_at(f, head_dim));
    for (int d = 0; d < head_dim; d++) {
        v16 x[4];
        foreach (c, 4) x[c] = v16_load_f16(open + d * KV_PAGE + 16 * c);
        mean[d] = f16_from_f32(v16_sum(v16_add(v16_add(x[0], x[1]), v16_add(x[2], x[3]))) * (1.0f / KV_PAGE));
    }
    for (int d = 0; d < head_dim; d += ACT_BLOCK) {
        int n = min_int(ACT_BLOCK, head_dim - d);
        for (int t = 0; t < KV_PAGE; t += 16) {
            v16 x[ACT_BLOCK];
            for (int i = 0; i < n; i++)
                x[i] = v16_sub(v16_load_f16(open + (d + i) * KV_PAGE + t), v16_set(f32_from_f16(mean[d + i])));
            close_k_block(f, x, n, d, t, values, scale + d / ACT_BLOCK * KV_PAGE + t);
        }
    }
}

static void close_v_q8(const uint16_t *open, int head_dim, uint8_t *values)
{
    uint16_t *scale = (uint16_t *)(void *)(values + attn_values_bytes(ATTN_Q8, head_dim));
    for (int d = 0; d < head_dim; d += 16) {
        v16 amax = v16_set(0);
        for (int t = 0; t < KV_PAGE; t++) amax = v16_max(amax, v16_abs(v16_load_f16(open + t * head_dim + d)));
        v16 inverse = scale_q8(amax, scale + d);
        for (int t = 0; t < KV_PAGE; t += 4) {
            v16 q[4];
            foreach (i, 4) q[i] = clamp(v16_mul(v16_load_f16(open + (t + i) * head_dim + d), inverse), -127, 127);
            store_biased(values + (d + t / 4) * 64, q, 0);
        }
    }
}

/* Sixteen tokens from t on of one channel, as nibbles: two words. */
LANES void store_tokens(uint8_t *to, v16 q)
{
    uint8_t byte[16];
    v16_store_bytes(byte, v16_add(q, v16_set(EXP_MAGIC + 8)));
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(byte[i] | byte[4 + i] << 4);
        to[64 + i] = (uint8_t)(byte[8 + i] | byte[12 + i] << 4);
    }
}

static void close_v_q4(const uint16_t *open, int head_dim, uint8_t *values)
{
    uint16_t *scale = (uint16_t *)(void *)(values + attn_values_bytes(ATTN_Q4, head_dim));
    for (int d = 0; d < head_dim; d += ACT_BLOCK) {
        int n = min_int(ACT_BLOCK, head_dim - d);
        for (int t = 0; t < KV_PAGE; t += 16) {
            v16 x[ACT_BLOCK], q[ACT_BLOCK];
            for (int i = 0; i < n; i += 16) {
                foreach (j, 16) x[i + j] = v16_load_f16(open + (t + j) * head_dim + d + i);
                v16_transpose(x + i);
            }
            block_q4(x, n, true, q, scale + d / ACT_BLOCK * KV_PAGE + t);
            for (int i = 0; i < n; i++) store_tokens(values + ((d + i) / 16 * 8 + t / 8) * 64 + (d + i) % 16 * 4, q[i]);
        }
    }
}

static void close_v(attn_format f, const uint16_t *open, int head_dim, void *closed)
{
    if (f == ATTN_Q8)
        close_v_q8(open, head_dim, closed);
    else
        close_v_q4(open, head_dim, closed);
}
