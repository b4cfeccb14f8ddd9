/* The closed pages of family "attn", q8 and q4, over sixteen lanes: part of attn.h. Besides lanes.h an
   instruction set gives (x86/avx512_dots.h and its like)
     w16, v16_from_w16(x)              sixteen int32, and as floats
     k_words, k8_load(p), k4_load(p, high)    four channels of sixteen tokens; p is 64-byte aligned; of nibbles the low
                                       or the high ones
     k8_start(s), k4_start(s)          the sum before the first product, s being -128 times the sum of the query's
                                       integers: what products of unsigned k have too much, or a sixteenth of it
     k8_add(sum, k, q), k4_add         adds the products of k with the four bytes of q
     p_weight, v16_store_page_weights(p, x[4])     64 integer weights in memory, rounded to nearest even (0 to 255);
                                       returns sums of four as floats, in any order
     v16_store_weights(p, x), v16_page_weights_sum(p)    where ATTN_BESIDE is 1: the same sixteen at a time; the sums
     p_words, p_load(p)                the weights of four tokens
     v_words, v8_load(p), v4_load(p, high)    four tokens of sixteen channels
     v_sums, v_sums_zero(), v_sums_add(sum, p, v), v_sums_total(sum)    the last one a w16
   and for attn_pack.h
     v16_store_bytes(p, x)             the low bytes of the lanes
     v16_store_words(p, byte[4])       their low bytes as 64 bytes, those of one lane side by side */

/* ---- scores ---- */

/* The part of the scores that all tokens share: q times the page's mean, for n queries. */
LANES void mean_scores(int n, block *b, const page_job *pg, int dim, float *start)
{
    const uint16_t *mean = (const uint16_t *)(const void *)((const uint8_t *)pg->k + attn_mean_at(pg->k_format, dim));
    v16 acc[BLOCK];
    foreach (i, n) acc[i] = v16_set(0);
    for (int d = 0; d < dim; d += 16) {
        v16 m = v16_load_f16(mean + d);
        foreach (i, n) acc[i] = v16_fma(v16_load(b->q[i] + d), m, acc[i]);
    }
    float lane[8][16];
    foreach (i, n) v16_store(lane[i], acc[i]);
    foreach (i, 8 - n) v16_store(lane[n + i], v16_set(0));
    v16_sum_eight(lane, start);
}

/* The same for sixteen queries and a few pages. The queries are the lanes here, so nothing is left to be added across
   lanes. Takes four of the sixteen partial sums at a time, in the order in which lanes are added. */
LANES void mean_tile(int pages, const float *q, const float (*mean)[ATTN_MAX_DIM], int dim, float *start, size_t ld)
{
    v16 part[MEAN_PAGES][4];
    foreach (j, 4) {
        v16 acc[MEAN_PAGES][4];
        foreach (p, pages) {
            foreach (c, 4) acc[p][c] = v16_set(0);
        }
        for (int d = j; d < dim; d += 16) {
            foreach (c, 4) {
                v16 x = v16_load(q + (d + 4 * c) * ATTN_LANES);
                foreach (p, pages) acc[p][c] = v16_fma(x, v16_set(mean[p][d + 4 * c]), acc[p][c]);
            }
        }
        foreach (p, pages) part[p][j] = v16_add(v16_add(acc[p][0], acc[p][2]), v16_add(acc[p][1], acc[p][3]));
    }
    foreach (p, pages) {
        v16 sum = v16_add(v16_add(part[p][0], part[p][2]), v16_add(part[p][1], part[p][3]));
        v16_store(start + (size_t)p * ld, sum);
    }
}

static void means(const float *turned, int n, int dim, attn_format f, const void *const *k, int n_pages, float *start)
{
    const size_t ld = (size_t)attn_sixteens(n);
    float mean[MEAN_PAGES][ATTN_MAX_DIM];
    for (int done = 0, few; done < n_pages; done += few, start += (size_t)few * ld) {
        few = n_pages - done < MEAN_PAGES ? 1 : MEAN_PAGES;
        for (int p = 0; p < few; p++) {
            const uint8_t *page = k[done + p];
            const uint16_t *half = (const uint16_t *)(const void *)(page + attn_mean_at(f, dim));
            for (int d = 0; d < dim; d += 16) v16_store(mean[p] + d, v16_load_f16(half + d));
        }
        for (int i = 0; i < n; i += ATTN_LANES) {
            const float *q = turned + (size_t)i * (size_t)dim;
            if (few == 1)
                mean_tile(1, q, mean, dim, start + i, ld);
            else
                mean_tile(MEAN_PAGES, q, mean, dim, start + i, ld);
        }
    }
}

/* Returns p, but hides from the compiler that it was read before. Otherwise it would keep the low and the high nibbles
   together, which do not fit into the registers. */
LANES const uint8_t *read_again(const uint8_t *p)
{
    __asm__("" : "+r"(p));
    return p;
}

/* Integer sums over one block of `quads` times four channels, for 16*cols tokens, whose K begins at k. */
LANES void sum_block(int n, int cols, bool q4, int quads, const act_block *const *q, const uint8_t *k,
                     w16 sum[BLOCK][4], fetcher *ahead)
{
    const int step = q4 ? 2 : 1;
    foreach (i, n) {
        int32_t minus128 = q[i]->minus128[2];
        foreach (c, cols) sum[i][c] = q4 ? k4_start(minus128) : k8_start(minus128);
    }
    for (int j = 0; j < quads / step; j++) { /* not unrolled: the sums would not stay in registers */
        foreach (h, step) {
            const uint8_t *at = read_again(k + j * KV_PAGE * 4);
            k_words x[4];
            foreach (c, cols) x[c] = q4 ? k4_load(at + 64 * c, h) : k8_load(at + 64 * c);
            if (h == 0) fetch(ahead);
            foreach (i, n) {
                int32_t word;
                __builtin_memcpy(&word, q[i]->q + 4 * (step * j + h), sizeof word);
                foreach (c, cols) sum[i][c] = q4 ? k4_add(sum[i][c], x[c], word) : k8_add(sum[i][c], x[c], word);
            }
        }
    }
}

/* Scores of 16*cols tokens from t on; top keeps the largest. Where there are enough registers, the scores stay in them
   from one block of channels to the next. */
LANES void score_tokens(int n, int cols, bool q4, block *b, const page_job *pg, int dim, int t, const float *start,
                        v16 top[BLOCK], fetcher *ahead)
{
    const bool stay = ATTN_SCORES_STAY(n);
    const int last = attn_blocks(dim) - 1;
    const size_t block_bytes = (size_t)ACT_BLOCK * KV_PAGE / (q4 ? 2 : 1);
    const uint8_t *values = (const uint8_t *)pg->k + 4 * (size_t)t;
    const uint16_t *scale =
        (const uint16_t *)(const void *)((const uint8_t *)pg->k + attn_values_bytes(pg->k_format, dim)) + t;
    v16 x[BLOCK][4];
    if (stay) {
        foreach (i, n) {
            foreach (c, cols) x[i][c] = v16_set(start[i]);
        }
    }
    for (int k = 0; k <= last; k++, values += block_bytes, scale += KV_PAGE) {
        const act_block *q[BLOCK];
        w16 sum[BLOCK][4];
        foreach (i, n) q[i] = b->qi[i] + k;
        if (dim - k * ACT_BLOCK >= ACT_BLOCK)
            sum_block(n, cols, q4, 8, q, values, sum, ahead);
        else
            sum_block(n, cols, q4, 4, q, values, sum, ahead);
        foreach (c, cols) {
            v16 s = v16_load_f16(scale + 16 * c);
            foreach (i, n) {
                float *p = &b->p[i][t + 16 * c];
                v16 before = stay ? x[i][c] : k > 0 ? v16_load(p) : v16_set(start[i]);
                x[i][c] = v16_fma(v16_from_w16(sum[i][c]), v16_mul(s, v16_set(q[i]->d)), before);
                if (stay) continue;
                v16_store(p, x[i][c]);
                if (k == last) top[i] = v16_max(top[i], x[i][c]);
            }
        }
    }
    if (!stay) return;
    foreach (i, n) {
        foreach (c, cols) {
            v16_store(&b->p[i][t + 16 * c], x[i][c]);
            top[i] = v16_max(top[i], x[i][c]);
        }
    }
}

LANES void score_packed(int n, bool q4, block *b, const page_job *pg, int dim)
{
    const int cols = ATTN_K_COLS(n);
    fetcher ahead = fetch_over(pg->with_k, dim / (q4 ? 8 : 4) * (KV_PAGE / 16 / cols));
    float start[8], lane[8][16];
    v16 top[BLOCK];
    foreach (i, n) top[i] = v16_set(-INFINITY);
    if (pg->start) {
        foreach (i, n) start[i] = pg->start[b->index[i]];
    } else {
        mean_scores(n, b, pg, dim, start);
    }
    for (int t = 0; t < KV_PAGE; t += 16 * cols) score_tokens(n, cols, q4, b, pg, dim, t, start, top, &ahead);
    if (!b->whole) return;
    foreach (i, n) v16_store(lane[i], top[i]);
    foreach (i, 8 - n) v16_store(lane[n + i], v16_set(0));
    v16_max_eight(lane, b->top);
    b->has_top = true;
}

/* ---- outputs ---- */

/* Channels from d0 on of a q8 page. */
LANES void q8_tile(int n, int cols, block *b, const page_job *pg, int dim, int d0, fetcher *ahead)
{
    const uint8_t *v = (const uint8_t *)pg->v + (size_t)d0 * KV_PAGE;
    const uint16_t *scale =
        (const uint16_t *)(const void *)((const uint8_t *)pg->v + attn_values_bytes(ATTN_Q8, dim)) + d0;
    v_sums sum[BLOCK][MAX_COLS];
    foreach (i, n) {
        foreach (c, cols) sum[i][c] = v_sums_zero();
    }
    for (int quad = 0; quad < KV_PAGE / 4; quad++) {
        v_words x[MAX_COLS];
        foreach (c, cols) x[c] = v8_load(v + (c * 16 + quad) * 64);
        fetch(ahead);
        foreach (i, n) {
            p_words p = p_load(b->weight[0][i] + 4 * quad);
            foreach (c, cols) sum[i][c] = v_sums_add(sum[i][c], p, x[c]);
        }
        if (ATTN_BESIDE && cols == 2) weigh_beside(pg); /* there are registers left */
    }
    foreach (c, cols) {
        v16 s = v16_load_f16(scale + 16 * c);
        foreach (i, n) {
            float *o = b->o[i] + d0 + 16 * c;
            v16 product = v16_mul(v16_from_w16(v_sums_total(sum[i][c])), v16_mul(s, v16_set(b->new[i])));
            v16_store(o, v16_fma(v16_load(o), v16_set(b->old[i]), product));
        }
    }
}

LANES void output_q8(int n, block *b, const page_job *pg, int dim)
{
    const int wide = ATTN_V8_COLS(n);
    fetcher ahead = fetch_over(pg->with_v, KV_PAGE / 4 * max_int(dim / 16 / wide, 1));
    int d = 0;
    if (ATTN_BESIDE && n > 3 && pg->beside)
        for (; d + 32 <= dim; d += 32) q8_tile(n, 2, b, pg, dim, d, &ahead);
    if (wide >= 8)
        for (; d + 128 <= dim; d += 128) q8_tile(n, 8, b, pg, dim, d, &ahead);
    if (wide >= 4)
        for (; d + 64 <= dim; d += 64) q8_tile(n, 4, b, pg, dim, d, &ahead);
    if (wide >= 2)
        for (; d + 32 <= dim; d += 32) q8_tile(n, 2, b, pg, dim, d, &ahead);
    for (; d < dim; d += 16) q8_tile(n, 1, b, pg, dim, d, &ahead);
}

/* The weights times one block's scales, as integers; new[i] becomes the factor of an integer sum. */
LANES void weigh_q4(int n, const block *b, const uint16_t *scale, p_weight weight[BLOCK][KV_PAGE], float *new)
{
    v16 s[4];
    foreach (c, 4) s[c] = v16_load_f16(scale + 16 * c);
    const float max = v16_max_lane(v16_max(v16_max(s[0], s[1]), v16_max(s[2], s[3])));
    const v16 inverse = v16_set(max >= ATTN_TINY ? 1.0f / max : 0);
    foreach (c, 4) s[c] = v16_mul(s[c], inverse);
    for (int i = 0; i < n; i++) {
        v16 x[4];
        foreach (c, 4) x[c] = v16_mul(v16_load(b->p[i] + 16 * c), s[c]);
        (void)v16_store_page_weights(weight[i], x);
    }
    v16_store(new, v16_mul(v16_load(b->new), v16_set(max)));
}

/* Channels from d0 on of a q4 page: 16*cols of them, in one or two blocks. */
LANES void q4_tile(int n, int cols, block *b, const page_job *pg, int dim, int d0, fetcher *ahead)
{
    const uint8_t *v = (const uint8_t *)pg->v + (size_t)d0 * (KV_PAGE / 2);
    const uint16_t *scale = (const uint16_t *)(const void *)((const uint8_t *)pg->v + attn_values_bytes(ATTN_Q4, dim));
    const int blocks = cols > 2 ? 2 : 1;
    float new[2][16];
    v_sums sum[BLOCK][4];
    foreach (k, blocks) weigh_q4(n, b, scale + (d0 / ACT_BLOCK + k) * KV_PAGE, b->weight[k], new[k]);
    foreach (i, n) {
        foreach (c, cols) sum[i][c] = v_sums_zero();
    }
    for (int pair = 0; pair < KV_PAGE / 8; pair++) {
        foreach (h, 2) {
            const uint8_t *at = read_again(v + pair * 64);
            v_words x[4];
            foreach (c, cols) x[c] = v4_load(at + c * 8 * 64, h);
            if (h == 0) fetch(ahead);
            foreach (i, n) {
                foreach (k, blocks) {
                    p_words p = p_load(b->weight[k][i] + 8 * pair + 4 * h);
                    for (int c = 2 * k; c < min_int(2 * k + 2, cols); c++) sum[i][c] = v_sums_add(sum[i][c], p, x[c]);
                }
            }
        }
    }
    foreach (i, n) {
        v16 old = v16_set(b->old[i]);
        foreach (c, cols) {
            float *o = b->o[i] + d0 + 16 * c;
            v16 product = v16_mul(v16_from_w16(v_sums_total(sum[i][c])), v16_set(new[c / 2][i]));
            v16_store(o, v16_fma(v16_load(o), old, product));
        }
    }
}

LANES void output_q4(int n, block *b, const page_job *pg, int dim)
{
    const int wide = ATTN_V4_COLS(n);
    fetcher ahead = fetch_over(pg->with_v, KV_PAGE / 8 * max_int(dim / 16 / wide, 1));
    int d = 0;
    if (wide >= 4)
        for (; d + 64 <= dim; d += 64) q4_tile(n, 4, b, pg, dim, d, &ahead);
    for (; d + 32 <= dim; d += 32) q4_tile(n, 2, b, pg, dim, d, &ahead);
    for (; d < dim; d += 16) q4_tile(n, 1, b, pg, dim, d, &ahead);
}
