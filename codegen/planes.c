/* The square of bits that has row c where it had column c: word r's bit c becomes word c's bit r, in every lane. */
INLINE void NAME_turn_over(V *m) {
    uint64_t low = UINT64_C(0x00000000FFFFFFFF);
    for (unsigned j = 32; j != 0; j >>= 1, low ^= low << j) {
        for (unsigned k = 0; k < 64; k = (k + j + 1) & ~j) {
            V swapped = ((m[k] >> j) ^ m[k + j]) & (ZERO + low);
            m[k + j] ^= swapped;
            m[k] ^= swapped << j;
        }
    }
}

#if LANES == 8 && defined(__AVX512F__)
#include <immintrin.h>
INLINE uint64_t NAME_compare_f32(const float *x, const float *threshold) {
    uint64_t above = 0;
    for (int i = 0; i < 4; i++) {
        __m512 a = _mm512_loadu_ps(x + 16 * i), t = _mm512_loadu_ps(threshold + 16 * i);
        above |= (uint64_t)_mm512_cmp_ps_mask(a, t, _CMP_GT_OQ) << 16 * i;
    }
    return above;
}
#else
INLINE uint64_t NAME_compare_f32(const float *x, const float *threshold) {
    uint64_t above = 0;
    for (int i = 0; i < 64; i++) {
        above |= (uint64_t)(x[i] > threshold[i]) << i;
    }
    return above;
}
#endif

/* Items that are evaluated at once. */
#define ITEMS (AT_ONCE * 64 * LANES)

/* n items' numbers, and those of the lanes behind them, from their bit planes among the outputs, the low bit first. */
INLINE void NAME_numbers(const V *planes, unsigned n_planes, size_t n, uint32_t *numbers) {
    for (size_t start = 0; start < n; start += 64 * LANES, planes += N_OUT, numbers += 64 * LANES) {
        memset(numbers, 0, 64 * LANES * sizeof(uint32_t));
        for (unsigned plane = 0; plane < n_planes; plane++) {
            uint64_t words[LANES];
            memcpy(words, &planes[plane], sizeof words);
            for (size_t half = 0; half < 2 * LANES; half++) {
                const uint32_t bits = (uint32_t)(words[half / 2] >> half % 2 * 32);
                uint32_t *to = numbers + 32 * half;
                for (uint32_t i = 0; i < 32; i++) to[i] |= (bits >> i & 1) << plane;
            }
        }
    }
}
