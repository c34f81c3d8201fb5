"""Small networks, engines and trainings, and the noise as each engine sees it, for the tests of methods."""

from dataclasses import replace

import array_api_compat.torch as torch_namespace
import jax
import jax.numpy as jnp
import numpy as np
import torch

from methods.base import Problem
from methods.engine import EngineConfig, OptimiserConfig, build_engine
from methods.gates import GatesConfig, ThresholdConfig, build_gates
from methods.network import Choice, Layer, Network, columns
from methods.relaxations import RELAXATIONS
from methods.smoothing import Smoothing, step_key
from methods.train import TrainConfig

# The forms of an engine, as build takes them.
FORMS = ("torch with kernels", "torch", "jax")
NAMESPACES = {"numpy": np, "torch": torch_namespace, "jax": jnp}
# Every relaxation at every arity, (relaxation, arity).
GATES = [(name, arity) for name, relaxation in RELAXATIONS.items() for arity in relaxation.ARITIES]

ADAMW = OptimiserConfig(learning_rate=0.05, betas=(0.9, 0.99), weight_decay=0.03, epsilon=1e-12, clip_norm=100.0)
# With an epsilon far below the gradients AdamW turns one that is only rounding into a whole step; to compare parameters, not.
STEADY = replace(ADAMW, epsilon=1e-3)


def gates_config(**changes):
    settings = {
        "name": changes.get("relaxation", "dlgn"),
        "relaxation": "dlgn",
        "arity": 2,
        "convolutions": [],
        "wiring": "unique",
        "candidates": 1,
        "choice_temperature": 1.0,
        "widths": [12, 8],
        "residual": None,
        "temperature": 1.0,
        "votes": 1,
        "group_temperature": None,
        "smoothing": "soft",
        "thresholds": None,
    }
    return GatesConfig(**{**settings, **changes})


def gate_network(widths=(12, 8), inputs=9, n_outputs=1, seed=0, classes=False, places=None, **changes):
    """A built network and its parameters. inputs: the items, or how many bits there are; classes: n_outputs are classes."""
    items = np.zeros((1, inputs), dtype=bool) if isinstance(inputs, int) else inputs
    problem = Problem(n_outputs, classes, places)
    return build_gates(gates_config(widths=list(widths), **changes), items, problem, np.random.default_rng(seed))


def random_network(relaxation, arity, n_inputs, widths, seed=0, temperature=1.0):
    """Wired at random: gates that read a signal twice, signals that nobody reads; each row has a parameter of its own."""
    rng = np.random.default_rng(seed)
    layers, n_params, n_signals = [], 0, n_inputs
    for width in widths:
        fan_in = rng.integers(0, n_signals, (width, arity), dtype=np.int32)
        layers.append(Layer(fan_in, np.arange(n_params, n_params + width, dtype=np.int32)))
        n_params, n_signals = n_params + width, width
    network = Network(relaxation, n_inputs, tuple(layers), temperature)
    return network, {"theta": RELAXATIONS[relaxation].init(rng, n_params, arity, temperature, None)}


def shared_network(relaxation="dlgn", arity=2, temperature=1.0):
    """Rows share parameters within a layer, as the positions of a convolution kernel do, and with other layers; some are pooled,
    and some read what lies beyond an edge."""
    rng = np.random.default_rng(3)
    params = ([0, 0, 0, 0, 1, 1, 2, 2], [3, 6, 3, 0, 5, 3], [2, 2, 6, 1])
    pools = ([[0, 1, 2], [3, 3, 3], [4, 5, 7], [6, 7, 7], [2, 1, 5]], None, [[0, 1], [1, 2], [2, 3], [3, 3]])
    layers, n_signals = [], 5
    for param, pool, padded in zip(params, pools, (True, True, False), strict=True):
        fan_in = rng.integers(0, n_signals, (len(param), arity), dtype=np.int32)
        if padded:
            fan_in[1::3, 0] = n_signals
        pool = None if pool is None else np.array(pool, dtype=np.int32)
        layers.append(Layer(fan_in, np.array(param, dtype=np.int32), pool, padded))
        n_signals = layers[-1].n_signals
    network = Network(relaxation, 5, tuple(layers), temperature)
    return network, {"theta": RELAXATIONS[relaxation].init(rng, 8, arity, temperature, None)}


def choosing(network, parameters, n, seed=0):
    """The network with n candidates for each input of each gate, drawn at random, and logits of each choice; rows that share
    parameters share their choice."""
    rng = np.random.default_rng(seed)
    layers = []
    for layer, n_signals in zip(network.layers, network.sources(), strict=True):
        drawn = rng.integers(0, n_signals + layer.padded, (*layer.fan_in.shape, n), dtype=np.int32)
        layers.append(replace(layer, fan_in=drawn[:, :, 0], choice=Choice(drawn, layer.param)))
    n_choices = 1 + max(layer.param.max() for layer in network.layers)
    logits = rng.standard_normal((n_choices, network.arity, n)).astype(np.float32)
    return replace(network, layers=tuple(layers), choice_temperature=0.7), {**parameters, "choice": logits}


def items(n_items, n_inputs, n_outputs, seed=0, real=False):
    """Training items drawn at random: inputs, bits or real-valued, and target."""
    rng = np.random.default_rng(seed)
    inputs = rng.random((n_items, n_inputs), dtype=np.float32) if real else rng.random((n_items, n_inputs)) < 0.5
    return inputs, rng.random((n_items, n_outputs)) < 0.5


def learnable(
    relaxation="dlgn", arity=2, smoothing="soft", real=False, widths=(8,), n_items=40, temperature=1.0, seed=0, candidates=1
):
    """(network, parameters, inputs, target) of a training; real-valued inputs go through learned thresholds. Where there are
    candidates, the choice among them is not decided by a tie."""
    inputs, target = items(n_items, 5, 4, seed, real)
    network, parameters = gate_network(
        widths, inputs, 4, seed, relaxation=relaxation, arity=arity, smoothing=smoothing, temperature=temperature,
        thresholds=ThresholdConfig(bits=3, softness=0.1) if real else None, candidates=candidates,
    )  # fmt: skip
    if candidates > 1:
        logits = np.random.default_rng(seed).standard_normal(parameters["choice"].shape).astype(np.float32)
        parameters = {**parameters, "choice": logits}
    return network, parameters, inputs, target


def build(form, network, parameters, inputs, target, optimiser=ADAMW, seed=0, threads=2, trained=None):
    config = EngineConfig(form.split()[0], threads, form == "torch with kernels", "cpu")
    return build_engine(config, network, parameters, optimiser, inputs, target, seed, trained)


def train_config(**changes):
    settings = {
        "max_steps": 40,
        "max_seconds": 600.0,
        "batch_size": None,
        "schedule": "constant",
        "warmup_steps": 0,
        "evaluate_every": 5,
        "confirm": 1,
        "patience": 0,
        "checkpoint_seconds": 600.0,
        "kernels": True,
        "device": "cpu",
        "optimiser": ADAMW,
    }
    return TrainConfig(**{**settings, **changes})


def rates(n, rate=0.05):
    return np.full(n, rate, dtype=np.float32)


def same_states(first, second):
    """Whether two engine states, or any two dicts of arrays, are the same to the bit."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def torch_columns(network):
    """The layers in torch's arrays, as methods.network.relaxed wants them."""
    return columns(network, lambda index: torch.from_numpy(index.astype(np.int64)))


def take(x, rows):
    return x[rows]


def smoothing(mode, seed=0, step=0, engine="torch"):
    """A step's smoothing in the arrays of numpy, torch or jax."""
    if engine == "jax":
        counters, stop, to_float = jnp.arange, jax.lax.stop_gradient, lambda x: x.astype(jnp.float32)
        key = step_key(seed, jnp.asarray(step, dtype=jnp.uint32))
        return Smoothing(mode, key, lambda start, n: counters(start, start + n, dtype=jnp.uint32), stop, to_float)
    if engine == "torch":
        counters, stop, to_float = torch.arange, torch.Tensor.detach, lambda x: x.to(torch.float32)
    else:
        counters, stop, to_float = np.arange, np.copy, lambda x: x.astype(np.float32)
    return Smoothing(mode, step_key(seed, step), lambda start, n: counters(start, start + n), stop, to_float)
