/* Items as numbers, TYPE (item, feature), to bit planes. A tile is 64 neighbouring features against a threshold each:

   one comparison of 64 numbers gives an item's bits side by side, 64 items make a square of bits, and the square turned over
   is what the circuit reads, a word a feature with an item a bit. Where a feature has several thresholds, there are several
   tiles. Bits that nobody reads go to in[N_IN].

   A number exactly at its threshold is not above it, and one that is not a number (NaN) is above none. */

/* The comparisons of an item with a tile. */
INLINE uint64_t NAME_above_TYPE(const NUMBER *item, size_t tile) {
    const NUMBER *x = item + NAME_first[tile];
#if N_FEATURES < 64
    /* Behind the last item there may be nothing to read. */
    NUMBER padded[64] = {0};
    memcpy(padded, x, N_FEATURES * sizeof(NUMBER));
    x = padded;
#endif
    return NAME_compare_TYPE(x, NAME_thresholds_TYPE[tile]) | NAME_always_TYPE(tile);
}

/* The comparisons of n neighbouring items with the tiles from start on, each to its place in the squares. */
INLINE void NAME_fill_TYPE(const NUMBER *items, size_t n, size_t start, size_t n_tiles, uint64_t *to) {
    for (size_t tile = 0; tile < n_tiles; tile++) {
        UNROLL
        for (size_t item = 0; item < n; item++)
            to[tile * 64 * LANES + item * LANES] = NAME_above_TYPE(items + item * N_FEATURES, start + tile);
    }
}

/* in: N_IN + 1 words of lanes. n_items: 1 to 64 * LANES; the lanes behind the last item are zero. */
NOINLINE static void NAME_encode_TYPE(const NUMBER *items, size_t n_items, V *in) {
    if (n_items <= FEW_ITEMS) {
        /* Their bits are put in their places one by one, since a square would be turned over for all lanes. */
        uint64_t words[(N_IN + 1) * LANES];
        memset(words, 0, sizeof words);
        for (size_t item = 0; item < n_items; item++) {
            for (size_t tile = 0; tile < TILES; tile++) {
                const uint64_t above = NAME_above_TYPE(items + item * N_FEATURES, tile);
                for (size_t i = 0; i < 64; i++) words[NAME_place[tile][i] * LANES] |= (above >> i & 1) << item;
            }
        }
        memcpy(in, words, sizeof words);
        return;
    }
    for (size_t start = 0; start < TILES; start += TILES_AT_ONCE) {
        const size_t n_tiles = TILES - start < TILES_AT_ONCE ? TILES - start : TILES_AT_ONCE;
        uint64_t rows[TILES_AT_ONCE * 64 * LANES];
        if (n_items < 64 * LANES) memset(rows, 0, sizeof rows);
        for (size_t item = 0; item < n_items;) {
            const NUMBER *from = items + item * N_FEATURES;
            uint64_t *to = rows + item % 64 * LANES + item / 64;
            if (n_items - item >= ITEMS_AT_ONCE) {
                NAME_fill_TYPE(from, ITEMS_AT_ONCE, start, n_tiles, to);
                item += ITEMS_AT_ONCE;
            } else {
                NAME_fill_TYPE(from, 1, start, n_tiles, to);
                item++;
            }
        }
        for (size_t tile = 0; tile < n_tiles; tile++) {
            V square[64];
            memcpy(square, rows + tile * 64 * LANES, sizeof square);
            NAME_turn_over(square);
            for (size_t i = 0; i < 64; i++) in[NAME_place[start + tile][i]] = square[i];
        }
    }
}

/* The outputs of the items from `start` on, at most ITEMS; returns how many they are. */
NOINLINE static size_t NAME_outputs_TYPE(const NUMBER *items, size_t n_items, size_t start, V *out) {
    V in[AT_ONCE * N_IN + 1]; /* what nobody reads of a block is where the next one begins */
    const size_t n = n_items - start < ITEMS ? n_items - start : ITEMS;
    size_t n_blocks = 0;
    for (size_t done = 0; done < n; done += 64 * LANES) {
        const size_t in_block = n - done < 64 * LANES ? n - done : 64 * LANES;
        NAME_encode_TYPE(items + (start + done) * N_FEATURES, in_block, in + n_blocks++ * N_IN);
    }
    NAME_blocks(in, out, n_blocks);
    return n;
}
