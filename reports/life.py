"""Pictures of a learned Life circuit at work: its compiled form and the rule, side by side, and where they differ."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from codegen.backends import BACKENDS
from codegen.circuit import Circuit
from codegen.interfaces import Stepper
from codegen.lower_readout import lowered
from codegen.toolchain import ToolchainError
from reports.record import Record
from tasks.life import Rule, step

_CELL = 4  # pixels
_GAP = 12
_CAPTION = 18
_FRAME_MS = 80
_STRIP_FRAMES = 6
_BACKGROUND, _DEAD, _LIVE, _WRONG, _TEXT = (250, 250, 250), (226, 230, 235), (20, 60, 110), (220, 40, 40), (40, 40, 40)
_GLIDER = np.array([[0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=bool)


@dataclass(frozen=True)
class Shape:
    """The board in cells, and the generations to run. Raises ValueError below an 8x8 board or one step."""

    height: int
    width: int
    steps: int

    def __post_init__(self) -> None:
        if self.height < 8 or self.width < 16 or self.steps < 1:
            raise ValueError(
                f"Expected a board of at least 8x16 cells and at least one step; got {self.height}x{self.width} and {self.steps}."
            )


def render(record: Record, folder: Path, shape: Shape, gif: Path | None, png: Path | None) -> list[Path]:
    """Run the job's circuit on a glider and a soup, on a torus, beside the oracle; write the pictures asked for.

    Uses the compiled `c` form, or numba where there is no C compiler. Returns the files written.
    Raises ValueError if neither file is asked for or one cannot be written.
    """
    if gif is None and png is None:
        raise ValueError("Name a file to write: --gif FILE or --png FILE.")
    learned = lowered(Circuit.load(folder / str(record.circuit_file)))
    try:
        form, executable = "c", BACKENDS["c"](learned, 600)
    except ToolchainError:
        form, executable = "numba", BACKENDS["numba"](learned, 600)
    start = opening(shape)
    frames = _frames(executable.stepper(start, torus=True), start, Rule.parse(record.config["task"]["rule"]), shape.steps)
    images = [_draw(generation, *pair, form) for generation, pair in enumerate(frames)]
    written = []
    try:
        if gif is not None:
            images[0].save(gif, save_all=True, append_images=images[1:], duration=_FRAME_MS, loop=0)
            written.append(gif)
        if png is not None:
            chosen = np.linspace(0, len(images) - 1, min(_STRIP_FRAMES, len(images))).round().astype(int)
            _strip([images[index] for index in chosen]).save(png)
            written.append(png)
    except (OSError, ValueError) as error:
        raise ValueError(f"The picture cannot be written: {error}") from error
    return written


def opening(shape: Shape) -> NDArray[np.bool_]:
    """A glider in the left half, a soup in the right."""
    board = np.zeros((shape.height, shape.width), dtype=bool)
    board[2:5, 2:5] = _GLIDER
    half = shape.width // 2
    board[:, half + 2 :] = np.random.default_rng(7).random((shape.height, shape.width - half - 2)) < 0.3
    return board


def _frames(
    circuit: Stepper, board: NDArray[np.bool_], rule: Rule, steps: int
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    frames = [(board, board)]
    for _ in range(steps):
        circuit.run(1)
        board = step(board, rule, torus=True)
        frames.append((circuit.board(), board))
    return frames


def _draw(generation: int, learned: NDArray[np.bool_], truth: NDArray[np.bool_], form: str) -> Image.Image:
    height, width = learned.shape
    panel = (width * _CELL, height * _CELL)
    image = Image.new("RGB", (2 * panel[0] + 3 * _GAP, panel[1] + 2 * _GAP + _CAPTION), _BACKGROUND)
    pen = ImageDraw.Draw(image)
    n_wrong = int((learned != truth).sum())
    captions = (f"learned circuit ({form}), generation {generation}", f"the rule; cells that differ: {n_wrong}")
    for column, (board, caption) in enumerate(zip((learned, truth), captions, strict=True)):
        colours = np.where(board[..., None], _LIVE, _DEAD).astype(np.uint8)
        if column == 0:
            colours[learned != truth] = _WRONG
        left = _GAP + column * (panel[0] + _GAP)
        pen.text((left, _GAP // 2), caption, fill=_TEXT)
        image.paste(Image.fromarray(colours).resize(panel, Image.Resampling.NEAREST), (left, _GAP + _CAPTION))
    return image


def _strip(images: list[Image.Image]) -> Image.Image:
    width, height = images[0].size
    strip = Image.new("RGB", (width, height * len(images)), _BACKGROUND)
    for row, image in enumerate(images):
        strip.paste(image, (0, row * height))
    return strip
