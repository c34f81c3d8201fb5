/* A Life-like step by hand, for words of LANES x 64 cells: what the learned circuits are measured against.
 *
 * Three cells of a row are added once and the sums (low bit, high bit) used by the rows above and below; BIRTH and
 * SURVIVAL are bit masks of neighbour counts. For Conway's rule (B3/S23) the nine cells are added and compared without
 * ever forming the whole count; with AVX-512's three-input operations that is eight a word, the fewest we know of.
 */

#define ROW_SIGNALS 3

#ifdef __AVX512F__
#include <immintrin.h>
#define LUT3(a, b, c, table) ((V)_mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), table))
#define SUM3(a, b, c) LUT3(a, b, c, 0x96)
#define CARRY3(a, b, c) LUT3(a, b, c, 0xE8)
#else
#define SUM3(a, b, c) ((a) ^ (b) ^ (c))
#define CARRY3(a, b, c) (((a) & (b)) | (((a) | (b)) & (c)))
#endif

/* in: the cells west of, at and east of each lane; out: their sum's low and high bit, and the cell. */
INLINE void NAME_row(const V *in, V *out) {
    out[0] = SUM3(in[0], in[1], in[2]);
    out[1] = CARRY3(in[0], in[1], in[2]);
    out[2] = in[1];
}

INLINE void NAME_rule(const V *in, V *out) {
    /* The total of all nine, the cell included: ones + 2 (twos + carry) + 4 (fours), and so on. */
    const V cell = in[5];
    const V ones = SUM3(in[0], in[3], in[6]), carry = CARRY3(in[0], in[3], in[6]);
    const V twos = SUM3(in[1], in[4], in[7]), fours = CARRY3(in[1], in[4], in[7]);
#if BIRTH == 8 && SURVIVAL == 12
    /* Alive next: a total of 3, or of 4 with the cell itself alive. */
#ifdef __AVX512F__
    const V odd_twos = carry ^ twos;
    const V three = LUT3(odd_twos, ones, fours, 0x40);                /* odd_twos & ones & ~fours */
    const V one_four = LUT3(fours, carry, twos, 0x78);                /* fours ^ (carry & twos) */
    out[0] = three | LUT3(odd_twos | ones, one_four, cell, 0x08);     /* three | (one_four & cell, nothing below) */
#else
    const V odd_twos = carry ^ twos;
    const V one_four = fours ^ (carry & twos);
    out[0] = (odd_twos & ones & ~fours) | (~(odd_twos | ones) & one_four & cell);
#endif
#else
    const V two = carry ^ twos, both = carry & twos;
    const V bits[4] = {ones, two, both ^ fours, both & fours};
    V next = ZERO;
    for (int total = 0; total <= 9; total++) {
        V equal = ~ZERO;
        for (int bit = 0; bit < 4; bit++) equal &= total >> bit & 1 ? bits[bit] : ~bits[bit];
        if (total <= 8 && (BIRTH >> total & 1)) next |= equal & ~cell;
        if (total >= 1 && (SURVIVAL >> (total - 1) & 1)) next |= equal & cell;
    }
    out[0] = next;
#endif
}
