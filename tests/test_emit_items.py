"""Items in C: bytes and floats in, the oracle's answers and scores out, for any number of items and on every instruction set."""

import itertools

import numpy as np
import pytest

from codegen.backends import CompiledCircuit
from codegen.circuit import Circuit
from codegen.emit_c import LANES, emit_c
from codegen.encoder import Encoder, EncoderError
from codegen.lower_readout import lower_answer
from codegen.netlist import Netlist
from codegen.passes import lower, run
from codegen.readout import GroupSum, from_binary
from codegen.toolchain import compile_library, find_compiler

ISAS = sorted({"c99", "simd128", find_compiler().isa, *(["avx2"] if "__AVX2__" in find_compiler().macros else [])})
COUNTS = (0, 1, 2, 7, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1000)


def compiled(netlist, encoder, isa, readout=None):
    return CompiledCircuit(netlist, [], isa, ("-O2",), True, 300, encoder, readout)


def reader(n_bits):
    """A circuit that gives its inputs back."""
    return Netlist.from_gates(n_bits, [], list(range(n_bits)))


@pytest.mark.parametrize("isa", ISAS)
def test_every_byte_against_every_threshold(isa):
    thresholds = [-np.inf, -5.0, -0.5, 0.0, 0.5, 1.0, 127.0, 127.5, 128.0, 254.0, 254.5, 255.0, 300.0]
    thresholds = np.maximum(thresholds, np.finfo(np.float32).min).astype(np.float32)
    encoder = Encoder(1, np.zeros(len(thresholds), dtype=np.int32), thresholds)
    form = compiled(reader(len(thresholds)), encoder, isa)
    for features in (np.arange(256, dtype=np.uint8)[:, None], np.arange(256, dtype=np.float32)[:, None]):
        assert np.array_equal(form.predict(features), from_binary(encoder.encode(features)))


@pytest.mark.parametrize("isa", ISAS)
def test_floats_at_above_and_below_a_threshold_and_those_that_are_no_numbers(isa):
    thresholds = np.array([-1.5, 0.0, 0.1, 3e38], dtype=np.float32)
    encoder = Encoder(1, np.zeros(4, dtype=np.int32), thresholds)
    up, down = np.nextafter(thresholds, np.float32(np.inf)), np.nextafter(thresholds, np.float32(-np.inf))
    special = np.array([np.nan, np.inf, -np.inf, -0.0], dtype=np.float32)
    features = np.concatenate([thresholds, up[[0, 2, 3]], down[[0, 2, 3]], special])[:, None]
    form = compiled(reader(4), encoder, isa)
    assert np.array_equal(form.predict(features), from_binary(encoder.encode(features)))
    assert np.array_equal(form.predict(features.astype(np.float64)), from_binary(encoder.encode(features)))


@pytest.mark.parametrize(("isa", "n_features"), list(itertools.product(ISAS, [1, 63, 64, 65, 200])))
def test_a_classifier_agrees_with_the_oracle_on_any_number_of_items(isa, n_features):
    assert_classifies(isa, n_features)


@pytest.mark.parametrize("isa", ISAS)
def test_a_classifier_in_chunks_agrees_with_the_oracle_on_any_number_of_items(isa, in_chunks):
    assert_classifies(isa, 65)


def assert_classifies(isa, n_features):
    rng = np.random.default_rng(n_features)
    n_inputs = 40
    encoder = Encoder(n_features, rng.integers(0, n_features, n_inputs), rng.integers(-2, 260, n_inputs).astype(np.float32))
    gates = [(int(rng.integers(16)), tuple(rng.integers(0, n_inputs + i, 2).tolist())) for i in range(60)]
    netlist = Netlist.from_gates(n_inputs, gates, rng.integers(0, n_inputs + 60, 23).tolist())
    circuit = Circuit(netlist, {}, encoder, GroupSum(5, 3.0))
    lowered = lower_answer(netlist, circuit.readout, counts=True)
    form = compiled(run(lowered, (lower,))[0], encoder, isa, circuit.readout)
    features = rng.integers(0, 256, (max(COUNTS), n_features)).astype(np.uint8)
    expected, scores = circuit.predict(features), circuit.scores(features)
    assert len(np.unique(expected)) > 1
    for count in COUNTS:
        # At the end of their memory: what is read behind it would be another's.
        given = features[len(features) - count :].copy()
        assert np.array_equal(form.predict(given), expected[len(features) - count :])
        assert np.array_equal(form.scores(given), scores[len(features) - count :])
    for given in (np.asfortranarray(features), features.astype(np.float32), features.astype(np.float64)):
        assert np.array_equal(form.predict(given), expected)
        assert np.array_equal(form.scores(given), scores)
        assert np.array_equal(from_binary(form.answers(given)), expected)
    assert np.array_equal(form.predict(np.repeat(features, 2, axis=1)[:, ::2]), expected)


def test_other_items_are_refused():
    form = compiled(reader(2), Encoder(3, np.array([0, 2]), np.zeros(2)), "c99")
    with pytest.raises(EncoderError, match=r"\(item, 3\).*got uint8 of shape \(4, 2\)"):
        form.predict(np.zeros((4, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match="reads bits: use evaluate"):
        compiled(reader(2), None, "c99").predict(np.zeros((4, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"with a readout.*use answers"):
        form.scores(np.zeros((4, 3), dtype=np.uint8))


@pytest.mark.parametrize("n_outputs", [0, 1, 31, 32, 70])
def test_answers_of_any_number_of_bits_and_as_numbers_up_to_31(n_outputs):
    outputs = np.arange(n_outputs) % 3
    form = compiled(Netlist.from_gates(3, [], outputs.tolist()), Encoder(3, np.arange(3), np.full(3, 0.5)), "c99")
    bits = np.random.default_rng(0).random((100, 3)) < 0.5
    assert np.array_equal(form.answers(bits), bits[:, outputs])
    if n_outputs < 32:
        assert np.array_equal(form.predict(bits), from_binary(bits[:, outputs]))
    else:
        with pytest.raises(ValueError, match=f"at most 31 bits, got {n_outputs}: use answers"):
            form.predict(bits)


@pytest.mark.parametrize("isa", ISAS)
def test_the_text_compiles_without_a_warning(isa):
    encoder = Encoder(70, np.array([0, 0, 69]), np.array([1.0, 2.5, 0.0]))
    flags = ("-O1", "-Wall", "-Wextra", "-Werror", *(("-std=c99", "-pedantic") if LANES[isa] == 1 else ()))
    compile_library(emit_c(reader(3), isa, encoder=encoder), flags)
    assert emit_c(reader(3), isa, encoder=encoder) == emit_c(reader(3), isa, encoder=encoder)
