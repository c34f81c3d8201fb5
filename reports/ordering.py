"""Lines of a table in the order of one of its columns."""

from collections.abc import Sequence
from typing import Any


class ColumnError(ValueError):
    """There is no such column to sort by; the message has those that there are."""


def in_order(rows: list[dict[str, Any]], column: str | None, columns: Sequence[str]) -> list[dict[str, Any]]:
    """By a column: numbers from the largest, text from A, and what has no value last. Raises ColumnError."""
    if column is None:
        return rows
    if column not in columns:
        raise ColumnError(f"There is no column {column!r} to sort by. Choices: {', '.join(columns)}.")
    known = [row for row in rows if row[column] is not None]
    known.sort(key=lambda row: row[column], reverse=bool(known) and not isinstance(known[0][column], str))
    return known + [row for row in rows if row[column] is None]
