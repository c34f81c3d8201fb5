/* items: n_items x N_FEATURES, scores: n_items x N_GROUPS. A score is the count of a group's true outputs divided by the
   temperature. */
void NAME_scores_TYPE(const NUMBER *items, size_t n_items, float *scores) {
    V out[AT_ONCE * N_OUT + 1];
    uint32_t counts[ITEMS];
    for (size_t start = 0; start < n_items; start += ITEMS) {
        const size_t n = NAME_outputs_TYPE(items, n_items, start, out);
        for (unsigned group = 0; group < N_GROUPS; group++) {
            NAME_numbers(out + N_ANSWER + group * COUNT_BITS, COUNT_BITS, n, counts);
            for (size_t item = 0; item < n; item++)
                scores[(start + item) * N_GROUPS + group] = (float)(counts[item] / TEMPERATURE);
        }
    }
}
