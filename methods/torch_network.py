"""The trained network as a back end in torch (nn-torch): its hard forward, eager or through torch.compile."""

from collections.abc import Callable
from dataclasses import dataclass

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

from methods import readout
from methods.multilinear import monomial_coefficients
from methods.network import Model, Network, Parameters, answers
from methods.ordinary import Ordinary
from methods.stencil import neighbourhoods
from methods.torch_engine import Operations

Bits = NDArray[np.bool_]


Learned = NDArray[np.uint64] | Parameters  # a Network's truth tables, (param,), or what an ordinary one has learned


class TorchNetwork:
    """The trained network itself as a back end: its hard forward in float32, by torch's own operations.

    batch: items run at once; None runs all. compiled: by torch.compile, which needs a C++ compiler.
    """

    def __init__(self, network: Model, learned: Learned, batch: int | None = None, compiled: bool = False) -> None:
        self._network = network
        self._batch_size = batch
        values = _gates(network, learned) if isinstance(network, Network) else _ordinary(network, learned)

        def hard(x: torch.Tensor) -> torch.Tensor:
            said: torch.Tensor = readout.said(xp, network.readout, values(x))
            return said

        self._hard = torch.compile(hard) if compiled else hard

    def evaluate(self, bits: Bits) -> Bits:
        batch = self.batch(bits)
        batch.run(1)
        return batch.outputs()

    def batch(self, bits: Bits) -> "_TorchBatch":
        """The items, bool (item, input), in parts of the batch size, so that the network only ever sees items of one shape."""
        size = self._batch_size or max(1, len(bits))
        n_parts = max(1, -(-len(bits) // size))
        items = np.zeros((n_parts * size, bits.shape[1]), dtype=np.float32)
        items[: len(bits)] = bits
        parts = items.reshape(n_parts, size, -1).transpose(0, 2, 1)
        return _TorchBatch(
            self._hard,
            [torch.from_numpy(np.ascontiguousarray(part)) for part in parts],
            [torch.zeros_like(self._hard(torch.zeros(bits.shape[1], size)))] * n_parts,
            self._network,
            len(bits),
        )

    def stepper(self, board: Bits, torus: bool) -> "_TorchStepper":
        return _TorchStepper(self, board, torus)

    def _in_batches(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._hard(part) for part in torch.split(x, self._batch_size or x.shape[1], dim=1)], dim=1)


def compiled(network: Model, learned: Learned, batch: int | None) -> TorchNetwork:
    """The same through torch.compile, compiled on return. Raises CompileUnavailableError if that does not work here."""
    form = TorchNetwork(network, learned, batch, compiled=True)
    try:
        form.evaluate(np.zeros((batch or 1, network.n_inputs), dtype=bool))
    except RuntimeError as error:  # InductorError and the like: no C++ compiler, no Python headers, ...
        raise CompileUnavailableError(str(error).strip().splitlines()[0]) from error
    return form


class CompileUnavailableError(RuntimeError):
    """torch.compile does not work on this machine; the message is its first line."""


@dataclass
class _TorchBatch:
    """parts: float32 (input, item) each, the last filled up with zeros; out: what is said of each (readout.said)."""

    hard: Callable[[torch.Tensor], torch.Tensor]
    parts: list[torch.Tensor]
    out: list[torch.Tensor]
    network: Model
    n_items: int

    def run(self, times: int) -> None:
        with torch.inference_mode():
            for _ in range(times):
                self.out = [self.hard(part) for part in self.parts]

    def outputs(self) -> Bits:
        return answers(self.network, torch.cat(self.out, dim=-1).numpy()[..., : self.n_items])


class _TorchStepper:
    def __init__(self, network: TorchNetwork, board: Bits, torus: bool) -> None:
        self._network, self._torus = network, torus
        self._now = torch.from_numpy(board.astype(np.float32))

    def run(self, steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                items = neighbourhoods(xp, self._now, self._torus)
                self._now = self._network._in_batches(items).reshape(self._now.shape)

    def board(self) -> Bits:
        return self._now.numpy() > 0.5


def _gates(network: Network, learned: Learned) -> Callable[[torch.Tensor], torch.Tensor]:
    """x (input, item) -> (value, item), of the gates with the truth tables that were learned."""
    assert isinstance(learned, np.ndarray)
    coefficients = torch.from_numpy(monomial_coefficients(learned, network.arity).astype(np.float32))
    operations = Operations(network, torch.device("cpu"))
    return lambda x: operations.hard(coefficients, x)


def _ordinary(network: Model, learned: Learned) -> Callable[[torch.Tensor], torch.Tensor]:
    """x (input, item) -> (value, item), of an ordinary network with the parameters that were learned."""
    assert isinstance(network, Ordinary)
    assert isinstance(learned, dict)
    parameters = {name: torch.from_numpy(value) for name, value in learned.items()}

    def values(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = network.values(parameters, x)
        return found

    return values
