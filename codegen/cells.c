/* Boards of bytes to words and back. */

/* The bits of a word as 64 bytes, 0 or 1. */
#if LANES >= 4 && defined(__AVX2__)
#include <immintrin.h>
INLINE void NAME_spread(uint64_t word, uint8_t *cells) {
    const long long each = 0x0101010101010101;
    const __m256i byte_of = _mm256_setr_epi64x(0, each, 2 * each, 3 * each);
    const __m256i bit_of = _mm256_set1_epi64x((long long)UINT64_C(0x8040201008040201));
    for (int half = 0; half < 2; half++) {
        __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi32((int)(uint32_t)(word >> 32 * half)), byte_of);
        bits = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit_of), bit_of);
        _mm256_storeu_si256((__m256i *)(cells + 32 * half), _mm256_and_si256(bits, _mm256_set1_epi8(1)));
    }
}
#elif defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Eight at a time: each byte of a product has one bit of the factor left, which the sum carries to the byte's high bit. */
INLINE void NAME_spread(uint64_t word, uint8_t *cells) {
    for (int i = 0; i < 8; i++) {
        uint64_t bits = (word >> 8 * i & 255) * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
        bits = (bits + UINT64_C(0x7F7F7F7F7F7F7F7F)) >> 7 & UINT64_C(0x0101010101010101);
        memcpy(cells + 8 * i, &bits, 8);
    }
}
#else
INLINE void NAME_spread(uint64_t word, uint8_t *cells) {
    for (int i = 0; i < 64; i++) cells[i] = (uint8_t)(word >> i & 1);
}
#endif

/* cells: height x width bytes, 0 where dead; board: words, as NAME_steps takes them. */
void NAME_pack(const uint8_t *cells, size_t height, size_t width, uint64_t *board) {
    static const uint8_t dead[64] = {0};
    const size_t rest = width % 64;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x + 64 <= width; x += 64) *board++ = NAME_compare_u8(cells + x, dead);
        cells += width;
        if (rest > 0) {
            uint8_t padded[64] = {0};
            memcpy(padded, cells - rest, rest);
            *board++ = NAME_compare_u8(padded, dead);
        }
    }
}

/* The other way: the cells become 0 or 1. */
void NAME_unpack(const uint64_t *board, size_t height, size_t width, uint8_t *cells) {
    const size_t rest = width % 64;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x + 64 <= width; x += 64) NAME_spread(*board++, cells + x);
        cells += width;
        if (rest > 0) {
            uint8_t padded[64];
            NAME_spread(*board++, padded);
            memcpy(cells - rest, padded, rest);
        }
    }
}
