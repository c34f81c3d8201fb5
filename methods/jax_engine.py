"""The jax engine: runs of steps compiled whole by XLA, one lax.scan over the batches."""

import os
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from methods import readout
from methods.engine import Bits, EngineState, Inputs, OptimiserConfig, Steps
from methods.multilinear import evaluate, monomial_coefficients
from methods.network import Columns, Network, Parameters, columns, forward, relaxed, summed, wired
from methods.relaxations import RELAXATIONS
from methods.smoothing import Smoothing, step_key
from methods.thresholds import bits


class JaxEngine:
    """Trains with AdamW (optax). All that changes is one tree, so a run of steps is one call of one compiled function."""

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        optimiser: OptimiserConfig,
        inputs: Inputs,
        target: Bits,
        seed: int,
        threads: int,
        trained: Network,
    ) -> None:
        """trained: network, or another of the same parameters, which training items are for."""
        _use_threads(threads)
        self._network = network
        self._relaxation = RELAXATIONS[network.relaxation]
        # Index arrays are arguments of the compiled functions, not constants in them: XLA would fold them at great length.
        self._layers = columns(network, jnp.asarray)
        self._trained_layers = self._layers if trained is network else columns(trained, jnp.asarray)
        self._data = jnp.asarray(_signal_major(inputs)), jnp.asarray(_signal_major(target))
        self._optimiser = optax.chain(
            optax.clip_by_global_norm(optimiser.clip_norm),
            optax.scale_by_adam(*optimiser.betas, eps=optimiser.epsilon),
            optax.add_decayed_weights(optimiser.weight_decay, mask={name: name == "theta" for name in parameters}),
        )
        values = {name: jnp.asarray(value) for name, value in parameters.items()}
        norms = jnp.full(len(network.layers), jnp.nan, dtype=jnp.float32)
        self._carry = values, self._optimiser.init(values), jnp.asarray(0, dtype=jnp.uint32), norms
        self._run = jax.jit(partial(_run, trained, self._optimiser, seed, [layer.params for layer in network.layers]))
        self._soft = jax.jit(partial(_outputs, network))
        self._hard = jax.jit(partial(_hard, network))

    def prepare(self, batch_size: int | None, n_steps: int) -> float:
        started = time.perf_counter()
        batches = None if batch_size is None else jnp.zeros((n_steps, batch_size), dtype=jnp.int32)
        self._run.lower(self._trained_layers, *self._data, self._carry, batches, jnp.zeros(n_steps, dtype=jnp.float32)).compile()
        return time.perf_counter() - started

    def run(self, batches: NDArray[np.int64] | None, rates: NDArray[np.float32]) -> Steps:
        indices = None if batches is None else jnp.asarray(batches, dtype=jnp.int32)
        self._carry, (losses, finite) = self._run(self._trained_layers, *self._data, self._carry, indices, jnp.asarray(rates))
        bad = np.flatnonzero(~np.asarray(finite))
        until = bad[0] + 1 if len(bad) else len(rates)
        return Steps(np.asarray(losses)[:until], not len(bad))

    def soft(self, inputs: Inputs) -> NDArray[np.float32]:
        return np.asarray(self._soft(self._wired(), self._carry[0], jnp.asarray(_signal_major(inputs)))).T

    def hard(self, inputs: Inputs) -> NDArray[np.float32]:
        tables = self._relaxation.truth_tables(np.asarray(self._carry[0]["theta"]))
        coefficients = monomial_coefficients(tables, self._network.arity).astype(np.float32)
        outputs = self._hard(self._wired(), coefficients, self._carry[0], jnp.asarray(_signal_major(inputs)))
        return np.asarray(outputs).T

    def _wired(self) -> list[Columns]:
        """The layers as they are evaluated."""
        if "choice" not in self._carry[0]:
            return self._layers
        return columns(wired(self._network, self.parameters()), jnp.asarray)

    def parameters(self) -> Parameters:
        return {name: np.array(value) for name, value in self._carry[0].items()}

    def gradient_norms(self) -> NDArray[np.float32]:
        return np.array(self._carry[3])

    def state(self) -> EngineState:
        trained, optimiser, step, _ = self._carry
        adam = _adam(optimiser)
        state: EngineState = {"step": np.array([int(step)])}
        for name in trained:
            state[name] = np.array(trained[name])
            state[f"{name}.first"], state[f"{name}.second"] = np.array(adam.mu[name]), np.array(adam.nu[name])
        return state

    def load_state(self, state: EngineState) -> None:
        trained, optimiser, _, norms = self._carry
        names = list(trained)
        adam = _adam(optimiser)._replace(
            count=jnp.asarray(int(state["step"][0]), dtype=jnp.int32),
            mu={name: jnp.asarray(state[f"{name}.first"]) for name in names},
            nu={name: jnp.asarray(state[f"{name}.second"]) for name in names},
        )
        optimiser = tuple(adam if isinstance(part, optax.ScaleByAdamState) else part for part in optimiser)
        loaded = {name: jnp.asarray(state[name]) for name in names}
        self._carry = loaded, optimiser, jnp.asarray(int(state["step"][0]), dtype=jnp.uint32), norms


def _use_threads(threads: int) -> None:
    """Threads of XLA in this process, where the system lets a process choose its cores. Only the first call counts.

    XLA has no setting for it. It makes its threads once, as many as there are cores it may use, and they stay on those.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        jax.devices()
    finally:
        os.sched_setaffinity(0, allowed)


def _adam(optimiser: Any) -> optax.ScaleByAdamState:
    return next(part for part in optimiser if isinstance(part, optax.ScaleByAdamState))


def _run(
    network: Network,
    optimiser: Any,
    seed: int,
    normed: list[NDArray[np.int32]],
    layers: Any,
    x: Any,
    target: Any,
    carry: Any,
    batches: Any,
    rates: Any,
) -> Any:
    """Steps in one scan; a step whose loss or gradient is not finite changes nothing, nor do those after it.

    normed: the rows of theta of each layer whose gradient's norm is wanted.
    """

    def step(carry: Any, now: Any) -> Any:
        (trained, state, count, norms), alive = carry
        rate, batch = now

        def loss_of(trained: Any) -> Any:
            items, wanted = (x, target) if batch is None else (x[:, batch], target[:, batch])
            smoothing = _smoothing(network.smoothing, step_key(seed, count))
            return readout.loss(jnp, network.readout, _outputs(network, layers, trained, items, smoothing), wanted)

        loss, grads = jax.value_and_grad(loss_of)(trained)
        finite = alive & jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(grads))
        updates, next_state = optimiser.update(grads, state, trained)
        moved = jax.tree.map(lambda value, update: value - rate * update, trained, updates)
        new_norms = jnp.stack([jnp.linalg.norm(grads["theta"][params]) for params in normed])
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), (moved, next_state), (trained, state))
        next_carry = (*kept, count + finite.astype(jnp.uint32), jnp.where(alive, new_norms, norms))
        return (next_carry, finite), (loss, finite)

    (carry, _), readings = jax.lax.scan(step, (carry, jnp.asarray(True)), (rates, batches))
    return carry, readings


def _outputs(network: Network, layers: Any, trained: Any, x: Any, smoothing: Smoothing | None = None) -> Any:
    *_, last = relaxed(jnp, _take, network, layers, trained, x, smoothing)
    return summed(network.members(), last)


def _hard(network: Network, layers: list[Columns], coefficients: Any, trained: Any, x: Any) -> Any:
    if network.thresholds is not None:
        x = bits(jnp, trained["thresholds"], x, network.thresholds)[1].astype(jnp.float32)
    gates = [of._replace(gates=_take(coefficients, of.gates)) for of in layers]
    return summed(network.members(), forward(jnp, evaluate, _take, network, gates, x))


def _smoothing(mode: str, key: Any) -> Smoothing:
    return Smoothing(
        mode,
        key,
        lambda start, n: jnp.arange(start, start + n, dtype=jnp.uint32),
        jax.lax.stop_gradient,
        lambda value: value.astype(jnp.float32),
    )


def _take(x: jax.Array, rows: jax.Array) -> jax.Array:
    return x.at[rows].get(mode="promise_in_bounds")


def _signal_major(items: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(items.T, dtype=np.float32)
