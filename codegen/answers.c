/* items: n_items x N_FEATURES, bits: n_items x N_ANSWER, each 0 or 1. */
void NAME_answers_TYPE(const NUMBER *items, size_t n_items, uint8_t *bits) {
    V out[AT_ONCE * N_OUT + 1];
    uint32_t numbers[ITEMS];
    for (size_t start = 0; start < n_items; start += ITEMS) {
        const size_t n = NAME_outputs_TYPE(items, n_items, start, out);
        for (int plane = 0; plane < N_ANSWER; plane++) {
            NAME_numbers(out + plane, 1, n, numbers);
            for (size_t item = 0; item < n; item++) bits[(start + item) * N_ANSWER + plane] = (uint8_t)numbers[item];
        }
    }
}
