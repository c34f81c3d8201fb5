"""The torch engine: the fused kernels on the CPU, torch's own operations elsewhere and to compare."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

from methods import kernels, readout
from methods.engine import Bits, EngineError, EngineState, Inputs, OptimiserConfig, Steps
from methods.multilinear import evaluate, monomial_coefficients
from methods.network import Model, Network, Parameters, columns, forward, relaxed, summed, wired
from methods.ordinary import Ordinary
from methods.plan import Plan
from methods.relaxations import RELAXATIONS
from methods.simd import LANES
from methods.smoothing import Smoothing, step_key
from methods.thresholds import bits

# Most items evaluated at once, and most memory for their activations: those of more would need memory that training does not.
_EVALUATED_AT_ONCE = 1024
_EVALUATED_BYTES = 1 << 29


class TorchEngine(ABC):
    """Trains with AdamW. What is trained, and its values, are a subclass's."""

    def __init__(
        self,
        network: Model,
        parameters: Parameters,
        decayed: set[str],
        optimiser: OptimiserConfig,
        inputs: Inputs,
        target: Bits,
        threads: int,
        device: str,
    ) -> None:
        use_threads(threads)
        self._readout = network.readout
        self._device = _device(device)
        self._steps = 0
        self._parameters = {
            # Contiguous, as states are loaded: the fused AdamW pairs values and moments in the order of memory.
            name: torch.nn.Parameter(torch.tensor(np.ascontiguousarray(value), device=self._device))
            for name, value in parameters.items()
        }
        groups = [
            {"params": [value], "weight_decay": optimiser.weight_decay if name in decayed else 0.0}
            for name, value in self._parameters.items()
        ]
        self._adamw = torch.optim.AdamW(
            groups, lr=optimiser.learning_rate, betas=optimiser.betas, eps=optimiser.epsilon, fused=True
        )
        self._clip_norm = optimiser.clip_norm
        self._evaluated_at_once = _EVALUATED_AT_ONCE
        self._scale = 1.0  # by which the last gradient was divided to clip it
        # Items as they came, a quarter of their float32 size if they are bits; signal-major floats only of what a step uses.
        self._inputs, self._target = inputs, target
        self._all: tuple[torch.Tensor, torch.Tensor] | None = None

    @abstractmethod
    def _training_values(self, x: torch.Tensor) -> torch.Tensor:
        """(input, item) -> (value, item), with what only training adds."""

    @abstractmethod
    def soft(self, inputs: Inputs) -> NDArray[np.float32]: ...

    @abstractmethod
    def hard(self, inputs: Inputs) -> NDArray[np.float32]: ...

    @abstractmethod
    def gradient_norms(self) -> NDArray[np.float32]: ...

    def prepare(self, batch_size: int | None, n_steps: int) -> float:  # noqa: ARG002, torch compiles no runs
        started = time.perf_counter()
        self._loss(None if batch_size is None else np.zeros(batch_size, dtype=np.int64)).backward()
        self._adamw.zero_grad()
        return time.perf_counter() - started

    def run(self, batches: NDArray[np.int64] | None, rates: NDArray[np.float32]) -> Steps:
        losses = []
        for index, rate in enumerate(rates):
            self._adamw.zero_grad()
            loss = self._loss(None if batches is None else batches[index])
            loss.backward()
            norm = float(torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), self._clip_norm))
            self._scale = max(1.0, (norm + 1e-6) / self._clip_norm)  # as clip_grad_norm_ has it
            losses.append(float(loss.detach()))
            if not (np.isfinite(losses[-1]) and np.isfinite(norm)):
                return Steps(np.array(losses, dtype=np.float32), False)
            for group in self._adamw.param_groups:
                group["lr"] = float(rate)
            self._adamw.step()
            self._steps += 1
        return Steps(np.array(losses, dtype=np.float32), True)

    def parameters(self) -> Parameters:
        return {name: value.detach().cpu().numpy().copy() for name, value in self._parameters.items()}

    def state(self) -> EngineState:
        state: EngineState = {"step": np.array([self._steps])}
        for name, value in self._parameters.items():
            moments = self._adamw.state[value]
            zero = torch.zeros_like(value)
            state[name] = value.detach().cpu().numpy().copy()
            state[f"{name}.first"] = moments.get("exp_avg", zero).detach().cpu().numpy().copy()
            state[f"{name}.second"] = moments.get("exp_avg_sq", zero).detach().cpu().numpy().copy()
        return state

    def load_state(self, state: EngineState) -> None:
        self._steps = int(state["step"][0])
        for name, value in self._parameters.items():
            with torch.no_grad():
                value.copy_(torch.from_numpy(state[name]))
            self._adamw.state[value] = {
                "step": torch.tensor(float(self._steps), device=self._device),
                "exp_avg": torch.from_numpy(state[f"{name}.first"].copy()).to(self._device),
                "exp_avg_sq": torch.from_numpy(state[f"{name}.second"].copy()).to(self._device),
            }

    def _loss(self, batch: NDArray[np.int64] | None) -> torch.Tensor:
        """batch: indices of the items, None for all."""
        if batch is not None:
            x, target = self._signal_major(self._inputs[batch]), self._signal_major(self._target[batch])
        else:
            self._all = self._all or (self._signal_major(self._inputs), self._signal_major(self._target))
            x, target = self._all
        return readout.loss(xp, self._readout, self._training_values(x), target)

    def _evaluate(self, inputs: Inputs, run: Callable[[torch.Tensor], torch.Tensor]) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = torch.split(self._signal_major(inputs), self._evaluated_at_once, dim=1)
            return torch.cat([run(part.contiguous()) for part in parts], dim=1).cpu().numpy().T

    def _signal_major(self, items: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(items.T, dtype=np.float32)).to(self._device)


class TorchGates(TorchEngine):
    """Logic-gate networks. use_kernels: run the gates by methods.kernels, on the CPU only. seed: of the smoothing's noise.
    trained: network, or another of the same parameters, which training items are for."""

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        optimiser: OptimiserConfig,
        inputs: Inputs,
        target: Bits,
        threads: int,
        device: str,
        seed: int,
        use_kernels: bool,
        trained: Network,
    ) -> None:
        super().__init__(network, parameters, {"theta"}, optimiser, inputs, target, threads, device)
        self._network = network
        self._relaxation = RELAXATIONS[network.relaxation]
        self._seed = seed
        self._use_kernels = use_kernels and self._device.type == "cpu"
        self._form = self._form_of(network)
        self._trained = self._form if trained is network else self._form_of(trained)
        of_item = 4 * (network.n_inputs + network.n_gates)
        self._evaluated_at_once = max(LANES, min(_EVALUATED_AT_ONCE, _EVALUATED_BYTES // of_item))

    def hard(self, inputs: Inputs) -> NDArray[np.float32]:
        theta = self._parameters["theta"].detach().cpu().numpy()
        tables = self._relaxation.truth_tables(theta)
        exact = monomial_coefficients(tables, self._network.arity).astype(np.float32)
        coefficients = torch.from_numpy(exact).to(self._device)

        def run(x: torch.Tensor) -> torch.Tensor:
            if self._network.thresholds is not None:
                x = bits(xp, self._parameters["thresholds"], x, self._network.thresholds)[1].to(torch.float32)
            return form.hard(coefficients, x)

        form = self._wired()
        return self._evaluate(inputs, run)

    def gradient_norms(self) -> NDArray[np.float32]:
        grad = self._parameters["theta"].grad
        if grad is None:
            return np.full(len(self._network.layers), np.nan, dtype=np.float32)
        of_params = grad.detach().cpu().numpy()
        norms = [self._scale * np.linalg.norm(of_params[layer.params]) for layer in self._network.layers]
        return np.array(norms, dtype=np.float32)

    def soft(self, inputs: Inputs) -> NDArray[np.float32]:
        form = self._wired()
        return self._evaluate(inputs, lambda x: form.values(self._parameters, x, None))

    def _training_values(self, x: torch.Tensor) -> torch.Tensor:
        return self._trained.values(self._parameters, x, self._smoothing())

    def _form_of(self, network: Network) -> "_Kernels | Operations":
        return _Kernels(network) if self._use_kernels else Operations(network, self._device)

    def _wired(self) -> "_Kernels | Operations":
        """What evaluates the network as it is now."""
        return self._form_of(wired(self._network, self.parameters())) if "choice" in self._parameters else self._form

    def _smoothing(self) -> Smoothing:
        return Smoothing(
            self._network.smoothing,
            step_key(self._seed, self._steps),
            lambda start, n: torch.arange(start, start + n, device=self._device),
            torch.Tensor.detach,
            lambda x: x.to(torch.float32),
        )


class TorchOrdinary(TorchEngine):
    """Ordinary networks. Weights decay, biases do not. On one thread: torch's products of matrices add up in an order that
    depends on how many there are, and a seed's result must not."""

    def __init__(
        self,
        network: Ordinary,
        parameters: Parameters,
        optimiser: OptimiserConfig,
        inputs: Inputs,
        target: Bits,
        device: str,
    ) -> None:
        decayed = {name for name in parameters if name.startswith("weight")}
        super().__init__(network, parameters, decayed, optimiser, inputs, target, 1, device)
        self._network = network

    def soft(self, inputs: Inputs) -> NDArray[np.float32]:
        return self._evaluate(inputs, self._training_values)

    def hard(self, inputs: Inputs) -> NDArray[np.float32]:
        return self.soft(inputs)

    def gradient_norms(self) -> NDArray[np.float32]:
        grads = [value.grad for value in self._parameters.values()]
        norms = [np.nan if grad is None else self._scale * float(torch.linalg.vector_norm(grad)) for grad in grads]
        return np.array(norms, dtype=np.float32)

    def _training_values(self, x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self._network.values(self._parameters, x)
        return values


def use_threads(threads: int) -> None:
    """Threads of torch's operations and of the kernels, in this process."""
    # Threads inherit this from the one that starts them. Left alone, it depends on what was loaded before, and so would
    # the last bits of gradients too small for a normal float.
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    kernels.set_threads(threads)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineError("train.device=cuda, but torch finds no CUDA device here. Use train.device=auto or cpu.")
    return torch.device(name)


def _take(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return x.index_select(0, rows)


class Operations:
    """A network's outputs by torch's own operations."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self._network = network
        self._layers = columns(network, lambda index: torch.from_numpy(index.astype(np.int64)).to(device))
        members = network.members()
        self._members = None if members is None else torch.from_numpy(members).to(device)

    def values(self, parameters: Any, x: torch.Tensor, smoothing: Smoothing | None) -> torch.Tensor:
        """x (input, item), or (feature, item) where there are thresholds -> (value, item), of the relaxed network."""
        *_, last = relaxed(xp, _take, self._network, self._layers, parameters, x, smoothing)
        return summed(self._members, last)

    def hard(self, coefficients: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The same of bits and the polynomials of truth tables, (param, 2**k)."""
        layers = [of._replace(gates=_take(coefficients, of.gates)) for of in self._layers]
        values: torch.Tensor = summed(self._members, forward(xp, evaluate, _take, self._network, layers, x))
        return values


class _Kernels:
    """The same by the fused kernels."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._relaxation = RELAXATIONS[network.relaxation]
        self._plan = Plan(network, self._relaxation.SIGMOID)

    def hard(self, coefficients: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._plan.forward(x.numpy(), coefficients.numpy(), activation=False))

    def values(self, parameters: Any, x: torch.Tensor, smoothing: Smoothing | None) -> torch.Tensor:
        network = self._network
        if network.thresholds is not None:
            soft, true = bits(xp, parameters["thresholds"], x, network.thresholds)
            x = soft if smoothing is None else smoothing.harden(soft, true)
        theta = parameters["theta"]
        hard = smoothing is not None and smoothing.hard
        noise, key = 0.0, 0
        if smoothing is not None and smoothing.noisy:
            noise, key = 1 / network.temperature, smoothing.key  # of the sigmoid; where there is none, coefficients have it
        if network.relaxation == "dlgn":  # whose softmax is fused
            if smoothing is not None and smoothing.noisy:
                theta = theta + smoothing.gumbel(xp, *theta.shape)
            coefficients = _Softmax.apply(theta, network.temperature, hard, torch.is_grad_enabled())
        else:
            coefficients = self._relaxation.coefficients(xp, theta, network.temperature, smoothing)
        logits = None
        if self._plan.n_choices > 0:
            logits = parameters["choice"]
            self._plan.choose(logits.detach().numpy())
        return _Gates.apply(x, coefficients, logits, self._plan, hard, noise, key)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, temperature: float, hard: bool, keep: bool) -> torch.Tensor:
        ctx.weights = np.empty(logits.shape, dtype=np.float32) if keep else None
        ctx.temperature = temperature
        return torch.from_numpy(kernels.softmax_coefficients(logits.detach().numpy(), temperature, hard, ctx.weights))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        # Given away, so that autograd keeps it as the gradient instead of a copy: it is as large as the parameters.
        weights, ctx.weights = ctx.weights, None
        kernels.softmax_gradient(weights, ctx.temperature, grads[0].contiguous().numpy())
        return torch.from_numpy(weights), None, None, None


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        coefficients: torch.Tensor,
        logits: torch.Tensor | None,  # noqa: ARG004, of the choices, which the plan has made of them
        plan: Plan,
        hard: bool,
        noise: float,
        key: int,
    ) -> torch.Tensor:
        ctx.plan, ctx.hard = plan, hard
        ctx.save_for_backward(coefficients)
        values = plan.forward(x.detach().numpy(), coefficients.detach().numpy(), hard=hard, noise=noise, key=key)
        return torch.from_numpy(values)

    @staticmethod
    def backward(
        ctx: Any, *grads: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor | None, None, None, None, None]:
        (coefficients,) = ctx.saved_tensors
        to_coefficients, to_inputs, to_logits = ctx.plan.backward(
            coefficients.detach().numpy(), grads[0].contiguous().numpy(), hard=ctx.hard, want_inputs=ctx.needs_input_grad[0]
        )
        to_x = None if to_inputs is None else torch.from_numpy(to_inputs)
        to_logits = None if to_logits is None else torch.from_numpy(to_logits)
        return to_x, torch.from_numpy(to_coefficients), to_logits, None, None, None, None
