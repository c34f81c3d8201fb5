"""Encoders: what a threshold makes of a number, the thermometers of tasks, and circuits that take numbers and give classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import netlists

from codegen.circuit import Circuit, CircuitFileError
from codegen.encoder import Encoder, EncoderError
from codegen.netlist import Netlist
from codegen.readout import GroupSum, Majority, from_binary
from codegen.simulate import simulate
from tasks import binarise

# Subnormal numbers are not: the processor is told to take them for 0 while torch trains, in this process perhaps too.
NORMAL = st.floats(width=64, allow_subnormal=False)


def encoder(n_features, features, thresholds):
    return Encoder(n_features, np.array(features, dtype=np.int32), np.array(thresholds, dtype=np.float32))


def test_a_bit_is_true_above_its_threshold_alone():
    found = encoder(2, [0, 0, 1], [0.5, 1.5, -1.0]).encode(np.array([[0.5, -1.0], [0.6, -0.9], [1.6, np.nan], [np.nan, np.inf]]))
    assert found.tolist() == [[False, False, False], [True, False, True], [True, True, False], [False, False, True]]


def test_every_byte_is_compared_exactly():
    pixels = np.arange(256, dtype=np.uint8)[:, None]
    for threshold in (-1.0, 0.0, 126.5, 127.0, 254.0, 255.0):
        found = encoder(1, [0], [threshold]).encode(pixels)[:, 0]
        assert found.tolist() == [byte > threshold for byte in range(256)]


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.just(3)), elements=NORMAL),
    st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
)
def test_numbers_of_64_bits_are_rounded_to_32_first(features, threshold):
    with np.errstate(over="ignore"):
        rounded = features.astype(np.float32)
        found = encoder(3, [0, 1, 2], [threshold] * 3).encode(features)
    assert np.array_equal(found, rounded > np.float32(threshold))


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_any_layout_is_read_alike(layout):
    features = np.random.default_rng(0).integers(0, 256, (7, 4)).astype(np.uint8)
    given = {"C": features, "F": np.asfortranarray(features), "strided": np.repeat(features, 2, axis=1)[:, ::2]}[layout]
    one = encoder(4, [3, 0, 0], [10.0, 100.0, 200.0])
    assert np.array_equal(one.encode(given), features[:, [3, 0, 0]] > [10, 100, 200])


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.zeros((2, 5), np.uint8), r"\(item, 4\).*got uint8 of shape \(2, 5\)"),
        (np.zeros(4, np.uint8), r"got uint8 of shape \(4,\)"),
        (np.zeros((2, 4), np.int64), "bool, uint8, float32, float64; got int64"),
        (np.zeros((2, 4), np.complex64), "got complex64"),
    ],
)
def test_items_of_another_kind_are_refused(features, said):
    with pytest.raises(EncoderError, match=said):
        encoder(4, [0], [0.5]).encode(features)


@pytest.mark.parametrize(
    ("features", "thresholds", "said"),
    [
        ([4], [0.0], "Input 0 reads feature 4; expected 0 to 3"),
        ([0, -1], [0.0, 0.0], "Input 1 reads feature -1"),
        ([0], [np.nan], "finite thresholds; that of input 0"),
        ([0, 1], [0.0], r"got \(2,\) and \(1,\)"),
    ],
)
def test_thresholds_that_make_no_encoder_are_refused(features, thresholds, said):
    with pytest.raises(EncoderError, match=said):
        encoder(4, features, thresholds)


def test_thermometers_have_the_bits_of_a_feature_side_by_side_in_ascending_order():
    read = np.array([1, 3])
    uniform = binarise.uniform(4, read, 3, 0, 16)
    assert uniform.feature.tolist() == [1, 1, 1, 3, 3, 3]
    assert uniform.threshold.tolist() == [4, 8, 12] * 2
    features = np.zeros((9, 4))
    features[:, 1] = [0, 0, 0, 1, 2, 3, 4, 5, 6]
    quantile = binarise.quantile(features, read, 2)
    assert quantile.feature.tolist() == [1, 1, 3, 3]
    assert quantile.threshold.tolist() == [2, 4, 0, 0]
    assert not quantile.encode(features)[:, 2:].any()  # a feature that never varies
    assert binarise.fixed(4, read, 7).threshold.tolist() == [7, 7]


@given(st.integers(1, 4), st.integers(0, 99))
def test_a_thermometer_never_has_a_true_bit_above_a_false_one(n_bits, seed):
    features = np.random.default_rng(seed).integers(0, 17, (50, 6)).astype(np.uint8)
    read = np.arange(6)
    for one in (binarise.uniform(6, read, n_bits, 0, 16), binarise.quantile(features, read, n_bits)):
        bits = one.encode(features).reshape(50, 6, n_bits)
        assert np.all(bits[:, :, :-1] >= bits[:, :, 1:])


def test_the_centre_of_an_image():
    assert binarise.centre(4, 4, 2).tolist() == [5, 6, 9, 10]
    assert binarise.centre(3, 4, 2).tolist() == [1, 2, 5, 6]
    assert binarise.centre(2, 3, None).tolist() == list(range(6))


@settings(deadline=None, max_examples=40)
@given(netlist=netlists(inputs=(3, 6), outputs=(4, 20)), n_classes=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_circuit_with_encoder_and_readout_survives_its_file(tmp_path_factory, netlist, n_classes, seed):
    rng = np.random.default_rng(seed)
    made = Encoder(5, rng.integers(0, 5, netlist.n_inputs), rng.standard_normal(netlist.n_inputs).astype(np.float32))
    circuit = Circuit(netlist, {"a": "b"}, made, GroupSum(n_classes, 2.5))
    path = tmp_path_factory.mktemp("circuits") / "c.safetensors"
    circuit.save(path)
    loaded = Circuit.load(path)
    assert loaded.readout == circuit.readout
    features = rng.standard_normal((20, 5)).astype(np.float32)
    counts = circuit.readout.counts(simulate(netlist, made.encode(features)))
    assert np.array_equal(loaded.counts(features), counts)
    assert np.array_equal(loaded.scores(features), (counts / 2.5).astype(np.float32))
    assert np.array_equal(loaded.predict(features), np.argmax(counts, axis=1))
    assert np.array_equal(from_binary(loaded.answers(loaded.bits(features))), np.argmax(counts, axis=1))


def test_a_circuit_of_parts_that_do_not_fit_is_refused():
    netlist = Netlist.from_gates(3, [(0b1000, (0, 1))], [3])
    with pytest.raises(ValueError, match="makes 2 bits for a netlist of 3 inputs"):
        Circuit(netlist, encoder=encoder(4, [0, 1], [0.0, 0.0]))
    with pytest.raises(ValueError, match="at least one output a group"):
        Circuit(netlist, readout=GroupSum(2, 1.0))
    with pytest.raises(ValueError, match="Expected a circuit with a readout"):
        Circuit(netlist).counts(np.zeros((1, 3), dtype=bool))


def test_a_circuit_of_votes_survives_its_file_and_predicts_the_bits_as_a_number(tmp_path):
    circuit = Circuit(Netlist.from_gates(6, [], range(6)), readout=Majority(2, 3, 1.5))
    circuit.save(tmp_path / "c.safetensors")
    loaded = Circuit.load(tmp_path / "c.safetensors")
    assert loaded.readout == circuit.readout
    bits = np.array([[1, 1, 0, 0, 0, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1]], dtype=bool)
    assert loaded.predict(bits).tolist() == [1, 2, 3]
    assert loaded.answers(bits).tolist() == [[True, False], [False, True], [True, True]]


def test_a_file_with_damaged_thresholds_is_refused(tmp_path):
    netlist = Netlist.from_gates(1, [(0b01, (0,))], [1])
    path = tmp_path / "c.safetensors"
    broken = Circuit(netlist, encoder=encoder(4, [0], [0.0]))
    object.__setattr__(broken.encoder, "feature", np.array([9], dtype=np.int32))
    broken.save(path)
    with pytest.raises(CircuitFileError, match="Input 0 reads feature 9"):
        Circuit.load(path)
