"""Checkpoints: one safetensors file with the state of a training and the network that it belongs to."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from codegen.whole_file import write_whole
from methods.network import Model

VERSION = 3
_HINT = "Delete it to train from the start."


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; says which file to delete."""


def identity(network: Model, seed: int) -> dict[str, NDArray[Any]]:
    """What a checkpoint must have in common with the training that continues it: the network and the seed."""
    return {**network.identity(), "seed": np.array([seed])}


def write(path: Path, network: dict[str, NDArray[Any]], arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays and the network's identity, atomically."""
    content = {"version": np.array([VERSION]), **{f"network.{name}": value for name, value in network.items()}, **arrays}
    write_whole(path, save({name: np.ascontiguousarray(value) for name, value in content.items()}))


def read(path: Path, network: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays of a checkpoint of this network. Raises CheckpointError if it is damaged, of another version or network."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read ({error}). {_HINT}") from error
    version = arrays.pop("version", None)
    if version is None or version[0] != VERSION:
        found = "none" if version is None else version[0]
        raise CheckpointError(f"The checkpoint {path} has format version {found}, this release writes {VERSION}. {_HINT}")
    for name, expected in network.items():
        found = arrays.pop(f"network.{name}", None)
        if found is None or not np.array_equal(found, expected):
            shape = "nothing" if found is None else found.shape
            raise CheckpointError(
                f"The checkpoint {path} is of another network: its {name} is {shape}, here {expected.shape}, or differs within."
                f" {_HINT}"
            )
    return arrays
