/* Steps a board by two functions that come before this text:
 *
 *   NAME_row    the cells west of, at and east of each lane -> ROW_SIGNALS signals, computed once a row;
 *   NAME_rule   those of the row above, the row and the row below -> the cells' next state.
 *
 * The caller's board is height x ceil(width / 64) words; cell x of a row is bit x % 64 of word x / 64, unused bits are zero.
 * While it is stepped, it is cut into LANES bands of equally many rows, of which the last may lack some, and stands column by
 * column: lane l of vector y + 1 of column i is word i of row y of band l. So the words on all four sides of a vector's words
 * are vectors as well, and no lane is ever moved. The first and the last vector of a column are the rows above and below the
 * bands, copied from the bands before and after. Where a row's last word is not full, the cell to the east is the bit after
 * its last.
 */

/* Rows of a band. */
static size_t NAME_band(size_t height) {
    return (height + LANES - 1) / LANES;
}

/* Words of a column; an odd number of vectors, since the same row of many columns shall not fall on few sets of the cache. */
static size_t NAME_column(size_t height) {
    return ((NAME_band(height) + 2) | 1) * LANES;
}

/* Words of a board's columns. An odd multiple of 2 KiB: at equal addresses modulo 4 KiB the loads from one board would wait
 * for the stores to the other. */
static size_t NAME_room(size_t height, size_t width) {
    return (width + 63) / 64 * NAME_column(height) / 512 * 512 + 768;
}

/* A board that the second-level cache cannot hold is stepped in tiles of whole rows that it can, several generations at a
 * time: each tile begins with as many rows more on both sides, of which every generation spoils one. */
#ifndef TILE_WORDS
#define TILE_WORDS (UINT64_C(1) << 16)
#endif

/* Rows of a tile, those that get spoilt among them; all if the board is not cut. */
static size_t NAME_tile_rows(size_t height, size_t width) {
    const size_t rows = (size_t)(TILE_WORDS / ((width + 63) / 64) / LANES * LANES);
    return rows >= height || rows < 64 ? height : rows;
}

/* Generations at a time: an eighth of the rows may get spoilt, and from 32 on more would save little copying. */
static size_t NAME_tile_steps(size_t rows) {
    return rows < 512 ? rows / 16 : 32;
}

/* Rows, or vectors of them, whose words of one column are done before those of the next: as many as the first-level cache
 * holds of the columns around them. */
#define BLOCK_ROWS (512 / LANES)

/* Words of scratch memory that NAME_steps needs, wherever it begins: a tile now and next, the column beside it, rows of the
 * board before they were stepped, and signals. */
size_t NAME_work_words(size_t height, size_t width) {
    const size_t rows = NAME_tile_rows(height, width), kept = rows < height ? 2 * NAME_tile_steps(rows) : 0;
    return LANES - 1 + 2 * NAME_room(rows, width) + NAME_column(rows) + ROW_SIGNALS * (BLOCK_ROWS + 2) +
           kept * ((width + 63) / 64);
}

/* The signals of a vector of a column; west, east: the vectors beside it. */
INLINE void NAME_signals(const uint64_t *west, const uint64_t *here, const uint64_t *east, V *signals) {
    V before, after, cells[3];
    memcpy(&before, west, sizeof(V));
    memcpy(&cells[1], here, sizeof(V));
    memcpy(&after, east, sizeof(V));
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

#if LANES > 1

/* The next state of n vectors of a column, whose signals stay in registers. */
INLINE void NAME_strip(const uint64_t *west, const uint64_t *here, const uint64_t *east, uint64_t *to, size_t n,
                       uint64_t *signals) {
    V a[ROW_SIGNALS], b[ROW_SIGNALS], c[ROW_SIGNALS];
    (void)signals;
    NAME_signals(west - LANES, here - LANES, east - LANES, a);
    NAME_signals(west, here, east, b);
    size_t y = 0;
#define NAME_DO(above, at, below)                                  \
    do {                                                           \
        west += LANES, here += LANES, east += LANES, y++;          \
        NAME_signals(west, here, east, below);                     \
        const V next = NAME_next(above, at, below);                \
        memcpy(to, &next, sizeof(V));                              \
        to += LANES;                                               \
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

#else

/* The next state of n words of a column, in two loops along it, which compilers turn into vectors by themselves: signal s of
 * row y passes through signals[s * (BLOCK_ROWS + 2) + y + 1]. */
INLINE void NAME_strip(const uint64_t *RESTRICT west, const uint64_t *RESTRICT here, const uint64_t *RESTRICT east,
                       uint64_t *RESTRICT to, size_t n, uint64_t *RESTRICT signals) {
    const size_t pitch = BLOCK_ROWS + 2;
    for (size_t y = 0; y < n + 2; y++) {
        uint64_t of_word[ROW_SIGNALS];
        NAME_signals(west + y - 1, here + y - 1, east + y - 1, of_word);
        UNROLL
        for (int s = 0; s < ROW_SIGNALS; s++) signals[s * pitch + y] = of_word[s];
    }
    for (size_t y = 0; y < n; y++) {
        uint64_t a[ROW_SIGNALS], b[ROW_SIGNALS], c[ROW_SIGNALS];
        UNROLL
        for (int s = 0; s < ROW_SIGNALS; s++) {
            a[s] = signals[s * pitch + y];
            b[s] = signals[s * pitch + y + 1];
            c[s] = signals[s * pitch + y + 2];
        }
        to[y] = NAME_next(a, b, c);
    }
}

#endif

/* Set what is beside the cells: the rows above and below each band, and the cells beyond the ends of rows that do not fill
 * their words, of which `beside` is the column west of the first. around: whether the last row is above the first. */
static void NAME_surround(uint64_t *board, size_t height, size_t width, int torus, int around, uint64_t *beside) {
    const size_t words = (width + 63) / 64, band = NAME_band(height), column = NAME_column(height);
    const size_t end = ((height - 1) % band + 1) * LANES + (height - 1) / band; /* the last row's place in a column */
    const uint64_t used = width % 64;
    for (uint64_t *at = board; at < board + words * column; at += column) {
        V above, below;
        memcpy(&above, at + band * LANES - 1, sizeof(V));
        memcpy(&below, at + LANES + 1, sizeof(V));
        memcpy(at, &above, sizeof(V));
        memcpy(at + (band + 1) * LANES, &below, sizeof(V));
        at[0] = around ? at[end] : 0;
        at[end + LANES] = around ? at[LANES] : 0;
    }
    if (!used) return;
    uint64_t *last = board + (words - 1) * column;
    const V in_use = ZERO + ((UINT64_C(1) << used) - 1), wraps = torus ? ~ZERO : ZERO;
    for (size_t i = 0; i < (band + 2) * LANES; i += LANES) {
        V west, east;
        memcpy(&west, board + i, sizeof(V));
        memcpy(&east, last + i, sizeof(V));
        east &= in_use;
        const V before = (east << (64 - used)) & wraps, after = east | ((west << used) & wraps);
        memcpy(beside + i, &before, sizeof(V));
        memcpy(last + i, &after, sizeof(V));
    }
}

/* The next generation. beside: the column beyond rows that do not wrap around in whole words. */
static void NAME_generation(const uint64_t *from, uint64_t *to, size_t height, size_t width, int torus, const uint64_t *beside,
                            uint64_t *signals) {
    const size_t words = (width + 63) / 64, band = NAME_band(height), column = NAME_column(height);
    const int whole = torus && width % 64 == 0;
    const uint64_t *before = whole ? from + (words - 1) * column : beside, *after = whole ? from : beside;
    for (size_t y = 0; y < band; y += BLOCK_ROWS) {
        const size_t n = band - y < BLOCK_ROWS ? band - y : BLOCK_ROWS, at = (y + 1) * LANES;
        for (size_t i = 0; i < words; i++) {
            const uint64_t *here = from + i * column;
            NAME_strip((i > 0 ? here - column : before) + at, here + at, (i + 1 < words ? here + column : after) + at,
                       to + i * column + at, n, signals);
        }
    }
}

/* Advance a board by `steps` generations, in place; height and width at least 1, work of NAME_work_words words. */
void NAME_steps(uint64_t *board, size_t height, size_t width, int torus, size_t steps, uint64_t *work) {
    const size_t words = (width + 63) / 64, rows = NAME_tile_rows(height, width), room = NAME_room(rows, width);
    const uint64_t in_use = width % 64 ? (UINT64_C(1) << width % 64) - 1 : ~UINT64_C(0);
    const int cut = rows < height;
    uint64_t *now = work + (0 - (uintptr_t)work / sizeof(uint64_t)) % LANES, *next = now + room, *beside = next + room;
    uint64_t *signals = beside + NAME_column(rows), *first = signals + ROW_SIGNALS * (BLOCK_ROWS + 2);
    memset(beside, 0, NAME_column(rows) * sizeof(uint64_t));
    while (steps > 0) {
        const size_t at_once = cut && steps > NAME_tile_steps(rows) ? NAME_tile_steps(rows) : steps, more = cut ? at_once : 0;
        /* Rows that the last tile needs, and those that the next one does, as they were before they were stepped. */
        uint64_t *earlier = first + more * words;
        memcpy(first, board, more * words * sizeof(uint64_t));
        memcpy(earlier, board + (height - more) * words, more * words * sizeof(uint64_t));
        for (size_t top = 0, n; top < height; top += n) {
            n = height - top < rows - 2 * more ? height - top : rows - 2 * more;
            /* Beyond a dead edge there is nothing to spoil. */
            const size_t left = height - top - n;
            const size_t before = torus || top > 0 ? more : 0, after = torus || left > more ? more : left;
            const size_t tall = before + n + after, band = NAME_band(tall), column = NAME_column(tall);
            for (size_t y = 0; y < band; y++) {
                for (size_t row = y, lane = 0; row < tall; row += band, lane++) {
                    const size_t source = top + row - before;
                    const uint64_t *from = row < before       ? earlier + (more - before + row) * words
                                           : source < height ? board + source * words
                                                             : first + (source - height) * words;
                    for (size_t i = 0; i < words; i++) now[i * column + (y + 1) * LANES + lane] = from[i];
                }
            }
            NAME_surround(now, tall, width, torus, torus && !cut, beside);
            for (size_t step = 0; step < at_once; step++) {
                NAME_generation(now, next, tall, width, torus, beside, signals);
                NAME_surround(next, tall, width, torus, torus && !cut, beside);
                uint64_t *done = next;
                next = now;
                now = done;
            }
            memcpy(earlier, board + (top + n - more) * words, more * words * sizeof(uint64_t));
            for (size_t y = 0; y < band; y++) {
                for (size_t row = y, lane = 0; row < tall; row += band, lane++) {
                    if (row < before || row >= before + n) continue;
                    uint64_t *to = board + (top + row - before) * words;
                    for (size_t i = 0; i < words; i++) to[i] = now[i * column + (y + 1) * LANES + lane];
                    to[words - 1] &= in_use;
                }
            }
        }
        steps -= at_once;
    }
}
