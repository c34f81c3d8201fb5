/* Runs a circuit so many times that callgrind can count its instructions. Before this text stand N_INPUT and N_OUTPUT, words of
 * memory, and count_run(input, output, times), which runs it. */

/* Aligned, as where circuits are timed: else words are copied first. */
static uint64_t input[N_INPUT + 1] __attribute__((aligned(64))), output[N_OUTPUT + 1] __attribute__((aligned(64)));
static volatile uint64_t sink;

int main(int n_arguments, char **arguments) {
    uint64_t state = 0, sum = 0;
    for (size_t i = 0; i < N_INPUT; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        input[i] = state ^ state >> 32;
    }
    count_run(input, output, (size_t)strtoull(arguments[n_arguments - 1], NULL, 10));
    for (size_t i = 0; i < N_OUTPUT; i++) sum ^= output[i];
    sink = sum;
    return 0;
}
