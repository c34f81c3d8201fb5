"""A learned circuit as a file: one versioned safetensors file, no pickle, all that codegen needs."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from codegen.encoder import Encoder
from codegen.netlist import Netlist
from codegen.readout import READOUTS, Readout, from_binary
from codegen.simulate import check_bits, simulate
from codegen.whole_file import write_whole

FORMAT = "gatebench-circuit"
FORMAT_VERSION = 3
_ARRAYS = ("table", "fan_in", "arity", "outputs", "inverted")
_ENCODER_ARRAYS = ("feature", "threshold")


class CircuitFileError(ValueError):
    """A file that is no circuit of this format and version, with what to do about it."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """What training leaves behind: numbers to bits, a netlist, its outputs to an answer, and where it came from.

    encoder: makes the netlist's inputs of features; None where items are bits. readout: makes the answer of its outputs by
    sums of groups; None where they are the answer. provenance: free text fields (method, task, seed, ...) that travel with
    the file; codegen does not read them.
    """

    netlist: Netlist
    provenance: dict[str, str] = field(default_factory=dict)
    encoder: Encoder | None = None
    readout: Readout | None = None

    def __post_init__(self) -> None:
        if self.encoder is not None and self.encoder.n_inputs != self.netlist.n_inputs:
            raise ValueError(f"The encoder makes {self.encoder.n_inputs} bits for a netlist of {self.netlist.n_inputs} inputs.")
        if self.readout is not None:
            self.readout.groups(self.netlist.n_outputs)

    def bits(self, features: NDArray[Any]) -> NDArray[np.bool_]:
        """What the netlist reads of items: bool (item, input) from (item, feature), which are bits already if there is no
        encoder. Raises ValueError for items of another shape or type."""
        return check_bits(self.netlist, features) if self.encoder is None else self.encoder.encode(features)

    def answers(self, bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What every compiled form gives for bits, bool (item, input): the output bits, or the class in binary, low bit first."""
        outputs = simulate(self.netlist, bits)
        return outputs if self.readout is None else self.readout.answers(self.readout.counts(outputs))

    def counts(self, features: NDArray[Any]) -> NDArray[np.int32]:
        """int32 (item, group): how many outputs of each class, or of each bit's votes, are true. Raises ValueError without a
        readout."""
        if self.readout is None:
            raise ValueError("Expected a circuit with a readout; the outputs of this one are its answer.")
        return self.readout.counts(simulate(self.netlist, self.bits(features)))

    def scores(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """float32 (item, group): counts / temperature."""
        counts = self.counts(features)
        assert self.readout is not None
        return self.readout.scores(counts)

    def predict(self, features: NDArray[Any]) -> NDArray[np.int32]:
        """int32 (item,): the answer to each item, (item, feature), as a number: the class, or the output bits, low bit first."""
        return from_binary(self.answers(self.bits(features)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write atomically: a reader sees the whole file or none. Equal circuits give equal bytes."""
        arrays = {name: getattr(self.netlist, name) for name in _ARRAYS}
        arrays["n_inputs"] = np.array([self.netlist.n_inputs], dtype=np.int64)
        if self.encoder is not None:
            arrays["n_features"] = np.array([self.encoder.n_features], dtype=np.int64)
            arrays |= {name: getattr(self.encoder, name) for name in _ENCODER_ARRAYS}
        # One metadata entry: safetensors writes several in no fixed order, and equal circuits must give equal bytes.
        readout = None if self.readout is None else {"kind": type(self.readout).__name__, **vars(self.readout)}
        header = {"format": FORMAT, "version": FORMAT_VERSION, "provenance": self.provenance, "readout": readout}
        write_whole(Path(path), save(arrays, metadata={FORMAT: json.dumps(header, sort_keys=True)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Circuit":
        """Read a circuit file. Raises CircuitFileError if it is damaged, of another format or of a newer version."""
        try:
            with safe_open(path, framework="numpy") as file:
                header = _read_header(path, file.metadata() or {})
                arrays = {name: file.get_tensor(name) for name in (*_ARRAYS, "n_inputs")}
                encoder = {name: file.get_tensor(name) for name in ("n_features", *_ENCODER_ARRAYS) if name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CircuitFileError(f"Expected a circuit file at {path}, but it cannot be read: {error}") from error
        try:
            netlist = Netlist(n_inputs=arrays.pop("n_inputs").item(), **arrays)
            return cls(
                netlist,
                header["provenance"],
                Encoder(encoder.pop("n_features").item(), **encoder) if encoder else None,
                _readout(**header["readout"]) if header["readout"] else None,
            )
        except (ValueError, TypeError, KeyError) as error:  # of the parts, or numbers of more or less than one element
            raise CircuitFileError(f"{path} holds an invalid circuit: {error}") from error


def _readout(kind: str, **settings: Any) -> Readout:
    return READOUTS[kind](**settings)


def _read_header(path: str | os.PathLike[str], metadata: dict[str, str]) -> dict[str, Any]:
    if FORMAT not in metadata:
        raise CircuitFileError(f"Expected a circuit file at {path}; it is a safetensors file of another kind.")
    try:
        header: dict[str, Any] = json.loads(metadata[FORMAT])
        version, _ = header["version"], header["provenance"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise CircuitFileError(f"The header of the circuit file {path} is damaged: {error!r}.") from error
    if version != FORMAT_VERSION:
        raise CircuitFileError(
            f"{path} has circuit format version {version}; this Gatebench reads version {FORMAT_VERSION}."
            " Read it with the release that wrote it, or train the circuit again."
        )
    return header
