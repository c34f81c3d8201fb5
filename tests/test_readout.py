"""Group sums and majorities: who counts for whom, scores and ties; and the loss and accuracy that training takes from them."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import FORMS, NAMESPACES, build, gate_network, items, rates

from codegen.readout import GroupSum, Majority
from codegen.simulate import simulate
from methods import RELAXATIONS, MethodError
from methods.network import discretise
from methods.readout import loss, right


@given(n_outputs=st.integers(1, 200), n_classes=st.integers(1, 200))
def test_groups_are_in_order_and_as_even_as_can_be(n_outputs, n_classes):
    readout = GroupSum(n_classes, 1.0)
    if n_outputs < n_classes:
        with pytest.raises(ValueError, match="at least one output a group"):
            readout.groups(n_outputs)
        return
    expected = [np.full(len(part), c) for c, part in enumerate(np.array_split(np.arange(n_outputs), n_classes))]
    assert np.array_equal(readout.groups(n_outputs), np.concatenate(expected))


@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 5), st.integers(0, 999))
def test_counts_scores_and_classes(n_classes, extra, n_items, seed):
    bits = np.random.default_rng(seed).random((n_items, n_classes + extra)) < 0.5
    readout = GroupSum(n_classes, 3.0)
    counts = readout.counts(bits)
    assert counts.shape == (n_items, n_classes)
    groups = readout.groups(n_classes + extra)
    for item, count in zip(bits, counts, strict=True):
        assert count.tolist() == [int(item[groups == c].sum()) for c in range(n_classes)]
    assert np.array_equal(readout.scores(counts), (counts / 3).astype(np.float32))
    assert readout.classes(counts).tolist() == [max(range(n_classes), key=lambda c: (count[c], -c)) for count in counts]


def test_a_tie_is_the_lowest_class():
    assert GroupSum(3, 1.0).classes(np.array([[2, 2, 2], [1, 2, 2], [0, 0, 1]])).tolist() == [0, 1, 2]


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 5), st.integers(0, 999))
def test_a_majority_is_more_than_half_of_a_bits_votes(n_bits, votes, n_items, seed):
    bits = np.random.default_rng(seed).random((n_items, n_bits * votes)) < 0.5
    readout = Majority(n_bits, votes, 2.0)
    counts = readout.counts(bits)
    assert counts.tolist() == bits.reshape(n_items, n_bits, votes).sum(axis=2).tolist()
    assert readout.answers(counts).tolist() == [[n > votes - n for n in item] for item in counts.tolist()]
    assert np.array_equal(readout.scores(counts), (counts / 2).astype(np.float32))
    with pytest.raises(ValueError, match=f"{votes} outputs for each of {n_bits} bits"):
        readout.groups(n_bits * votes + 1)


def test_the_loss_of_votes_is_the_binary_cross_entropy_of_torch():
    rng = np.random.default_rng(0)
    values = (200 * rng.random((3, 30))).astype(np.float32)
    target = (rng.random((3, 30)) < 0.5).astype(np.float32)
    logits = (torch.tensor(values) - 100) / 3
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(target)).item()
    for xp, asarray in ((np, np.asarray), (NAMESPACES["torch"], torch.tensor), (jnp, jnp.asarray)):
        assert float(loss(xp, Majority(3, 200, 3.0), asarray(values), asarray(target))) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_classes_is_the_cross_entropy_of_torch():
    rng = np.random.default_rng(0)
    values = (100 * rng.random((5, 30))).astype(np.float32)
    labels = rng.integers(0, 5, 30)
    target = np.eye(5, dtype=np.float32)[:, labels]
    expected = torch.nn.functional.cross_entropy(torch.tensor(values.T) / 7, torch.tensor(labels)).item()
    for xp, asarray in ((np, np.asarray), (NAMESPACES["torch"], torch.tensor), (jnp, jnp.asarray)):
        assert float(loss(xp, GroupSum(5, 7.0), asarray(values), asarray(target))) == pytest.approx(expected, rel=1e-5)


def test_right_counts_whole_items_of_bits_and_the_first_of_equal_classes():
    values = np.array([[0.9, 0.1], [0.9, 0.6], [0.5, 0.2]], dtype=np.float32)
    assert right(None, values, np.array([[1, 0], [1, 0], [0, 0]], dtype=bool)).tolist() == [True, False, True]
    sums = np.array([[2, 2], [2, 2], [1, 3]], dtype=np.float32)
    assert right(GroupSum(2, 1.0), sums, np.array([[1, 0], [0, 1], [0, 1]], dtype=bool)).tolist() == [True, False, True]
    votes = np.array([[2, 1], [2, 3], [1.5, 3]], dtype=np.float32)
    assert right(Majority(2, 3, 1.0), votes, np.array([[1, 0], [1, 0], [0, 1]], dtype=bool)).tolist() == [True, False, True]


@pytest.mark.usefixtures("quick_xla")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("relaxation", ["dlgn", "warp"])
def test_engines_sum_groups_train_on_classes_and_agree_with_the_circuit(relaxation, form):
    inputs, _ = items(60, 6, 1)
    labels = inputs[:, 0] + 2 * (inputs[:, 1] & inputs[:, 2])
    target = np.eye(4, dtype=bool)[labels.astype(int)]
    network, parameters = gate_network([40, 22], inputs, 4, classes=True, relaxation=relaxation)
    assert network.n_outputs == 22
    assert network.readout == GroupSum(4, pytest.approx((22 / 32) ** 0.5))
    engine = build(form, network, parameters, inputs, target)
    first = engine.run(None, rates(80)).losses
    assert first[-1] < first[0] / 3
    assert engine.soft(inputs).shape == (60, 4)
    assert right(network.readout, engine.soft(inputs), target).mean() > 0.9
    tables = RELAXATIONS[relaxation].truth_tables(engine.parameters()["theta"])
    counts = network.readout.counts(simulate(discretise(network, tables), inputs))
    assert np.array_equal(engine.hard(inputs), counts)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("relaxation", ["dlgn", "warp"])
def test_engines_learn_bits_by_votes_and_agree_with_the_circuit(relaxation, form):
    inputs, _ = items(60, 6, 1)
    target = np.stack([inputs[:, 0] ^ inputs[:, 1], inputs[:, 2] & inputs[:, 3]], axis=1)
    network, parameters = gate_network([40], inputs, 2, relaxation=relaxation, votes=9)
    assert [layer.n_gates for layer in network.layers] == [40, 18]
    assert network.readout == Majority(2, 9, pytest.approx((9 / 8) ** 0.5))
    engine = build(form, network, parameters, inputs, target)
    first = engine.run(None, rates(80)).losses
    assert first[-1] < first[0] / 3
    assert right(network.readout, engine.soft(inputs), target).mean() > 0.9
    tables = RELAXATIONS[relaxation].truth_tables(engine.parameters()["theta"])
    counts = network.readout.counts(simulate(discretise(network, tables), inputs))
    assert np.array_equal(engine.hard(inputs), counts)


@pytest.mark.usefixtures("quick_xla")
def test_engines_take_the_same_steps_on_classes():
    inputs, _ = items(40, 6, 1)
    target = np.eye(3, dtype=bool)[np.arange(40) % 3]
    network, parameters = gate_network([20, 11], inputs, 3, classes=True, relaxation="warp", smoothing="gumbel_hard")
    found = [build(form, network, parameters, inputs, target).run(None, rates(4, 1e-3)).losses for form in FORMS]
    assert np.allclose(found[1:], found[0], rtol=1e-4)


def test_too_few_outputs_for_the_classes_are_refused():
    with pytest.raises(MethodError, match=r"3 gates for 4 classes.*method\.widths"):
        gate_network([9, 3], 9, 4, classes=True)


def test_votes_on_a_class_are_refused():
    with pytest.raises(MethodError, match=r"method\.votes=3 is for tasks of output bits"):
        gate_network([9, 30], 9, 4, classes=True, votes=3)
