"""Distorted copies of images to train on: turned, scaled, sheared, moved, and bent (Simard et al., ICDAR 2003, section 2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import gaussian_filter1d, map_coordinates

_AT_ONCE = 4096  # images, which bounds the memory that coordinates take
# How smoothly an image is bent: the deviation of the Gaussian as a share of its side. The paper takes 4 of 28 or 29 pixels.
_SMOOTHNESS = 1 / 7

NotNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class DistortConfig:
    """copies: of every image. The most that one is turned by, in degrees; that each of its sides is stretched or shrunk by, as
    the logarithm of the factor; sheared by, in pixels a pixel; and moved by along each side, in pixels. All are uniform.
    elastic: how far each pixel is displaced besides along each axis, smoothly over the image, as a standard deviation in
    pixels."""

    copies: Annotated[int, Field(ge=1, le=100)]
    degrees: Annotated[float, Field(ge=0, le=180)]
    scale: NotNegative
    shear: NotNegative
    move: NotNegative
    elastic: NotNegative


def distorted(pixels: NDArray[np.uint8], config: DistortConfig, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """config.copies times the images (item, row, column), each distorted in a way of its own; what comes from outside is 0."""
    for _ in range(config.copies):
        parts = np.array_split(pixels, -(-len(pixels) // _AT_ONCE))
        yield np.concatenate([_sampled(part, *_sources(part.shape, config, rng)) for part in parts])


def _sources(shape: tuple[int, ...], config: DistortConfig, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where in its image each pixel comes from: rows and columns, both (item, row, column)."""
    n, rows, columns = shape

    def upto(most: float) -> NDArray[np.float64]:
        return rng.uniform(-most, most, (n, 1, 1))

    y = np.arange(rows)[:, None] - (rows - 1) / 2
    x = np.arange(columns)[None, :] - (columns - 1) / 2
    angle = np.deg2rad(upto(config.degrees))
    sheared = x + upto(config.shear) * y
    down = np.exp(upto(config.scale)) * (np.cos(angle) * y + np.sin(angle) * sheared) + upto(config.move)
    right = np.exp(upto(config.scale)) * (np.cos(angle) * sheared - np.sin(angle) * y) + upto(config.move)
    smooth_rows, smooth_columns = _smoothing(rows), _smoothing(columns)
    bent = [smooth_rows @ rng.standard_normal(shape) @ smooth_columns.T for _ in range(2)]
    return (
        down + config.elastic * bent[0] + (rows - 1) / 2,
        right + config.elastic * bent[1] + (columns - 1) / 2,
    )


def _smoothing(side: int) -> NDArray[np.float64]:
    """(to, from): a Gaussian filter that makes values of deviation one of such values, at the border too."""
    weights = gaussian_filter1d(np.eye(side), side * _SMOOTHNESS, axis=0, mode="constant")
    normed: NDArray[np.float64] = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    return normed


def _sampled(pixels: NDArray[np.uint8], down: NDArray[Any], right: NDArray[Any]) -> NDArray[np.uint8]:
    """The images between their pixels, bilinearly. They are sampled as one image, each in a frame of zeros, below each other:
    one call instead of one for each."""
    n, rows, columns = pixels.shape
    framed = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    y = np.clip(down + 1, 0, rows + 1) + (rows + 2) * np.arange(n)[:, None, None]
    x = np.clip(right + 1, 0, columns + 1)
    found = map_coordinates(framed.reshape(-1, columns + 2), [y, x], output=np.float64, order=1, mode="nearest")
    return np.rint(found).astype(np.uint8)
