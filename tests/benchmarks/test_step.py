"""One generation of a 512x512 torus by every back end, by the circuit of a freshly trained network: `make bench`.

The published comparison is the harness's own, interleaved and paired; this is for looking at one back end at a time.
"""

import back_ends
import numpy as np
import pytest
from networks import build as build_engine
from networks import gate_network, train_config

from codegen.backends import BACKENDS, HandWritten
from codegen.measure import pinned
from methods.jax_network import JaxNetwork
from methods.network import discretise
from methods.torch_engine import use_threads
from methods.torch_network import TorchNetwork
from methods.train import Items, train
from tasks import TASKS
from tasks.life import CONWAY, LifeConfig, run

NETWORK_BATCH = 1024


@pytest.fixture(scope="module")
def life():
    return TASKS["life"].build(LifeConfig("life", "B3/S23", "torus", 512, 512, 0.35, 1, None))


@pytest.fixture(scope="module")
def learned(life, tmp_path_factory):
    """(network, truth tables) of Conway's rule, exact."""
    items = Items(life.train.inputs, life.train.target)
    network, parameters = gate_network([128] * 8 + [64, 32, 16, 8, 4, 2, 1], items.inputs, residual=0.908)
    engine = build_engine("torch with kernels", network, parameters, items.inputs, items.target)
    checkpoint = tmp_path_factory.mktemp("training") / "checkpoint"
    progress = train(engine, network, items, items, train_config(max_steps=10_000), 0, checkpoint)
    assert progress.best.hard_accuracy == 1.0
    return network, progress.best_tables


def build(name, life, network, tables):
    if name == "reference":
        return HandWritten(life.reference_source(), 60)
    if name == "nn-torch":
        use_threads(1)
        return TorchNetwork(network, tables, NETWORK_BATCH)
    if name == "nn-jax":
        return JaxNetwork(network, tables, NETWORK_BATCH)
    return BACKENDS[name](discretise(network, tables), 60)


@pytest.mark.parametrize(
    "name", ["nn-torch", "nn-jax", "numba", "c-naive", "c-portable", "c", *back_ends.parameters(["wasm"]), "reference"]
)
def test_step(benchmark, name, life, learned):
    with pinned():
        form = build(name, life, *learned)
        step = life.workload(None).start(form)
        step(1)
        rounds, loops = (3, 1) if name.startswith("nn") else (20, 200)
        benchmark.pedantic(step, args=(loops,), rounds=rounds, iterations=1)
        benchmark.extra_info["cells_per_round"] = loops * life.workload(None).n_items
    assert life.workload(None).verify(form, quick=True).exact


@pytest.mark.parametrize("torus", [True, False], ids=["torus", "dead"])
@pytest.mark.parametrize("name", back_ends.parameters(["c-naive", "c-portable", "c", "wasm", "numba"]))
def test_many_steps_are_exact(name, torus, life, learned):
    form = build(name, life, *learned)
    rng = np.random.default_rng(0)
    for shape in ((512, 512), (100, 37), (64, 64), (1, 1), (3, 3), (65, 2)):
        board = rng.random(shape) < 0.35
        stepper = form.stepper(board, torus)
        stepper.run(200)
        assert np.array_equal(stepper.board(), run(board, CONWAY, torus, 200)), shape
