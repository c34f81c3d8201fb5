"""Images to classes: MNIST, Fashion-MNIST, and the small digits of scikit-learn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codegen.encoder import Encoder
from codegen.readout import from_binary
from tasks import binarise
from tasks.base import Bits, Boards, Learned, Split, TaskError
from tasks.distort import DistortConfig, distorted
from tasks.fetch import FASHION_MNIST, MNIST, DataSet, fetch, read_idx
from tasks.rows import RowsWorkload, repeated

Pixels = NDArray[np.uint8]  # (item, row, column)
Labels = NDArray[np.uint8]  # (item,)
N_CLASSES = 10
_TIMED_ITEMS = 8192  # at least so many images are timed


@dataclass(frozen=True)
class EncoderConfig:
    """kind: fixed, one bit a pixel at `threshold`; uniform or quantile, a thermometer of `bits`; or learned, in which the
    network reads pixels as numbers from 0 to 1 and trains thresholds of its own (method.thresholds). crop: the side of the
    square in the middle of the image that is read, None for all of it."""

    kind: Literal["fixed", "uniform", "quantile", "learned"]
    bits: Annotated[int, Field(ge=1)]
    threshold: Annotated[float, Field(ge=0)]
    crop: Annotated[int, Field(ge=1)] | None


@dataclass(frozen=True)
class ImagesConfig:
    """conf/task/mnist.yaml, fashion_mnist.yaml and digits.yaml.

    data_dir: where the IDX files are, None to find or fetch them. validation: training images held out to choose by.
    split_seed: decides which. shift: also train on each image moved by one pixel up, down, left and right.
    distort: and on distorted copies of each image, None for none. shuffle_labels: train on labels that belong to other images,
    which must leave the network at chance.
    """

    name: str
    data_dir: str | None
    encoder: EncoderConfig
    validation: Annotated[int, Field(ge=1)]
    split_seed: Annotated[int, Field(ge=0)]
    shift: bool
    distort: DistortConfig | None
    shuffle_labels: bool


@dataclass(frozen=True, eq=False)
class Images:
    """A data set as it comes: pixels from 0 to brightest, in its own training and test parts."""

    train: tuple[Pixels, Labels]
    test: tuple[Pixels, Labels]
    brightest: int


def _idx(data: DataSet) -> Callable[[ImagesConfig], Images]:
    def load(config: ImagesConfig) -> Images:
        return _fetched(data, None if config.data_dir is None else Path(config.data_dir))

    return load


@lru_cache(maxsize=1)  # the jobs of a sweep are of the same images
def _fetched(data: DataSet, folder: Path | None) -> Images:
    parts = [read_idx(path) for path in fetch(data, folder)]
    for part in parts:
        part.setflags(write=False)
    return Images((parts[0], parts[1]), (parts[2], parts[3]), 255)


def _digits(config: ImagesConfig) -> Images:
    """The test part is every fifth image: the writers are in order, so that both parts have some of each."""
    if config.data_dir is not None:
        raise TaskError("task.data_dir is for data that is fetched; the digits come with scikit-learn. Set it to null.")
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels, labels = found.images.astype(np.uint8), found.target.astype(np.uint8)
    test = np.arange(len(labels)) % 5 == 0
    return Images((pixels[~test], labels[~test]), (pixels[test], labels[test]), 16)


SOURCES: dict[str, Callable[[ImagesConfig], Images]] = {
    "mnist": _idx(MNIST),
    "fashion_mnist": _idx(FASHION_MNIST),
    "digits": _digits,
}


class ImageTask:
    """The task: the class of an image from its pixels. Raises TaskError for settings that do not fit the images."""

    n_outputs = N_CLASSES
    classes = True
    boards: Boards | None = None

    def __init__(self, config: ImagesConfig) -> None:
        self.name = config.name
        images = SOURCES[config.name](config)
        _check(images, config)
        (pixels, labels), (test_pixels, test_labels) = images.train, images.test
        _, rows, columns = pixels.shape
        read = binarise.centre(rows, columns, config.encoder.crop)
        rng = np.random.default_rng(config.split_seed)
        order = rng.permutation(len(labels))
        held_out, kept = np.sort(order[: config.validation]), np.sort(order[config.validation :])
        train_pixels, train_labels = pixels[kept], labels[kept]
        if config.shuffle_labels:
            train_labels = rng.permutation(train_labels)
        self.encoder = _encoder(config.encoder, train_pixels.reshape(len(kept), -1), read, images.brightest)
        trained_on = [train_pixels]
        if config.shift:
            trained_on += shifted(train_pixels)
        if config.distort is not None:
            trained_on += distorted(train_pixels, config.distort, rng)

        def split(pixels: Pixels, labels: Labels) -> Split:
            flat = pixels.reshape(len(pixels), -1)
            target = np.eye(N_CLASSES, dtype=bool)[labels]
            if self.encoder is not None:
                return Split(self.encoder.encode(flat), target, flat)
            features = flat[:, read] / np.float32(images.brightest)
            return Split(features, target, features)

        self.train = split(np.concatenate(trained_on), np.tile(train_labels, len(trained_on)))
        self.validation = split(pixels[held_out], labels[held_out])
        self.test = split(test_pixels, test_labels)
        self.n_inputs = self.train.inputs.shape[1]
        side = config.encoder.crop
        self.places: NDArray[np.intp] | None = binarise.places(side or rows, side or columns, self.n_inputs)

    def workload(self, learned: Learned) -> RowsWorkload:
        order = repeated(len(self.test.inputs), least=_TIMED_ITEMS)
        features = self.test.raw[order]
        bits = learned.bits(features)
        return RowsWorkload(bits, learned.answers(bits), "image", features, learned.encoder)

    def score(self, answers: Bits, split: Split) -> float:
        return float((from_binary(answers) == np.argmax(split.target, axis=1)).mean())

    def reference_source(self) -> str | None:
        return None


def shifted(pixels: Pixels) -> list[Pixels]:
    """Four times the images: moved by one pixel up, down, left and right; what moves in is 0."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    _, rows, columns = pixels.shape
    return [padded[:, y : y + rows, x : x + columns] for y, x in ((2, 1), (0, 1), (1, 2), (1, 0))]


def _encoder(config: EncoderConfig, features: NDArray[Any], read: NDArray[np.intp], brightest: int) -> Encoder | None:
    if config.kind == "learned":
        return None
    if config.kind == "fixed":
        return binarise.fixed(features.shape[1], read, config.threshold)
    if config.kind == "uniform":
        return binarise.uniform(features.shape[1], read, config.bits, 0, brightest)
    return binarise.quantile(features, read, config.bits)


def _check(images: Images, config: ImagesConfig) -> None:
    for part, (pixels, labels) in (("training", images.train), ("test", images.test)):
        if pixels.ndim != 3 or labels.ndim != 1 or len(pixels) != len(labels):
            raise TaskError(
                f"The {part} part of {config.name} has pixels of shape {pixels.shape} and labels of shape {labels.shape}."
                " Expected (item, row, column) and (item,)."
            )
        if pixels.shape[1:] != images.train[0].shape[1:]:
            raise TaskError(f"The {part} images of {config.name} are {pixels.shape[1:]}, those of training not.")
        if labels.max(initial=0) >= N_CLASSES:
            raise TaskError(f"The {part} labels of {config.name} go to {labels.max()}. Expected 0 to {N_CLASSES - 1}.")
    side = min(images.train[0].shape[1:])
    if config.encoder.crop is not None and config.encoder.crop > side:
        raise TaskError(f"task.encoder.crop={config.encoder.crop}, but the images are {side} pixels wide. Expected 1 to {side}.")
    if config.validation >= len(images.train[1]):
        raise TaskError(
            f"task.validation={config.validation} leaves nothing to train on: there are {len(images.train[1])} images."
        )
    if config.encoder.threshold >= images.brightest:
        raise TaskError(
            f"task.encoder.threshold={config.encoder.threshold:g} makes every pixel false: they go from 0 to {images.brightest}."
        )
