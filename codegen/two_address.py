"""Gates of three inputs as suits an instruction that overwrites one of its operands.

AVX-512 has an instruction for every function of three words (vpternlog), but its result takes the place of the first. Where that
word is read again, compilers copy it before. An adder's two gates read the same three words, so that each adder costs a copy,
and in a circuit whose outputs are counted the copies are a fifth of all instructions. Without them 8,000 gates on MNIST take 5 %
less time, convolutions no less that could be told.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.netlist import Netlist
from codegen.schedule import last_readers

_PARITIES = (0x96, 0x69)  # exclusive or of three, and its complement
_OVERWRITTEN = 2  # the fan-in whose place the result takes: the last, which emit_c prints as the instruction's first operand
_ROWS = np.arange(8)


def two_address(netlist: Netlist) -> Netlist:
    """The netlist with the adders among its gates such that neither gate has to leave what it reads; signals keep their values.

    An adder is a parity of three signals and another gate of the same three just behind it. Of parity and two of the signals the
    third is known, so the other gate reads the parity in place of one that nothing reads later. That one is then the parity's
    last fan-in, and of the other gate's fan-ins the last is one that nothing reads later, if there is another.
    """
    if netlist.fan_in.shape[1] <= _OVERWRITTEN:
        return netlist
    table, fan_in = netlist.table.copy(), netlist.fan_in.copy()
    three = np.sort(fan_in[:, : _OVERWRITTEN + 1], axis=1)
    adder = (three[1:] == three[:-1]).all(axis=1) & (netlist.arity[1:] == 3) & (netlist.arity[:-1] == 3)
    second = np.flatnonzero(adder & np.isin(table[:-1], _PARITIES)) + 1
    dies = _read_last(netlist, second)
    second, dies = second[dies.any(axis=1)], dies[dies.any(axis=1)]
    first, adders = second - 1, np.arange(len(second))

    place = _last_of(dies)
    known = fan_in[second, place]
    # The signal is the parity of the row in which the parity has its place, or the complement.
    value = np.bitwise_count(_ROWS) & 1 ^ (table[first, None] == _PARITIES[1])
    table[second] = _in_order_of(table[second], _ROWS & ~(1 << place[:, None]) | value << place[:, None])
    fan_in[second, place] = netlist.n_inputs + first
    _put_last(table, fan_in, first, _last_of(fan_in[first, :3] == known[:, None]))

    dies[adders, place] = False
    another = dies.any(axis=1)
    _put_last(table, fan_in, second[another], _last_of(dies[another]))
    return replace(netlist, table=table, fan_in=fan_in)


def _read_last(netlist: Netlist, gates: NDArray[np.intp]) -> NDArray[np.bool_]:
    """bool (gate, 3): whether the fan-in is a gate that none after this one reads."""
    sources = netlist.fan_in[gates, :3] - netlist.n_inputs
    read = (sources >= 0) & (last_readers(netlist)[np.maximum(sources, 0)] == gates[:, None])
    return np.asarray(read)


def _last_of(chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(row,): the last place that is true; each row has one."""
    return chosen.shape[1] - 1 - np.argmax(chosen[:, ::-1], axis=1)


def _put_last(table: NDArray[np.uint64], fan_in: NDArray[np.int32], gates: NDArray[np.intp], place: NDArray[np.intp]) -> None:
    """Exchange the fan-in at this place, one for each of the gates, and the last of three."""
    fan_in[gates, place], fan_in[gates, _OVERWRITTEN] = fan_in[gates, _OVERWRITTEN], fan_in[gates, place]
    at = place[:, None]
    differ = (_ROWS >> at ^ _ROWS >> _OVERWRITTEN) & 1
    table[gates] = _in_order_of(table[gates], _ROWS ^ (differ << at | differ << _OVERWRITTEN) * (at != _OVERWRITTEN))


def _in_order_of(table: NDArray[np.uint64], rows: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """uint64 (gate,): tables whose row i is the given one's row rows[gate, i]."""
    values = table[:, None] >> rows.astype(np.uint64) & np.uint64(1)
    return np.bitwise_or.reduce(values << _ROWS.astype(np.uint64), axis=1)
