/* Compares NAME.c with what the circuit gave before it was compiled. Ends with 0 and says so if they agree. */

#include <stdio.h>
#include <string.h>

#include "NAME.h"

/* Items: all zeros, all 255, then drawn numbers, of every other item three quarters zero. */
static uint8_t items[N_ITEMS * N_FEATURES + 1];
static float floats[N_ITEMS * N_FEATURES + 1];

static void draw_items(void) {
    uint64_t state = 0;
    size_t i = 0;
    for (int item = 0; item < N_ITEMS; item++) {
        for (int feature = 0; feature < N_FEATURES; feature++, i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            const unsigned drawn = (unsigned)(state >> 56);
            const unsigned sparse = drawn < 64 ? 4 * drawn : 0;
            items[i] = (uint8_t)(item == 0 ? 0 : item == 1 ? 255 : item % 2 ? sparse : drawn);
            floats[i] = items[i];
        }
    }
}

/* Numbers of items to take at once, the last ones, which end where the array ends. */
static const size_t counts[] = {0, 1, 2, 4, 5, 7, 8, 31, 33, 63, 64, 65, 127, 255, 257, 511, 512, 513, N_ITEMS};
#define N_COUNTS (sizeof counts / sizeof counts[0])

static int failures = 0;

static void check(int right, const char *what, size_t n) {
    if (!right) {
        printf("NAME: %s of %u items differ from what was expected\n", what, (unsigned)n);
        failures++;
    }
}

#define CHECK(function, numbers, type, width, expected)                                      \
    do {                                                                                     \
        static type found[N_ITEMS * (width) + 1];                                            \
        for (size_t i = 0; i < N_COUNTS; i++) {                                              \
            const size_t n = counts[i], skipped = N_ITEMS - n;                               \
            memset(found, 0x5A, sizeof found);                                               \
            function(numbers + skipped * N_FEATURES, n, found);                              \
            check(memcmp(found, expected + skipped * (width), n * (width) * sizeof(type)) == 0 && \
                      *(const uint8_t *)(found + n * (width)) == 0x5A,                       \
                  #function, n);                                                             \
        }                                                                                    \
    } while (0)

#if HAS_STEPS
static uint64_t work[WORK_WORDS];

static void check_steps(int torus, const uint64_t *expected) {
    uint64_t board[sizeof first_board / sizeof first_board[0]];
    memcpy(board, first_board, sizeof board);
    if (NAME_work_words(BOARD_HEIGHT, BOARD_WIDTH) > WORK_WORDS) {
        check(0, "NAME_work_words", 1);
        return;
    }
    NAME_steps(board, BOARD_HEIGHT, BOARD_WIDTH, torus, BOARD_STEPS, work);
    check(memcmp(board, expected, sizeof board) == 0, torus ? "NAME_steps on a torus" : "NAME_steps", 1);
}

/* Each cell is the bit that it is said to be, and any byte but 0 is a live one. */
static void check_cells(void) {
    static uint8_t cells[BOARD_HEIGHT * BOARD_WIDTH + 1];
    uint64_t packed[sizeof first_board / sizeof first_board[0]];
    int right = 1;
    memset(cells, 0x5A, sizeof cells);
    NAME_unpack(first_board, BOARD_HEIGHT, BOARD_WIDTH, cells);
    for (size_t i = 0; i < BOARD_HEIGHT * BOARD_WIDTH; i++) {
        const size_t x = i % BOARD_WIDTH, row = i / BOARD_WIDTH * ((BOARD_WIDTH + 63) / 64);
        if (cells[i] != (first_board[row + x / 64] >> x % 64 & 1)) right = 0;
        if (cells[i]) cells[i] = (uint8_t)(1 + i % 255);
    }
    check(right && cells[sizeof cells - 1] == 0x5A, "NAME_unpack", 1);
    NAME_pack(cells, BOARD_HEIGHT, BOARD_WIDTH, packed);
    check(memcmp(packed, first_board, sizeof packed) == 0, "NAME_pack", 1);
}
#endif

int main(void) {
    draw_items();
    CHECK(NAME_answers_u8, items, uint8_t, N_ANSWER, expected_bits);
    CHECK(NAME_answers_f32, floats, uint8_t, N_ANSWER, expected_bits);
#if HAS_NUMBERS
    CHECK(NAME_predict_u8, items, int32_t, 1, expected_answers);
    CHECK(NAME_predict_f32, floats, int32_t, 1, expected_answers);
    for (size_t item = 0; item < N_ITEMS; item++)
        check(NAME_predict(items + item * N_FEATURES) == expected_answers[item], "NAME_predict", 1);
#endif
#if HAS_SCORES
    CHECK(NAME_scores_u8, items, float, N_SCORES, expected_scores);
    CHECK(NAME_scores_f32, floats, float, N_SCORES, expected_scores);
#endif
#if HAS_STEPS
    check_steps(0, expected_dead);
    check_steps(1, expected_torus);
    check_cells();
#endif
    if (failures == 0) printf("NAME: %u items as expected, with words of %u x 64 lanes\n", (unsigned)N_ITEMS, (unsigned)NAME_lanes());
    return failures != 0;
}
