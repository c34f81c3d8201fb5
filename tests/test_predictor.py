"""codegen.load: arrays of any shape, layout and type are answered as the oracle does, or refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from strategies import busy_stencil
from test_artefact import CIRCUITS

import codegen
from codegen.backends import NumpyCircuit
from codegen.circuit import CircuitFileError
from codegen.emit_c import LANES
from codegen.encoder import FEATURE_TYPES, EncoderError
from codegen.toolchain import NoCompilerError

COUNTS = (0, 1, 2, 7, 8, 31, 33, 63, 64, 65, 511, 512, 513, 1000)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("circuit") / "circuit.safetensors"
    CIRCUITS["classifier"].save(path)
    return codegen.load(path)


@pytest.fixture(scope="module")
def bits():
    return codegen.load(CIRCUITS["bits"])


def drawn(classifier, n_items=COUNTS[-1]):
    return np.random.default_rng(0).integers(0, 256, (n_items, classifier.n_features)).astype(np.uint8)


@pytest.mark.parametrize("count", COUNTS)
def test_any_number_of_items(classifier, count):
    items = drawn(classifier, count)
    circuit = classifier.circuit
    assert np.array_equal(classifier.predict(items), circuit.predict(items))
    assert np.array_equal(classifier.scores(items), circuit.scores(items))
    assert np.array_equal(classifier.answers(items), circuit.answers(circuit.bits(items)))
    assert classifier.predict(items).dtype == np.int32
    assert classifier.scores(items).dtype == np.float32


@pytest.mark.parametrize("isa", LANES)
def test_any_instruction_set(isa):
    predictor = codegen.load(CIRCUITS["classifier"], isa=isa)
    items = drawn(predictor)
    assert np.array_equal(predictor.scores(items), predictor.circuit.scores(items))


@pytest.mark.parametrize("dtype", FEATURE_TYPES)
def test_any_type_and_layout(classifier, dtype):
    items = drawn(classifier).astype(dtype)
    expected = classifier.circuit.predict(items)
    read_only = items.copy()
    read_only.setflags(write=False)
    for given in (
        items,
        read_only,
        np.asfortranarray(items),
        np.repeat(items, 2, axis=1)[:, ::2],
        np.repeat(items, 2, axis=0)[::2],
        items[::-1][::-1],
        items.astype(items.dtype.newbyteorder()),
        np.frombuffer(b"\0" + items.tobytes(), dtype=np.uint8)[1:].view(dtype).reshape(items.shape),  # not aligned
    ):
        assert np.array_equal(classifier.predict(given), expected)


def test_threads_give_the_same(classifier):
    items = drawn(classifier, 5000)
    expected = classifier.circuit.scores(items)
    assert np.array_equal(codegen.load(classifier.circuit, threads=3).scores(items), expected)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: classifier.scores(items), range(16)):
            assert np.array_equal(found, expected)


def test_other_items_are_refused(classifier, bits):
    n = classifier.n_features
    for items in (
        np.uint8(0),
        np.zeros(n, np.uint8),
        np.zeros((2, n + 1), np.uint8),
        np.zeros((2, n), np.int64),
        np.zeros((2, n), complex),
    ):
        for predictor in (classifier, codegen.load(classifier.circuit, threads=2)):
            with pytest.raises(EncoderError, match=rf"Expected items of shape \(item, {n}\)"):
                predictor.predict(items)
    for items in (np.zeros((2, bits.n_features), np.uint8), np.zeros((2, bits.n_features - 1), bool)):
        with pytest.raises(ValueError, match="Expected bool items of shape"):
            bits.predict(items)
    with pytest.raises(ValueError, match="with a readout"):
        bits.scores(np.zeros((2, bits.n_features), bool))


def test_bits_are_answered_as_bits_and_as_numbers(bits):
    items = np.random.default_rng(0).random((600, bits.n_features)) < 0.5
    assert np.array_equal(bits.answers(items), bits.circuit.answers(items))
    assert np.array_equal(bits.predict(items), bits.circuit.predict(items))


@pytest.mark.parametrize("torus", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_boards_are_stepped(torus, steps):
    board = np.random.default_rng(0).random((40, 131)) < 0.4
    before = board.copy()
    expected = NumpyCircuit(busy_stencil()).stepper(board, torus)
    expected.run(steps)
    assert np.array_equal(codegen.load(CIRCUITS["stencil"]).step(board, steps, torus), expected.board())
    assert np.array_equal(board, before)


def test_what_cannot_be_stepped_is_refused(bits):
    with pytest.raises(ValueError, match="Only a circuit of 9 inputs"):
        bits.step(np.zeros((3, 3), bool))
    stencil = codegen.load(CIRCUITS["stencil"])
    with pytest.raises(ValueError, match="Expected a bool board"):
        stencil.step(np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match="number of steps from 0 on, got -1"):
        stencil.step(np.zeros((3, 3), bool), -1)


def test_settings_that_there_are_not_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="instruction set of avx512, avx2, simd128, c99; got 'mmx'"):
        codegen.load(CIRCUITS["bits"], isa="mmx")
    with pytest.raises(ValueError, match="at least one thread, got 0"):
        codegen.load(CIRCUITS["bits"], threads=0)
    with pytest.raises(CircuitFileError, match="Expected a circuit file"):
        codegen.load(tmp_path / "none.safetensors")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompilerError, match="CC=no-such-compiler"):
        codegen.load(CIRCUITS["bits"])
