"""The torch engine: soft training steps, hard forward, and the trained network as a back end (nn-torch)."""

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

from methods import kernels
from methods.multilinear import evaluate, monomial_coefficients
from methods.network import Network, forward
from methods.readout import bit_error
from methods.relaxations import RELAXATIONS
from methods.stencil import neighbourhoods
from methods.train import EngineState, OptimiserConfig

Bits = NDArray[np.bool_]


class TorchEngine:
    """Trains a network's theta with AdamW on the CPU.

    kernels: run the layers by the fused kernels of methods.kernels (two-input gates), instead of by torch's own operations.
    threads: of torch and of the kernels.
    """

    def __init__(
        self, network: Network, theta: NDArray[np.float32], optimiser: OptimiserConfig, threads: int, use_kernels: bool
    ) -> None:
        use_threads(threads)
        self._network = network
        self._relaxation = RELAXATIONS[network.relaxation]
        self._theta = torch.nn.Parameter(torch.tensor(theta))
        self._adamw = torch.optim.AdamW(
            [self._theta],
            lr=optimiser.learning_rate,
            betas=optimiser.betas,
            weight_decay=optimiser.weight_decay,
            eps=optimiser.epsilon,
            fused=True,
        )
        self._clip_norm = optimiser.clip_norm
        self._run = _kernel_run(network) if use_kernels else _torch_run(network)

    def step(self, bits: Bits, target: Bits) -> float:
        """One optimiser step on items, bool (item, input) and (item, output); returns the loss before it."""
        loss = bit_error(xp, self._outputs(bits), _signal_major(target))
        self._adamw.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([self._theta], self._clip_norm)
        self._adamw.step()
        return float(loss.detach())

    def soft(self, bits: Bits) -> NDArray[np.float32]:
        """Outputs of the relaxed network, float32 (item, output) in [0, 1]."""
        with torch.no_grad():
            return self._outputs(bits).numpy().T

    def hard(self, bits: Bits) -> Bits:
        """Outputs of the discretised network, bool (item, output)."""
        coefficients = torch.from_numpy(monomial_coefficients(self.tables(), self._network.arity).astype(np.float32))
        with torch.no_grad():
            return self._run(_signal_major(bits), coefficients).numpy().T > 0.5

    def tables(self) -> NDArray[np.uint64]:
        """The truth table that each row of theta discretises to, uint64 (param,)."""
        return self._relaxation.truth_tables(self._theta.detach().numpy())

    def state(self) -> EngineState:
        """Copies of all that a later step depends on, by name."""
        moments = self._adamw.state[self._theta]
        return {
            "theta": self._theta.detach().numpy().copy(),
            **{f"adamw.{name}": value.numpy().copy() for name, value in moments.items()},
        }

    def load_state(self, state: EngineState) -> None:
        """Continue from a state() of the same network."""
        with torch.no_grad():
            self._theta.copy_(torch.from_numpy(state["theta"]))
        prefix = "adamw."
        self._adamw.state[self._theta] = {
            name.removeprefix(prefix): torch.from_numpy(value.copy()) for name, value in state.items() if name.startswith(prefix)
        }

    def _outputs(self, bits: Bits) -> torch.Tensor:
        coefficients = self._relaxation.coefficients(xp, self._theta, self._network.temperature)
        return self._run(_signal_major(bits), coefficients)


def use_threads(threads: int) -> None:
    """Threads of torch's operations and of the kernels, in this process."""
    # Threads inherit this from the one that starts them. Left alone, it depends on what was loaded before, and so would
    # the last bits of gradients too small for a normal float.
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    kernels.set_threads(threads)


def _signal_major(bits: Bits) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(bits.T, dtype=np.float32))


def _take(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return x.index_select(0, rows)


def _torch_run(network: Network) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """(x (input, item), coefficients (param, 2**k)) -> (output, item), by torch's own operations."""
    layers = [
        ([torch.from_numpy(column.astype(np.int64)) for column in layer.fan_in.T], torch.from_numpy(layer.param.astype(np.int64)))
        for layer in network.layers
    ]

    def run(x: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
        return forward(evaluate, _take, [(columns, _take(coefficients, param)) for columns, param in layers], x)

    return run


def _kernel_run(network: Network) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The same by the fused kernels."""
    plan = kernels.Plan(network)

    def run(x: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
        return _KernelNetwork.apply(x, coefficients, plan)  # type: ignore[no-untyped-call]

    return run


class _KernelNetwork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, coefficients: torch.Tensor, plan: kernels.Plan) -> torch.Tensor:
        ctx.plan = plan
        ctx.save_for_backward(x, coefficients)
        return torch.from_numpy(plan.forward(x.numpy(), coefficients.detach().numpy()).copy())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[None, torch.Tensor, None]:
        x, coefficients = ctx.saved_tensors
        grad = ctx.plan.backward(x.numpy(), coefficients.detach().numpy(), grads[0].contiguous().numpy())
        return None, torch.from_numpy(grad), None


class TorchNetwork:
    """The trained network itself as a back end: its hard forward in float32, by torch's own operations.

    batch: items run at once; None runs all. compiled: by torch.compile, which needs a C++ compiler.
    """

    def __init__(self, network: Network, tables: NDArray[np.uint64], batch: int | None = None, compiled: bool = False) -> None:
        self.batch = batch
        coefficients = torch.from_numpy(monomial_coefficients(tables, network.arity).astype(np.float32))
        run = _torch_run(network)

        def hard(x: torch.Tensor) -> torch.Tensor:
            return run(x, coefficients)

        self._hard = torch.compile(hard) if compiled else hard

    def evaluate(self, bits: Bits) -> Bits:
        with torch.inference_mode():
            return self._in_batches(_signal_major(bits)).numpy().T > 0.5

    def stepper(self, board: Bits, torus: bool) -> "_TorchStepper":
        return _TorchStepper(self, board, torus)

    def _in_batches(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._hard(part) for part in torch.split(x, self.batch or x.shape[1], dim=1)], dim=1)


def compiled(network: Network, tables: NDArray[np.uint64], batch: int | None) -> TorchNetwork:
    """The same through torch.compile, compiled on return. Raises CompileUnavailableError if that does not work here."""
    form = TorchNetwork(network, tables, batch, compiled=True)
    try:
        form.evaluate(np.zeros((batch or 1, network.n_inputs), dtype=bool))
    except RuntimeError as error:  # InductorError and the like: no C++ compiler, no Python headers, ...
        raise CompileUnavailableError(str(error).strip().splitlines()[0]) from error
    return form


class CompileUnavailableError(RuntimeError):
    """torch.compile does not work on this machine; the message is its first line."""


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
