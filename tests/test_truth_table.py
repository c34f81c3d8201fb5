"""Every truth-table operation against what it means, on all small tables and on drawn large ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import tables

from codegen.truth_table import (
    complement,
    complement_input,
    copied_input,
    depends_on,
    fix_input,
    merge_inputs,
    swap_inputs,
    table_mask,
    value_at,
    variable,
)


def rows(arity):
    return [tuple(row >> position & 1 for position in range(arity)) for row in range(1 << arity)]


def table_of(function, arity):
    return sum(function(bits) << row for row, bits in enumerate(rows(arity)))


def function_of(table):
    return lambda bits: table >> sum(bit << position for position, bit in enumerate(bits)) & 1


def check_value_at(table, arity):
    f = function_of(table)
    assert [value_at(table, row) for row in range(1 << arity)] == [f(bits) for bits in rows(arity)]


def check_complement(table, arity):
    f = function_of(table)
    assert complement(table, arity) == table_of(lambda bits: 1 - f(bits), arity)


def check_fix_input(table, arity):
    f = function_of(table)
    for at in range(arity):
        for value in (0, 1):
            expected = table_of(lambda bits, at=at, value=value: f((*bits[:at], value, *bits[at:])), arity - 1)
            assert fix_input(table, arity, at, value) == expected


def check_depends_on(table, arity):
    f = function_of(table)
    for at in range(arity):
        assert depends_on(table, arity, at) == any(
            f(bits) != f((*bits[:at], 1 - bits[at], *bits[at + 1 :])) for bits in rows(arity)
        )


def check_complement_input(table, arity):
    f = function_of(table)
    for at in range(arity):
        expected = table_of(lambda bits, at=at: f((*bits[:at], 1 - bits[at], *bits[at + 1 :])), arity)
        assert complement_input(table, arity, at) == expected


def check_merge_inputs(table, arity):
    f = function_of(table)
    for dropped in range(arity):
        for kept in range(dropped):
            expected = table_of(
                lambda bits, kept=kept, dropped=dropped: f((*bits[:dropped], bits[kept], *bits[dropped:])), arity - 1
            )
            assert merge_inputs(table, arity, kept, dropped) == expected


def check_swap_inputs(table, arity):
    def swapped(bits, first, second):
        bits = list(bits)
        bits[first], bits[second] = bits[second], bits[first]
        return function_of(table)(bits)

    for first in range(arity):
        for second in range(arity):
            expected = table_of(lambda bits, first=first, second=second: swapped(bits, first, second), arity)
            assert swap_inputs(table, arity, first, second) == expected


def check_copied_input(table, arity):
    f = function_of(table)
    copied = [at for at in range(arity) if all(f(bits) == bits[at] for bits in rows(arity))]
    assert copied_input(table, arity) == (copied[0] if copied else -1)


CHECKS = [
    check_value_at,
    check_complement,
    check_fix_input,
    check_depends_on,
    check_complement_input,
    check_merge_inputs,
    check_swap_inputs,
    check_copied_input,
]


@pytest.mark.parametrize("arity", [0, 1, 2, 3])
@pytest.mark.parametrize("check", CHECKS)
def test_operation_means_what_it_says_on_every_small_table(check, arity):
    for table in range(1 << (1 << arity)):
        check(table, arity)


@pytest.mark.parametrize("check", CHECKS)
@given(data=st.data(), arity=st.integers(4, 6))
def test_operation_means_what_it_says_on_large_tables(check, data, arity):
    check(data.draw(tables(arity)), arity)


@pytest.mark.parametrize("arity", range(7))
def test_mask_is_constant_true_and_variables_are_projections(arity):
    assert table_mask(arity) == (1 << (1 << arity)) - 1
    for position in range(arity):
        assert variable(position, arity) == table_of(lambda bits, position=position: bits[position], arity)


def test_input_0_is_the_low_bit_of_the_row():
    a, b = variable(0, 2), variable(1, 2)
    assert (a, b, a & b, a ^ b) == (0b1010, 0b1100, 0b1000, 0b0110)


def test_operations_return_plain_integers_of_64_bits():
    widest = complement(0, 6)
    assert type(widest) is int
    assert widest == (1 << 64) - 1
