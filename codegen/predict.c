/* items: n_items x N_FEATURES, answers: n_items. An answer is the N_ANSWER outputs as a binary number, the low bit first. */
void NAME_predict_TYPE(const NUMBER *items, size_t n_items, int32_t *answers) {
    V out[AT_ONCE * N_OUT + 1];
    uint32_t numbers[ITEMS];
    for (size_t start = 0; start < n_items; start += ITEMS) {
        const size_t n = NAME_outputs_TYPE(items, n_items, start, out);
        NAME_numbers(out, N_ANSWER, n, numbers);
        memcpy(answers + start, numbers, n * sizeof(int32_t));
    }
}
