"""A learned circuit as a file: one versioned safetensors file, no pickle, all that codegen needs."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from codegen.netlist import Netlist

FORMAT = "gatebench-circuit"
FORMAT_VERSION = 1
_ARRAYS = ("table", "fan_in", "arity", "outputs", "inverted")


class CircuitFileError(ValueError):
    """A file that is no circuit of this format and version, with what to do about it."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """What training leaves behind: a netlist and where it came from.

    provenance: free text fields (method, task, seed, ...) that travel with the file; codegen does not read them.
    """

    netlist: Netlist
    provenance: dict[str, str] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write atomically: a reader sees the whole file or none. Equal circuits give equal bytes."""
        path = Path(path)
        arrays = {name: getattr(self.netlist, name) for name in _ARRAYS}
        arrays["n_inputs"] = np.array([self.netlist.n_inputs], dtype=np.int64)
        # One metadata entry: safetensors writes several in no fixed order, and equal circuits must give equal bytes.
        header = {"format": FORMAT, "version": FORMAT_VERSION, "provenance": self.provenance}
        aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            aside.write_bytes(save(arrays, metadata={FORMAT: json.dumps(header, sort_keys=True)}))
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Circuit":
        """Read a circuit file. Raises CircuitFileError if it is damaged, of another format or of a newer version."""
        try:
            with safe_open(path, framework="numpy") as file:
                header = _read_header(path, file.metadata() or {})
                arrays = {name: file.get_tensor(name) for name in (*_ARRAYS, "n_inputs")}
        except (SafetensorError, OSError) as error:
            raise CircuitFileError(f"Expected a circuit file at {path}, but it cannot be read: {error}") from error
        try:
            netlist = Netlist(n_inputs=arrays.pop("n_inputs").item(), **arrays)
        except ValueError as error:  # a NetlistError, or an n_inputs of more or less than one element
            raise CircuitFileError(f"{path} holds an invalid netlist: {error}") from error
        return cls(netlist, header["provenance"])


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
