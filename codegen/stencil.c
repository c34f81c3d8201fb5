/* Steps a board by two functions that come before this text:
 *
 *   NAME_row    the cells west of, at and east of each lane -> ROW_SIGNALS signals, computed once a row;
 *   NAME_rule  those of the row above, the row and the row below -> the cells' next state.
 *
 * A board is height x ceil(width / 64) words; cell x of a row is bit x % 64 of word x / 64, unused bits are zero. Rows
 * stream through a ring of three rows of signals, which stays in the first-level cache. A row is shifted by loading it one
 * word further west and east; the words that come from outside the row, and only those, are replaced by the cells that
 * wrap around (torus) or by zero (dead edges), in registers, so that no load waits for a store of another width.
 */

/* Words of a row of signals: the row's, rounded up to whole vectors. */
static size_t NAME_pitch(size_t width) {
    return ((width + 63) / 64 + LANES - 1) / LANES * LANES;
}

/* Words of a board with a vector's room on each side, since rows are loaded in whole vectors from a word outside them.
 * An odd multiple of 2 KiB: at equal addresses modulo 4 KiB the loads from one board would wait for the stores to the other. */
static size_t NAME_room(size_t height, size_t width) {
    return (2 * LANES + height * ((width + 63) / 64)) / 512 * 512 + 768;
}

/* Words of scratch memory that NAME_steps needs: the ring and two boards. */
size_t NAME_work_words(size_t height, size_t width) {
    return 3 * ROW_SIGNALS * NAME_pitch(width) + 2 * NAME_room(height, width);
}

/* Vector i of a row's signals. west, east: what to take for the word before the row's first and after its last cell;
 * edge is 0 where the vector is known to hold neither. */
INLINE void NAME_shift(const uint64_t *restrict row, uint64_t *restrict signals, size_t i, size_t words, size_t pitch,
                       int edge, uint64_t west, uint64_t east) {
    V before, after, cells[3], out[ROW_SIGNALS];
    memcpy(&before, row + i - 1, sizeof(V));
    memcpy(&cells[1], row + i, sizeof(V));
    memcpy(&after, row + i + 1, sizeof(V));
    before = before >> 63;
    after = after << 63;
    if (edge) {
        const V first = ONLY_LANE(i == 0 ? 0 : LANES), last = ONLY_LANE(words - 1 - i);
        before = (before & ~first) | (first & (ZERO + west));
        after = (after & ~last) | (last & (ZERO + east));
    }
    cells[0] = cells[1] << 1 | before;
    cells[2] = cells[1] >> 1 | after;
    NAME_row(cells, out);
    UNROLL
    for (int s = 0; s < ROW_SIGNALS; s++) memcpy(signals + s * pitch + i, &out[s], sizeof(V));
}

/* The signals of a row: signal s of word i goes to signals[s * pitch + i]. row is NULL for a row of dead cells. */
static void NAME_load(const uint64_t *restrict row, uint64_t *restrict signals, size_t width, int torus) {
    const size_t words = (width + 63) / 64, pitch = NAME_pitch(width);
    if (row == NULL) {
        const V cells[3] = {ZERO, ZERO, ZERO};
        V out[ROW_SIGNALS];
        NAME_row(cells, out);
        for (size_t i = 0; i < words; i += LANES)
            for (int s = 0; s < ROW_SIGNALS; s++) memcpy(signals + s * pitch + i, &out[s], sizeof(V));
        return;
    }
    const unsigned last_bit = (unsigned)((width - 1) % 64);
    const uint64_t west = torus ? row[words - 1] >> last_bit & 1 : 0, east = torus ? (row[0] & 1) << last_bit : 0;
    const size_t last = (words - 1) / LANES * LANES;
    NAME_shift(row, signals, 0, words, pitch, 1, west, east);
    for (size_t i = LANES; i < last; i += LANES) NAME_shift(row, signals, i, words, pitch, 0, west, east);
    if (last > 0) NAME_shift(row, signals, last, words, pitch, 1, west, east);
}

/* Vector i of a row of the next generation. */
INLINE V NAME_cells(const uint64_t *restrict above, const uint64_t *restrict here, const uint64_t *restrict below, size_t i,
                    size_t pitch) {
    V in[3 * ROW_SIGNALS], next[1];
    UNROLL
    for (int s = 0; s < ROW_SIGNALS; s++) {
        memcpy(&in[s], above + s * pitch + i, sizeof(V));
        memcpy(&in[s + ROW_SIGNALS], here + s * pitch + i, sizeof(V));
        memcpy(&in[s + 2 * ROW_SIGNALS], below + s * pitch + i, sizeof(V));
    }
    NAME_rule(in, next);
    return next[0];
}

/* A row of the next generation from the signals of three rows. */
static void NAME_next(const uint64_t *restrict above, const uint64_t *restrict here, const uint64_t *restrict below,
                      uint64_t *restrict to, size_t width) {
    const size_t words = (width + 63) / 64, pitch = NAME_pitch(width), whole = words / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        const V next = NAME_cells(above, here, below, i, pitch);
        memcpy(to + i, &next, sizeof(V));
    }
    if (whole < words) {
        const V next = NAME_cells(above, here, below, whole, pitch);
        memcpy(to + whole, &next, (words - whole) * sizeof(uint64_t));
    }
    if (width % 64) to[words - 1] &= (UINT64_C(1) << (width % 64)) - 1;
}

/* Advance a board by `steps` generations, in place; height and width at least 1, work of NAME_work_words words. */
void NAME_steps(uint64_t *board, size_t height, size_t width, int torus, size_t steps, uint64_t *work) {
    const size_t words = (width + 63) / 64, size = ROW_SIGNALS * NAME_pitch(width);
    uint64_t *above = work, *here = above + size, *below = here + size;
    uint64_t *from = below + size + LANES, *to = from + NAME_room(height, width);
    memcpy(from, board, height * words * sizeof(uint64_t));
    for (size_t step = 0; step < steps; step++) {
        NAME_load(torus ? from + (height - 1) * words : NULL, above, width, torus);
        NAME_load(from, here, width, torus);
        for (size_t y = 0; y < height; y++) {
            NAME_load(y + 1 < height ? from + (y + 1) * words : torus ? from : NULL, below, width, torus);
            NAME_next(above, here, below, to + y * words, width);
            uint64_t *oldest = above;
            above = here;
            here = below;
            below = oldest;
        }
        uint64_t *done = to;
        to = from;
        from = done;
    }
    memcpy(board, from, height * words * sizeof(uint64_t));
}
