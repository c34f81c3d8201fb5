/* Steps a board by two functions that come before this text:
 *
 *   NAME_row    the cells west of, at and east of each lane -> ROW_SIGNALS signals, computed once a row;
 *   NAME_rule   those of the row above, the row and the row below -> the cells' next state.
 *
 * A board is height x ceil(width / 64) words; cell x of a row is bit x % 64 of word x / 64, unused bits are zero. While it is
 * stepped, a word stands between any two rows: its low bit is the cell east of the row before it, its high bit the cell west
 * of the row after it, which are the row's own first and last cells on a torus, or dead. So a row's neighbours are the row
 * itself, loaded one word further west and east, at its ends as well. Where a row's last word is not full, the cell to the
 * east is the bit after its last.
 */

/* Words from a row to the next. */
static size_t NAME_pitch(size_t width) {
    return (width + 63) / 64 + 1;
}

/* Words of a board with a word before the first row, a row of dead cells after the last, and a vector's room on each side,
 * since rows are loaded in whole vectors. An odd multiple of 2 KiB: at equal addresses modulo 4 KiB the loads from one board
 * would wait for the stores to the other. */
static size_t NAME_room(size_t height, size_t width) {
    return (2 * LANES + 1 + (height + 1) * NAME_pitch(width)) / 512 * 512 + 768;
}

/* A board that the second-level cache cannot hold is stepped in tiles of whole rows that it can, several generations at a
 * time: each tile begins with as many rows more on both sides, of which every generation spoils one. */
#ifndef TILE_WORDS
#define TILE_WORDS (UINT64_C(1) << 16)
#endif
#define TILE_STEPS 16

/* Rows of a tile, those that get spoilt among them; 0 if the board is not cut. */
static size_t NAME_tile_rows(size_t height, size_t width) {
    const size_t rows = TILE_WORDS / NAME_pitch(width);
    return rows >= height || rows < 4 * TILE_STEPS ? 0 : rows;
}

/* Words of scratch memory that NAME_steps needs: two boards, two tiles, and signals of three rows. */
size_t NAME_work_words(size_t height, size_t width) {
    const size_t rows = NAME_tile_rows(height, width);
    return 2 * NAME_room(height, width) + (rows ? 2 * NAME_room(rows, width) : 0) + 3 * ROW_SIGNALS * NAME_pitch(width);
}

/* The signals of the vector at a word of a row. */
INLINE void NAME_signals(const uint64_t *at, V *signals) {
    V before, after, cells[3];
    memcpy(&before, at - 1, sizeof(V));
    memcpy(&cells[1], at, sizeof(V));
    memcpy(&after, at + 1, sizeof(V));
    cells[0] = FROM_WEST(cells[1], before);
    cells[2] = FROM_EAST(cells[1], after);
    NAME_row(cells, signals);
}

/* The next state of a vector of cells from the signals of three rows. */
INLINE V NAME_next(const V *above, const V *here, const V *below) {
    V in[3 * ROW_SIGNALS], next[1];
    UNROLL
    for (int s = 0; s < ROW_SIGNALS; s++) {
        in[s] = above[s];
        in[s + ROW_SIGNALS] = here[s];
        in[s + 2 * ROW_SIGNALS] = below[s];
    }
    NAME_rule(in, next);
    return next[0];
}

/* Set what lies beside a row's cells: what is beyond its last cell, and the words between the rows. */
INLINE void NAME_wrap(uint64_t *row, size_t width, int torus) {
    const size_t words = (width + 63) / 64;
    const unsigned used = (unsigned)(width % 64);
    if (used) row[words - 1] &= (UINT64_C(1) << used) - 1;
    const uint64_t first = torus ? row[0] & 1 : 0, last = torus ? row[words - 1] >> ((width - 1) % 64) & 1 : 0;
    if (used) row[words - 1] |= first << used;
    row[-1] = (row[-1] & 1) | last << 63;
    row[words] = (row[words] & ~UINT64_C(1)) | first;
}

#if LANES > 1

/* Rows whose vectors are done one above the other, before the next vector of each: a strip's signals stay in registers, and
 * the rows of a block in the cache. */
#define BLOCK_ROWS 64

/* The next state of n rows of one vector. count: the words of it that are the row's. above, after: the rows before and after
 * them at the same words. */
INLINE void NAME_strip(const uint64_t *above, const uint64_t *from, const uint64_t *after, uint64_t *to, size_t n, size_t pitch,
                       size_t count) {
    V a[ROW_SIGNALS], b[ROW_SIGNALS], c[ROW_SIGNALS];
    NAME_signals(above, a);
    NAME_signals(from, b);
    size_t y = 0;
#define NAME_DO(above_it, here, below_it)                                \
    do {                                                                 \
        NAME_signals(y + 1 < n ? from + pitch : after, below_it);        \
        const V next = NAME_next(above_it, here, below_it);              \
        memcpy(to, &next, count * sizeof(uint64_t));                     \
        from += pitch, to += pitch, y++;                                 \
    } while (0)
    while (y + 3 <= n) {
        NAME_DO(a, b, c);
        NAME_DO(b, c, a);
        NAME_DO(c, a, b);
    }
    if (y < n) NAME_DO(a, b, c);
    if (y < n) NAME_DO(b, c, a);
#undef NAME_DO
}

/* The next generation of rows; before, after: the rows before and after them. */
static void NAME_sweep(const uint64_t *from, uint64_t *to, const uint64_t *before, const uint64_t *after, size_t height,
                       size_t width, int torus, uint64_t *signals) {
    const size_t words = (width + 63) / 64, pitch = NAME_pitch(width);
    (void)signals;
    for (size_t y = 0; y < height; y += BLOCK_ROWS) {
        const size_t n = height - y < BLOCK_ROWS ? height - y : BLOCK_ROWS;
        const uint64_t *above = y > 0 ? from + (y - 1) * pitch : before;
        const uint64_t *below = y + n < height ? from + (y + n) * pitch : after;
        size_t i = 0;
        for (; i + LANES <= words; i += LANES)
            NAME_strip(above + i, from + y * pitch + i, below + i, to + y * pitch + i, n, pitch, LANES);
        if (i < words) NAME_strip(above + i, from + y * pitch + i, below + i, to + y * pitch + i, n, pitch, words - i);
        for (size_t row = y; row < y + n; row++) NAME_wrap(to + row * pitch, width, torus);
    }
}

#else

/* The signals of a row: signal s of word i goes to signals[s * pitch + i]. */
static void NAME_load(const uint64_t *RESTRICT row, uint64_t *RESTRICT signals, size_t words, size_t pitch) {
    for (size_t i = 0; i < words; i++) {
        uint64_t of_word[ROW_SIGNALS];
        NAME_signals(row + i, of_word);
        UNROLL
        for (int s = 0; s < ROW_SIGNALS; s++) signals[s * pitch + i] = of_word[s];
    }
}

/* A row of the next generation from the signals of three rows. */
static void NAME_cells(const uint64_t *RESTRICT above, const uint64_t *RESTRICT here, const uint64_t *RESTRICT below,
                       uint64_t *RESTRICT to, size_t words, size_t pitch) {
    for (size_t i = 0; i < words; i++) {
        uint64_t a[ROW_SIGNALS], b[ROW_SIGNALS], c[ROW_SIGNALS];
        UNROLL
        for (int s = 0; s < ROW_SIGNALS; s++) {
            a[s] = above[s * pitch + i];
            b[s] = here[s * pitch + i];
            c[s] = below[s * pitch + i];
        }
        to[i] = NAME_next(a, b, c);
    }
}

/* The next generation of rows, one by one: signals pass through a ring of three rows, in loops along the row, which
 * compilers turn into vectors by themselves. before, after: the rows before and after them. */
static void NAME_sweep(const uint64_t *from, uint64_t *to, const uint64_t *before, const uint64_t *after, size_t height,
                       size_t width, int torus, uint64_t *signals) {
    const size_t words = (width + 63) / 64, pitch = NAME_pitch(width);
    uint64_t *above = signals, *here = above + ROW_SIGNALS * pitch, *below = here + ROW_SIGNALS * pitch;
    NAME_load(before, above, words, pitch);
    NAME_load(from, here, words, pitch);
    for (size_t y = 0; y < height; y++) {
        NAME_load(y + 1 < height ? from + (y + 1) * pitch : after, below, words, pitch);
        NAME_cells(above, here, below, to + y * pitch, words, pitch);
        NAME_wrap(to + y * pitch, width, torus);
        uint64_t *oldest = above;
        above = here;
        here = below;
        below = oldest;
    }
}

#endif

/* `steps` generations of a board, tile by tile. dead: a row of dead cells. */
static void NAME_tiles(const uint64_t *from, uint64_t *to, const uint64_t *dead, size_t height, size_t width, int torus,
                       size_t steps, uint64_t *tile, uint64_t *signals) {
    const size_t words = (width + 63) / 64, pitch = NAME_pitch(width), rows = NAME_tile_rows(height, width);
    for (size_t y = 0; y < height; y += rows - 2 * steps) {
        const size_t n = height - y < rows - 2 * steps ? height - y : rows - 2 * steps;
        /* Beyond a dead edge there is nothing to spoil. */
        const size_t before = torus || y >= steps ? steps : y;
        const size_t after = torus || height - y - n >= steps ? steps : height - y - n;
        uint64_t *now = tile + LANES + 1, *next = now + NAME_room(rows, width);
        for (size_t i = 0; i < before + n + after; i++) {
            memcpy(now + i * pitch, from + (y + height - before + i) % height * pitch, words * sizeof(uint64_t));
            NAME_wrap(now + i * pitch, width, torus);
        }
        for (size_t step = 0; step < steps; step++) {
            NAME_sweep(now, next, dead, dead, before + n + after, width, torus, signals);
            uint64_t *done = next;
            next = now;
            now = done;
        }
        for (size_t i = 0; i < n; i++) {
            memcpy(to + (y + i) * pitch, now + (before + i) * pitch, words * sizeof(uint64_t));
            NAME_wrap(to + (y + i) * pitch, width, torus);
        }
    }
}

/* Advance a board by `steps` generations, in place; height and width at least 1, work of NAME_work_words words. */
void NAME_steps(uint64_t *board, size_t height, size_t width, int torus, size_t steps, uint64_t *work) {
    const size_t words = (width + 63) / 64, pitch = NAME_pitch(width), room = NAME_room(height, width);
    const size_t tile_rows = NAME_tile_rows(height, width);
    uint64_t *from = work + LANES + 1, *to = from + room, *tile = work + 2 * room;
    uint64_t *signals = tile + (tile_rows ? 2 * NAME_room(tile_rows, width) : 0);
    memset(work, 0, (size_t)(signals - work) * sizeof(uint64_t));
    for (size_t y = 0; y < height; y++) {
        memcpy(from + y * pitch, board + y * words, words * sizeof(uint64_t));
        NAME_wrap(from + y * pitch, width, torus);
    }
    while (steps > 0) {
        const uint64_t *dead = from + height * pitch;
        const size_t at_once = !tile_rows ? 1 : steps < TILE_STEPS ? steps : TILE_STEPS;
        if (tile_rows)
            NAME_tiles(from, to, dead, height, width, torus, at_once, tile, signals);
        else
            NAME_sweep(from, to, torus ? dead - pitch : dead, torus ? from : dead, height, width, torus, signals);
        uint64_t *done = to;
        to = from;
        from = done;
        steps -= at_once;
    }
    for (size_t y = 0; y < height; y++) {
        memcpy(board + y * words, from + y * pitch, words * sizeof(uint64_t));
        if (width % 64) board[y * words + words - 1] &= (UINT64_C(1) << width % 64) - 1;
    }
}
