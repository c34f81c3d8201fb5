/* Which of 64 bytes are above their thresholds, a bit each. */
#if LANES == 8 && defined(__AVX512BW__)
#include <immintrin.h>
INLINE uint64_t NAME_compare_u8(const uint8_t *x, const uint8_t *threshold) {
    return _mm512_cmpgt_epu8_mask(_mm512_loadu_si512(x), _mm512_loadu_si512(threshold));
}
#elif LANES >= 4 && defined(__AVX2__)
#include <immintrin.h>
INLINE uint64_t NAME_compare_u8(const uint8_t *x, const uint8_t *threshold) {
    uint64_t above = 0;
    for (int half = 0; half < 2; half++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(x + 32 * half));
        __m256i t = _mm256_loadu_si256((const __m256i *)(threshold + 32 * half));
        /* not above: the larger of the two is the threshold */
        uint32_t not_above = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(a, t), t));
        above |= (uint64_t)~not_above << 32 * half;
    }
    return above;
}
#elif defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Eight bytes a word: the high bit of each is set where t >= x, by the low seven bits if the high ones are the same. */
INLINE uint64_t NAME_compare_u8(const uint8_t *x, const uint8_t *threshold) {
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t above = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t a, t;
        memcpy(&a, x + 8 * i, 8);
        memcpy(&t, threshold + 8 * i, 8);
        uint64_t not_above = ((t & ~a) | (~(t ^ a) & ((t | high) - (a & ~high)))) & high;
        /* the multiplication moves bit 8 k of the product's factor to bit 56 + k */
        above |= ((not_above ^ high) >> 7) * UINT64_C(0x0102040810204080) >> 56 << 8 * i;
    }
    return above;
}
#else
INLINE uint64_t NAME_compare_u8(const uint8_t *x, const uint8_t *threshold) {
    uint64_t above = 0;
    for (int i = 0; i < 64; i++) {
        above |= (uint64_t)(x[i] > threshold[i]) << i;
    }
    return above;
}
#endif
