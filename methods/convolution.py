"""Convolutions of logic gates: trees of gates over a receptive field, the same at every position, and ORs of neighbours.

Petersen, Kuehne, Borgelt, Welzel, Ermon: Convolutional Differentiable Logic Gate Networks, NeurIPS 2024, arXiv 2411.04732,
section 3: a kernel is a complete tree of gates whose leaves are drawn from the receptive field in at most two channels;
pooling is the OR, relaxed as the maximum.

A convolution is wiring: each level of the trees is a layer of rows, kernel by kernel, gate by gate and position by position,
in which the positions of a gate share its parameters.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from methods.base import MethodError
from methods.network import Choice, Layer
from methods.wiring import candidates, unique_wiring

# int (channel, row, column): the signal at each place of an image.
Places = NDArray[np.intp]


@dataclass(frozen=True)
class ConvolutionConfig:
    """kernels: trees, each an output channel. size: side of the square receptive field. stride: of its positions, in both
    directions. padding: rows and columns of constant false around the image. depth: levels of gates in a tree. channels: most
    input channels that a tree reads. pool: side of the squares of which the OR is taken, 1 for none; where they do not
    divide the image, the last ones are cut off by its edge."""

    kernels: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=1)]
    stride: Annotated[int, Field(ge=1)]
    padding: Annotated[int, Field(ge=0)]
    depth: Annotated[int, Field(ge=1)]
    channels: Annotated[int, Field(ge=1)]
    pool: Annotated[int, Field(ge=1)]


def convolution(
    config: ConvolutionConfig,
    setting: str,
    places: Places,
    n_signals: int,
    first_param: int,
    arity: int,
    n_candidates: int,
    first_choice: int,
    rng: np.random.Generator,
) -> tuple[list[Layer], Places]:
    """The layers of a convolution, and where their signals lie.

    places: of the signals that it reads, of n_signals; the layers' params are counted from first_param on, and those of the
    choices from first_choice. n_candidates: places of the receptive field that each leaf chooses among, the same at every
    position; 1 if it is fixed. setting: names it in errors. Raises MethodError if the receptive field does not fit the padded
    image, or the tree or the candidates not the receptive field.
    """
    padded = np.pad(places, ((0, 0), *[(config.padding,) * 2] * 2), constant_values=n_signals)
    n_channels, height, width = padded.shape
    n_read = min(config.channels, n_channels)
    n_places, n_leaves = n_read * config.size**2, arity**config.depth
    _check_fit(config, setting, (height, width), n_places, n_read, arity, n_candidates)
    channels = unique_wiring(n_channels, config.kernels, n_read, rng)
    leaves = np.array([rng.permutation(n_places)[:n_leaves] for _ in range(config.kernels)], dtype=np.int32)
    among = leaves[:, :, None]
    if n_candidates > 1:
        among = candidates(leaves, n_places, n_candidates, rng)
    nth, row, column = np.unravel_index(among, (n_read, config.size, config.size))
    channel = channels[np.arange(config.kernels)[:, None, None], nth]
    ys, xs = (np.arange(0, side - config.size + 1, config.stride) for side in (height, width))
    # (kernel, leaf, candidate, y, x)
    read = padded[channel[..., None, None], row[..., None, None] + ys[:, None], column[..., None, None] + xs]
    signals = read[:, :, 0]
    n_positions = len(ys) * len(xs)
    layers = []
    for level in range(config.depth):
        n_gates = arity ** (config.depth - 1 - level)
        fan_in = signals.reshape(config.kernels, n_gates, arity, n_positions).transpose(0, 1, 3, 2).reshape(-1, arity)
        param = np.repeat(first_param + np.arange(config.kernels * n_gates), n_positions)
        first_param += config.kernels * n_gates
        first = level == 0
        choice = None
        if first and n_candidates > 1:
            of_gates = read.reshape(config.kernels, n_gates, arity, n_candidates, n_positions).transpose(0, 1, 4, 2, 3)
            choice = Choice(
                of_gates.reshape(-1, arity, n_candidates).astype(np.int32),
                np.repeat(first_choice + np.arange(config.kernels * n_gates, dtype=np.int32), n_positions),
            )
        layers.append(
            Layer(
                fan_in.astype(np.int32),
                param.astype(np.int32),
                padded=first and config.padding > 0,
                parts=1 if first else config.kernels,
                choice=choice,
            )
        )
        signals = np.arange(len(fan_in)).reshape(config.kernels, n_gates, len(ys), len(xs))
    places = signals[:, 0]
    if config.pool > 1:
        pool, places = _pool(places, config.pool)
        layers[-1] = replace(layers[-1], pool=pool)
    return layers, places


def _check_fit(
    config: ConvolutionConfig, setting: str, sides: tuple[int, int], n_places: int, n_read: int, arity: int, n_candidates: int
) -> None:
    """sides: of the padded image. n_places: of the receptive field, in n_read channels. Raises MethodError."""
    if config.size > min(sides):
        raise MethodError(
            f"{setting}.size={config.size} is larger than the image of {sides[0]}x{sides[1]} that it reads, padding included."
            " Make it smaller, or raise the padding."
        )
    field = f"{config.size}x{config.size} in {n_read} channels"
    if arity**config.depth > n_places:
        raise MethodError(
            f"{setting}.depth={config.depth} makes trees of {arity**config.depth} leaves with gates of {arity} inputs, and the"
            f" receptive field has only {n_places} places ({field}). Lower the depth, or raise the size."
        )
    if n_candidates > n_places:
        raise MethodError(
            f"method.candidates={n_candidates} is more than the {n_places} places of the receptive field of {setting} ({field})."
            " Lower it, or raise the size or the channels."
        )


def _pool(places: Places, side: int) -> tuple[NDArray[np.int32], Places]:
    """Layer.pool for squares of that side, and where what it makes lies. A square that the edge cuts off repeats its last row
    or column, which leaves its OR as it is."""
    n_channels, height, width = places.shape
    n_rows, n_columns = -(-height // side), -(-width // side)
    rows, columns = (np.minimum(np.arange(n * side), end - 1) for n, end in ((n_rows, height), (n_columns, width)))
    squares = places[:, rows[:, None], columns].reshape(n_channels, n_rows, side, n_columns, side)
    pool = squares.transpose(0, 1, 3, 2, 4).reshape(-1, side**2)
    return pool.astype(np.int32), np.arange(len(pool)).reshape(n_channels, n_rows, n_columns)
