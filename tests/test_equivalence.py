"""The comparison of two evaluators: what it tries, what it finds and what it says."""

import numpy as np
import pytest

from codegen.equivalence import EXHAUSTIVE_INPUTS, all_rows, compare


def row_numbers(bits):
    return bits @ (1 << np.arange(bits.shape[1]))


def parity(bits):
    return (bits.sum(axis=1, keepdims=True) % 2).astype(bool)


def parity_wrong_on(*rows):
    return lambda bits: parity(bits) ^ np.isin(row_numbers(bits), rows)[:, None]


def all_true(bits):
    return bits.all(axis=1, keepdims=True)


def never(bits):
    return np.zeros((len(bits), 1), dtype=bool)


def test_all_rows_count_with_input_0_as_the_low_bit():
    assert all_rows(2).tolist() == [[False, False], [True, False], [False, True], [True, True]]
    assert row_numbers(all_rows(9, 100, 300)).tolist() == list(range(100, 300))
    assert all_rows(0).shape == (1, 0)


@pytest.mark.parametrize("row", [0, 1234, 4095])
def test_single_wrong_row_is_the_counterexample(row):
    found = compare(parity, parity_wrong_on(row), 12)
    assert (found.items_checked, found.items_equal, found.exhaustive, found.equal) == (4096, 4095, True, False)
    assert row_numbers(found.counterexample[None]) == [row]


def test_counterexample_is_the_first_even_across_chunks():
    found = compare(parity, parity_wrong_on(100_000, 70_000, 131_071), 17)
    assert found.items_equal == 2**17 - 3
    assert row_numbers(found.counterexample[None]) == [70_000]


def test_a_difference_in_any_output_counts():
    def twice(bits):
        return np.hstack([parity(bits), parity(bits)])

    def second_output_wrong_on_row_5(bits):
        return np.hstack([parity(bits), parity_wrong_on(5)(bits)])

    assert row_numbers(compare(twice, second_output_wrong_on_row_5, 6).counterexample[None]) == [5]


def test_equal_evaluators_agree_on_every_row():
    found = compare(parity, parity, 12)
    assert (found.items_checked, found.exhaustive, found.equal, found.counterexample) == (4096, True, True, None)


def test_every_row_is_tried_up_to_the_limit():
    found = compare(never, all_true, EXHAUSTIVE_INPUTS)
    assert (found.items_checked, found.items_equal, found.exhaustive) == (2**20, 2**20 - 1, True)
    assert found.counterexample.all()


def test_beyond_the_limit_the_given_items_are_tried_too():
    items = np.zeros((10, EXHAUSTIVE_INPUTS + 1), dtype=bool)
    items[7] = True
    drawn = compare(never, all_true, EXHAUSTIVE_INPUTS + 1)
    given = compare(never, all_true, EXHAUSTIVE_INPUTS + 1, items)
    assert (drawn.items_checked, drawn.equal, drawn.exhaustive) == (1 << 14, True, False)
    assert (given.items_checked, given.items_equal, given.exhaustive) == ((1 << 14) + 10, (1 << 14) + 9, False)
    assert given.counterexample.all()


def test_drawn_items_find_a_difference_on_half_of_all_rows():
    found = compare(never, lambda bits: bits[:, :1], 40)
    assert 0.45 < found.items_equal / found.items_checked < 0.55
    assert found.counterexample[0]


def test_drawn_items_follow_the_seed():
    def seen(seed):
        batches = []
        compare(never, lambda bits: batches.append(bits) or never(bits), 30, seed=seed)
        return batches[0]

    np.testing.assert_array_equal(seen(1), seen(1))
    assert not np.array_equal(seen(1), seen(2))
