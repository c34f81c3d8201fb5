/* Items as numbers, TYPE (item, feature), to answers. The emitter supplies N_FEATURES, N_IN, N_OUT, the tables of TILES tiles,
   and NAME_block. A tile is 64 neighbouring features against a threshold each:

   one comparison of 64 numbers gives an item's bits side by side, 64 items make a square of bits, and the square turned over
   is what the circuit reads, a word a feature with an item a bit. Where a feature has several thresholds, there are several
   tiles. Bits that nobody reads go to in[N_IN].

   A number exactly at its threshold is not above it, and one that is not a number (NaN) is above none. */

/* The first `width` of 64 comparisons; what lies behind them may not be readable. */
INLINE uint64_t NAME_above_TYPE(const NUMBER *x, size_t width, size_t tile) {
    NUMBER padded[64];
    if (width < 64) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, x, width * sizeof(NUMBER));
        x = padded;
    }
    return NAME_compare_TYPE(x, NAME_thresholds_TYPE[tile]) | NAME_always_TYPE[tile];
}

/* in: N_IN + 1 words of lanes. n_items: 1 to 64 * LANES; the lanes behind the last item are zero. */
NOINLINE static void NAME_encode_TYPE(const NUMBER *items, size_t n_items, V *in) {
    for (size_t tile = 0; tile < TILES; tile++) {
        uint64_t rows[64 * LANES];
        V square[64];
        size_t first = NAME_first[tile];
        size_t width = N_FEATURES - first < 64 ? N_FEATURES - first : 64;
        memset(rows, 0, sizeof rows);
        for (size_t item = 0; item < n_items; item++) {
            rows[item % 64 * LANES + item / 64] = NAME_above_TYPE(items + item * N_FEATURES + first, width, tile);
        }
        memcpy(square, rows, sizeof rows);
        NAME_turn_over(square);
        for (size_t i = 0; i < 64; i++) {
            in[NAME_place[tile][i]] = square[i];
        }
    }
}

/* items: n_items x N_FEATURES, answers: n_items. An answer is the outputs as a binary number, the first the lowest bit. */
void NAME_predict_TYPE(const NUMBER *items, size_t n_items, int32_t *answers) {
    V in[N_IN + 1], out[N_OUT + 1];
    uint64_t words[(N_OUT + 1) * LANES];
    for (size_t start = 0; start < n_items; start += 64 * LANES) {
        size_t n = n_items - start < 64 * LANES ? n_items - start : 64 * LANES;
        NAME_encode_TYPE(items + start * N_FEATURES, n, in);
        NAME_block(in, out);
        memcpy(words, out, N_OUT * sizeof(V));
        for (size_t item = 0; item < n; item++) {
            int32_t answer = 0;
            for (int bit = 0; bit < N_OUT; bit++) {
                answer |= (int32_t)(words[bit * LANES + item / 64] >> item % 64 & 1) << bit;
            }
            answers[start + item] = answer;
        }
    }
}
