"""All records as text for other programs and papers: tidy rows as csv or json, the leaderboard as Markdown or LaTeX."""

import json
from typing import TYPE_CHECKING

from reports.leaderboard import latex, markdown
from reports.ordering import in_order
from reports.record import COLUMNS, Record, tidy
from reports.standings import standings_of

if TYPE_CHECKING:
    import pandas as pd

STYLES = ("csv", "json", "md", "latex")
ENDINGS = {"csv": "csv", "json": "json", "md": "md", "tex": "latex"}  # of files, and the style that each is written in


def frame(records: list[Record], sort: str | None = None) -> "pd.DataFrame":
    """The tidy table: one row a job and back end, columns COLUMNS; absent values are None. Raises ColumnError."""
    import pandas as pd  # here: it takes longer to load than tables of a terminal take to make

    rows = in_order([row for record in records for row in tidy(record)], sort, COLUMNS)
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def text(records: list[Record], style: str, sort: str | None = None) -> str:
    """In one of STYLES: csv and json are the tidy table, md and latex the leaderboard. Raises ColumnError."""
    if style == "md":
        return markdown(standings_of(records), sort)
    if style == "latex":
        return latex(standings_of(records), sort)
    table = frame(records, sort)
    if style == "csv":
        return table.to_csv(index=False)
    assert style == "json", style
    return json.dumps(table.to_dict(orient="records"), indent=1, allow_nan=False) + "\n"
