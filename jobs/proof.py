"""The forms of a job are right before anything is said of their speed: each is held to the circuit's oracle and the task's."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codegen.backends import Executable
from codegen.circuit import Circuit
from codegen.equivalence import compare
from codegen.lower_readout import lowered
from jobs.training import Learned
from methods.ordinary import Ordinary
from reports.record import Row
from tasks import Task

Bits = NDArray[np.bool_]

NETWORK_BACKENDS = ("nn-torch", "nn-jax")  # the trained network in a framework, in floating point


class CircuitProof:
    """Every form of a circuit must agree with its oracle on inputs, and with the task's on the work that is timed."""

    def __init__(self, task: Task, circuit: Circuit) -> None:
        self.task = task
        self.workload = task.workload(circuit)
        self.encoder = circuit.encoder
        self.netlist = lowered(circuit)
        self._test_bits = circuit.bits(task.test.raw)
        # The oracle is the slowest form there is, and every other one is asked for the same items.
        self._oracle = remembered(circuit.answers)

    def verify_row(self, row: Row, form: Executable) -> None:
        """Fill in the row's accuracy on the test split, and what it was checked on."""
        row.compiled_accuracy = self.task.score(form.evaluate(self._test_bits), self.task.test)
        agreement = (
            compare(self._oracle, form.evaluate, self.netlist.n_inputs, items=self._test_bits)
            if row.backend != "reference"
            else None
        )
        outcome = self.workload.verify(form, quick=row.backend in (*NETWORK_BACKENDS, "numpy"))
        row.items_checked = outcome.items_checked + (agreement.items_checked if agreement else 0)
        row.exact = outcome.exact and (agreement is None or agreement.equal)
        if agreement is not None and not agreement.equal:
            row.status = "failed"
            row.reason = (
                f"Disagrees with the circuit's oracle on {agreement.items_checked - agreement.items_equal} of"
                f" {agreement.items_checked} inputs, first {agreement.counterexample}: a defect of this back end. Not timed."
            )
        elif not outcome.exact:
            row.reason = (
                f"Computes what was learned, but that is wrong on {outcome.items_checked - outcome.items_equal} of"
                f" {outcome.items_checked} {self.workload.item}s, first {outcome.where}. Not timed."
            )


class OrdinaryProof:
    """The form of an ordinary network is scored: there is no circuit that it must agree with, and `exact` stays empty."""

    def __init__(self, task: Task, learned: Learned) -> None:
        from methods.torch_network import TorchNetwork

        assert isinstance(learned.network, Ordinary)
        self.task = task
        self._network = TorchNetwork(learned.network, learned.parameters, batch=1024)
        self.encoder = task.encoder
        self.workload = task.workload(self)

    def bits(self, features: NDArray[Any]) -> NDArray[Any]:
        """What the network reads of items: their numbers, or the bits that the task makes of them."""
        return features if self.encoder is None else self.encoder.encode(features)

    def answers(self, bits: NDArray[Any]) -> Bits:
        return self._network.evaluate(bits)

    def verify_row(self, row: Row, form: Executable) -> None:
        """Fill in the row's accuracy on the test split."""
        row.compiled_accuracy = self.task.score(form.evaluate(self.task.test.inputs), self.task.test)
        row.items_checked = len(self.task.test.inputs)


Proof = CircuitProof | OrdinaryProof


@dataclass(frozen=True, eq=False)
class Proofs:
    """What each back end is held to. The two are one, unless the circuit was pruned: then the trained network's forms are still
    held to the learned circuit, and all others to what the pruned one claims."""

    of_network: Proof
    of_circuit: Proof

    def of(self, backend: str) -> Proof:
        return self.of_network if backend in NETWORK_BACKENDS else self.of_circuit


def remembered(evaluate: Callable[[Bits], Bits]) -> Callable[[Bits], Bits]:
    """The same function, which does not evaluate the same items twice."""
    known: dict[tuple[Any, ...], Bits] = {}

    def recall(bits: Bits) -> Bits:
        key = (bits.shape, hashlib.sha256(bits.tobytes()).digest())
        if key not in known:
            known[key] = evaluate(bits)
        return known[key]

    return recall
