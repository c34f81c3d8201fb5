"""A network of nine inputs on every cell of a board: the 3x3 neighbourhoods as items, in any engine's arrays."""

from typing import Any


def neighbourhoods(xp: Any, board: Any, torus: bool) -> Any:
    """(height, width) -> (9, height * width): the neighbours of each cell in reading order, the cell itself in the middle.

    torus: opposite edges touch; otherwise cells outside are zero. Raises nothing: any board of at least one cell works.
    """
    height, width = board.shape
    if torus:
        rows = xp.concat([board[-1:], board, board[:1]], axis=0)
        padded = xp.concat([rows[:, -1:], rows, rows[:, :1]], axis=1)
    else:
        rows = xp.concat([xp.zeros_like(board[:1]), board, xp.zeros_like(board[:1])], axis=0)
        padded = xp.concat([xp.zeros_like(rows[:, :1]), rows, xp.zeros_like(rows[:, :1])], axis=1)
    shifted = [padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)]
    return xp.reshape(xp.stack(shifted), (9, height * width))
