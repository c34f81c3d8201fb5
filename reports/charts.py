"""The charts of a page and of picture files: Vega-Lite specifications, written with Altair, of the datasets of reports.datasets.

A specification names its datasets and has no data, colours or width: a page gives it those of what it shows, a picture file those
of all records.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

from reports.datasets import REFERENCE, Dataset, Datasets
from reports.standings import NETWORK

MOST_LINES = 8  # of charts that show each line at length
HEIGHT = 320
FORMATS = (".svg", ".png")
_KINDS = ("and/or", "xor", "inverter", "pass-through", "constant")

Spec = dict[str, Any]
Drawing = alt.Chart | alt.LayerChart | alt.FacetChart


@dataclass(frozen=True)
class Theme:
    """Colours of a page and its charts. categories: told apart from each other and from the background by at least 3 : 1."""

    background: str
    surface: str
    text: str
    quiet: str
    border: str
    grid: str
    accent: str
    categories: tuple[str, ...]


THEMES = {
    "light": Theme(
        "#ffffff", "#f6f8fa", "#1b1f24", "#57606a", "#d8dee4", "#eaeef2", "#0a5dc2",
        ("#0a66c2", "#c2500c", "#1a7f4b", "#8250df", "#a16207", "#0e7c86", "#bf3989", "#57606a"),
    ),
    "dark": Theme(
        "#0f1216", "#171b21", "#e6e9ec", "#9aa5b1", "#2d343c", "#232930", "#7ab8ff",
        ("#6cb2f7", "#f29a66", "#5cc98a", "#bd9bf5", "#dcb955", "#58c7d0", "#ee8cc0", "#9aa5b1"),
    ),
}  # fmt: skip
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Chart:
    """dataset: what it is drawn of. columns: of the table that says the same, headers by field; those of the line come first.
    each: whether it shows each line at length, and so only the first MOST_LINES. positive: fields of its logarithmic axes; what
    is not above zero there is not drawn. papers: whether it also shows what is published."""

    name: str
    title: str
    sentence: str
    dataset: str
    columns: Mapping[str, str]
    each: bool
    positive: tuple[str, ...]
    draw: Callable[["Scales"], Drawing]
    papers: bool = False

    def rows(self, data: Datasets) -> Dataset:
        """What is drawn, of all lines."""
        return [row for row in data.named()[self.dataset] if all((row[field] or 0) > 0 for field in self.positive)]

    def spec(self, scales: "Scales") -> Spec:
        """Vega-Lite, as wide as what it is put into."""
        fit = alt.AutoSizeParams(type="fit-x", contains="padding")
        found: Spec = (
            self.draw(scales).properties(width="container", autosize=fit).to_dict(validate=False)
        )  # tests do: it takes a second
        return {name: value for name, value in found.items() if name != "config"} | {
            "description": f"{self.title}. {self.sentence}"
        }


@dataclass(frozen=True)
class Scales:
    """What has the same colour in all charts, whatever is shown: methods, back ends, and kinds of gates."""

    methods: Sequence[str]
    backends: Sequence[str]
    kinds: Sequence[str]

    @classmethod
    def of(cls, data: Datasets) -> "Scales":
        kinds = {found["kind"] for found in data.kinds}
        return cls(
            sorted({line["method"] for line in data.lines}),
            data.backends,
            [*(kind for kind in _KINDS if kind in kinds), *sorted(kinds.difference(_KINDS))],
        )


def config(theme: Theme) -> Spec:
    """Vega-Lite's settings of a theme."""
    words = {
        "labelColor": theme.quiet,
        "titleColor": theme.text,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
    }
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {**words, "gridColor": theme.grid, "domainColor": theme.border, "tickColor": theme.border, "labelLimit": 170,
                 "titlePadding": 10, "labelPadding": 6},
        "legend": {**words, "orient": "top", "direction": "horizontal", "title": None, "labelLimit": 260,
                   "offset": 14, "columns": 4, "symbolSize": 90,
                   "symbolBaseFillColor": theme.quiet, "symbolBaseStrokeColor": theme.quiet},
        "range": {"category": list(theme.categories)},
        "mark": {"color": theme.categories[0]},
        "rule": {"color": theme.quiet},
        "style": {name: {"color": theme.quiet} for name in ("frontier", "band", "published")},
    }  # fmt: skip


def draw_file(data: Datasets, charts: Sequence[Chart], path: Path, theme: Theme, width: int) -> None:
    """Write charts of all lines, beside each other, as SVG or PNG, by the ending of the path. width: of each, in pixels. Raises
    ValueError for another ending, OSError."""
    if path.suffix not in FORMATS:
        raise ValueError(f"A picture's name ends in {' or '.join(FORMATS)}; got {path}.")
    panels = [_panel(data, chart, theme, width) for chart in charts]
    spec = {
        "$schema": panels[0].pop("$schema"),
        "hconcat": panels,
        "spacing": 40,
        "config": config(theme) | {"background": theme.background, "padding": 16},
    }
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(spec))
    else:
        path.write_bytes(vl_convert.vegalite_to_png(spec, scale=2))


def _panel(data: Datasets, chart: Chart, theme: Theme, width: int) -> Spec:
    """A chart that has its data within, because charts beside each other are of different lines."""
    rows = chart.rows(data)
    shown = sorted({row["line"] for row in rows})
    if not shown:
        raise ValueError(f"no record has what the chart {chart.name} shows.")
    if chart.each:
        shown = shown[:MOST_LINES]
    datasets = {"papers": data.papers}
    for name, found in (("lines", data.lines), (chart.dataset, rows)):
        datasets[name] = [row for row in found if row["line"] in shown]
    spec: Spec = _with_values(chart.spec(Scales.of(data)), datasets)
    del spec["autosize"]  # it is only of a chart that stands alone
    return spec | {
        "width": width,
        "title": {"text": chart.title, "anchor": "start", "color": theme.text, "fontSize": 15, "offset": 12},
    }


def _with_values(part: Any, datasets: dict[str, Dataset]) -> Any:
    """A part of a specification with the rows of datasets where it names them."""
    if isinstance(part, list):
        return [_with_values(one, datasets) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: {"values": datasets[value["name"]]} if key == "data" else _with_values(value, datasets)
        for key, value in part.items()
    }


_PERCENT = alt.Axis(format=".4~p", tickCount=6)
_OF_LINE = ("name", "method", "task", "machine", "threads", "command", "commit", "key")


def _source(name: str) -> alt.NamedData:
    return alt.NamedData(name)


def _with_lines(name: str) -> alt.Chart:
    """A dataset with what its lines are."""
    lines = alt.LookupData(data=_source("lines"), key="line", fields=list(_OF_LINE))
    return alt.Chart(_source(name)).transform_lookup(lookup="line", from_=lines)


def _tooltip(*fields: tuple[str, str, str]) -> list[alt.Tooltip]:
    """Field, title and format, between the line's name and where it comes from."""
    first = [alt.Tooltip("name:N", title="line")]
    last = [alt.Tooltip(f"{name}:N", title=name) for name in ("command", "commit", "key")]
    return [*first, *(alt.Tooltip(field, title=title, format=form) for field, title, form in fields), *last]


def _colour(field: str, domain: Sequence[str]) -> alt.Color:
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(domain), range="category"))


def _accuracy(field: str = "accuracy") -> alt.Y:
    return alt.Y(f"{field}:Q", title="accuracy", axis=_PERCENT, scale=alt.Scale(zero=False, padding=14))


def _frontier(points: alt.Chart, x: str, best: Literal["ascending", "descending"]) -> alt.Chart:
    """A line along those that no other of their task, machine and threads beats in both accuracy and x. best: of x, the order
    that has the better first."""
    groups = ["task", "machine", "threads"]
    order: list[alt.SortField | dict[str, str]] = [alt.SortField(x, order=best), alt.SortField("accuracy", order="descending")]

    return (
        points.transform_window(most="max(accuracy)", frame=[None, 0], sort=order, groupby=groups)
        .transform_window(before="lag(most)", sort=order, groupby=groups)
        .transform_filter("!isValid(datum.before) || datum.accuracy > datum.before")
        .mark_line(
            interpolate="step-after" if best == "ascending" else "step-before",
            strokeDash=[4, 3],
            strokeWidth=1.5,
            style="frontier",
        )
        .encode(x=alt.X(**_log(f"{x}:Q", "")), y=_accuracy(), detail=[f"{name}:N" for name in groups])
    )


def _pareto(scales: Scales) -> Drawing:
    points = alt.Chart(_source("lines"))
    title = "gates of two inputs"
    x = alt.X(**_log("gates_logic:Q", title))
    readout = points.mark_rule(strokeWidth=1, opacity=0.6).encode(
        x=x, x2="gates_whole:Q", y=_accuracy(), color=_colour("method", scales.methods)
    )
    ends = points.mark_tick(orient="vertical", size=9, thickness=1.5).encode(
        x=alt.X(**_log("gates_whole:Q", title)), y=_accuracy(), color=_colour("method", scales.methods)
    )
    published = (
        alt.Chart(_source("papers"))
        .mark_point(shape="diamond", filled=False, size=70, strokeWidth=1.5, style="published")
        .encode(
            x=x,
            y=_accuracy(),
            tooltip=[
                alt.Tooltip("name:N", title="published"),
                alt.Tooltip("accuracy:Q", title="accuracy", format=".4~p"),
                alt.Tooltip("gates_logic:Q", title="gates, as counted there", format=",.0f"),
            ],
        )
    )
    below = _frontier(points, "gates_logic", "ascending") + readout + ends + published
    told = ("gates_logic:Q", "gates", ",.0f"), ("gates_whole:Q", "and with the readout", ",.0f")
    return _scatter(points, x, scales, below, *told)


def _speed(scales: Scales) -> Drawing:
    points = alt.Chart(_source("lines"))
    x = alt.X(**_log("items_per_second:Q", "items a second, fastest form"))
    spread = points.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("items_low:Q"), x2="items_high:Q", y=_accuracy(), color=_colour("method", scales.methods)
    )
    frontier = _frontier(points, "items_per_second", "descending") + spread
    return _scatter(points, x, scales, frontier, ("items_per_second:Q", "items/s", ".3s"), ("backend:N", "back end", ""))


def _scatter(points: alt.Chart, x: alt.X, scales: Scales, below: Drawing, *told: tuple[str, str, str]) -> Drawing:
    colour = _colour("method", scales.methods)
    # Intervals of two or three seeds are wide. They are cut off where they would leave no room for what is compared.
    bars = (
        points.transform_joinaggregate(least="min(worst)", most="max(accuracy)")
        .transform_calculate(
            low="max(datum.accuracy_low, datum.least - (datum.most - datum.least) / 10)", high="min(datum.accuracy_high, 1)"
        )
        .transform_filter("isValid(datum.accuracy_low)")
        .mark_rule(strokeWidth=1.5)
        .encode(x=x, y=_accuracy("low"), y2="high:Q", color=colour)
    )
    marks = points.mark_point(filled=True, size=110, opacity=0.9, strokeWidth=1).encode(
        x=x,
        y=_accuracy(),
        color=colour,
        shape=alt.Shape("task:N"),
        tooltip=_tooltip(("accuracy:Q", "accuracy", ".4~p"), ("seeds:Q", "seeds", ""), *told),
    )
    return alt.layer(below, bars, marks).properties(height=HEIGHT)


def _log(shorthand: str, title: str) -> dict[str, Any]:
    """Of a channel on a logarithmic scale, with grid lines at powers of ten only."""
    whole = {"test": "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 0.001", "value": 1}
    axis = alt.Axis(format="~s", tickCount=6, gridOpacity={"condition": whole, "value": 0}, labelOverlap=True)
    return {"shorthand": shorthand, "title": title, "scale": alt.Scale(type="log", padding=14, nice=False), "axis": axis}


def _forest(scales: Scales) -> Drawing:
    rows = _with_lines("timings")
    title = "× the fastest neural-network row"
    x = alt.X(**_log("ratio:Q", title))
    of_row = {
        "y": alt.Y("name:N", title=None, sort=None),
        "yOffset": alt.YOffset("backend:N", scale=alt.Scale(domain=[name for name in scales.backends if name != NETWORK])),
        "color": _colour("backend", [name for name in scales.backends if name != NETWORK]),
    }
    noise = (
        alt.Chart(_source("lines"))
        .transform_filter("isValid(datum.noise_floor) && isValid(datum.ratio_vs_nn)")
        .transform_aggregate(floor="max(noise_floor)")
        .transform_calculate(low="1 / (1 + datum.floor)", high="1 + datum.floor")
    )
    band = noise.mark_rect(opacity=0.25, style="band").encode(x=alt.X(**_log("low:Q", title)), x2="high:Q")
    bars = rows.mark_rule(strokeWidth=2).encode(x=alt.X(**_log("ratio_low:Q", title)), x2="ratio_high:Q", **of_row)
    marks = rows.mark_point(filled=True, size=60, opacity=1).encode(
        x=x,
        **of_row,
        tooltip=_tooltip(
            ("backend:N", "back end", ""),
            ("ratio:Q", "× nn", ",.4r"),
            ("ratio_low:Q", "from", ",.4r"),
            ("ratio_high:Q", "to", ",.4r"),
            ("seeds:Q", "seeds", ""),
        ),
    )
    return alt.layer(band, bars, marks).properties(height=alt.Step(14, **{"for": "offset"}))


def _curves(_: Scales) -> alt.Chart:
    return (
        _with_lines("curves")
        .transform_flatten(["step", "soft", "hard"])
        .transform_fold(["soft", "hard"], as_=["kind", "accuracy"])
        .transform_filter("isValid(datum.accuracy)")
        .mark_line(strokeWidth=1.6, opacity=0.85)
        .encode(
            x=alt.X("step:Q", title="training step", axis=alt.Axis(format="~s", tickCount=6)),
            y=alt.Y("accuracy:Q", title="validation accuracy", axis=_PERCENT, scale=alt.Scale(zero=False, nice=False, padding=8)),
            color=alt.Color("name:N", sort=None, legend=alt.Legend(columns=1)),
            strokeDash=alt.StrokeDash(
                "kind:N", scale=alt.Scale(domain=["hard", "soft"], range=[[1, 0], [4, 3]]), legend=alt.Legend(orient="bottom")
            ),
            detail="seed:N",
            tooltip=_tooltip(
                ("seed:Q", "seed", ""), ("kind:N", "as", ""), ("step:Q", "step", ","), ("accuracy:Q", "accuracy", ".4~p")
            ),
        )
        .properties(height=HEIGHT)
    )


def _gate_types(scales: Scales) -> alt.Chart:
    """A bar a layer, the first of each line with its name."""
    return (
        _with_lines("kinds")
        .transform_calculate(row="datum.name + '\\n' + datum.layer", at=f"indexof({list(scales.kinds)}, datum.kind)")
        .mark_bar()
        .encode(
            x=alt.X("gates:Q", stack="normalize", title="share of the layer's gates", axis=alt.Axis(format="%", tickCount=6)),
            y=alt.Y(
                "row:N",
                title=None,
                sort=None,
                axis=alt.Axis(
                    labelExpr="split(datum.label, '\\n')[1] == '1' ? split(datum.label, '\\n')[0] : ''", ticks=False, domain=False
                ),
            ),
            color=_colour("kind", scales.kinds),
            order=alt.Order("at:Q"),
            tooltip=_tooltip(("layer:O", "layer", ""), ("kind:N", "kind", ""), ("gates:Q", "gates", ",.4~r")),
        )
        .properties(height=alt.Step(14))
    )


def _compile(scales: Scales) -> alt.Chart:
    return (
        _with_lines("timings")
        .mark_point(filled=True, size=90, opacity=0.85)
        .encode(
            x=alt.X(**_log("gates:Q", "gates compiled")),
            y=alt.Y(**_log("compile_seconds:Q", "seconds to compile")),
            color=_colour("backend", [name for name in scales.backends if name not in (NETWORK, REFERENCE)]),
            shape=alt.Shape("task:N"),
            tooltip=_tooltip(("backend:N", "back end", ""), ("gates:Q", "gates", ",.0f"), ("compile_seconds:Q", "s", ".3~s")),
        )
        .properties(height=HEIGHT)
    )


def _batch(scales: Scales) -> Drawing:
    base = _with_lines("batches").encode(
        x=alt.X(**_log("batch:Q", "items given at once")),
        y=alt.Y(**_log("ns:Q", "nanoseconds an item, end to end")),
        color=_colour("backend", scales.backends),
        detail="line:N",
    )
    marks = base.mark_point(filled=True, size=80, opacity=1).encode(
        shape=alt.Shape("name:N", sort=None, legend=alt.Legend(columns=1, orient="bottom")),
        tooltip=_tooltip(("backend:N", "back end", ""), ("batch:Q", "items", ","), ("ns:Q", "ns an item", ",.4~r")),
    )
    return alt.layer(base.mark_line(strokeWidth=1.5, opacity=0.7), marks).properties(height=HEIGHT)


CHARTS = {
    chart.name: chart
    for chart in (
        Chart(
            "pareto",
            "Accuracy and gates",
            "Up and to the left is better: more right answers from fewer gates. A mark counts the gates of the optimised circuit"
            " as gates of two inputs, and its line ends at as many as there are with the readout, which counts votes. The dashed"
            " line joins what nothing else of the same task beats in both; bars are 95 % intervals over seeds, cut off at 100 %"
            " and below the worst seed. Hollow diamonds are published results, with gates as their papers count them.",
            "lines",
            {"seeds": "seeds", "accuracy": "accuracy", "accuracy_low": "from", "accuracy_high": "to", "gates_logic": "gates",
             "gates_whole": "with readout"},
            False,
            ("accuracy", "gates_logic"),
            _pareto,
            papers=True,
        ),
        Chart(
            "speed",
            "Accuracy and speed",
            "Up and to the right is better. Speed is that of the fastest exact form, the median over seeds with a bar from the"
            " slowest seed to the fastest; the accuracy's bar is its 95 % interval, cut off likewise.",
            "lines",
            {"seeds": "seeds", "accuracy": "accuracy", "items_per_second": "items/s", "items_low": "from", "items_high": "to",
             "backend": "back end"},
            False,
            ("accuracy", "items_per_second"),
            _speed,
        ),
        Chart(
            "forest",
            "Speed-up over the neural network",
            "How many times faster each back end is than the network it came from, with 95 % intervals. Within the grey band"
            " about 1, by which two copies of one library differ, there is no difference.",
            "timings",
            {"backend": "back end", "ratio": "× nn", "ratio_low": "from", "ratio_high": "to", "seeds": "seeds"},
            True,
            ("ratio", "ratio_low", "ratio_high"),
            _forest,
        ),
        Chart(
            "curves",
            "Training",
            "Validation accuracy of the network while it learns: as a relaxed network (soft, dashed) and with every gate"
            " fixed (hard). One line a seed.",
            "curves",
            {"seed": "seed", "step": "step", "soft": "soft", "hard": "hard"},
            True,
            (),
            _curves,
        ),
        Chart(
            "gates",
            "What the gates became",
            "Kinds of gates in each layer after training, the first layer on top; means over seeds.",
            "kinds",
            {"layer": "layer", "kind": "kind", "gates": "gates"},
            True,
            ("gates",),
            _gate_types,
        ),
        Chart(
            "compile",
            "Time to compile",
            "What the C compiler or numba takes for circuits of so many gates, medians over seeds.",
            "timings",
            {"backend": "back end", "gates": "gates", "compile_seconds": "compile s"},
            False,
            ("gates", "compile_seconds"),
            _compile,
        ),
        Chart(
            "batch",
            "Time of an item by how many come at once",
            "Lanes are shared: a single item costs as much as a word of them. End to end, with packing and unpacking.",
            "batches",
            {"backend": "back end", "batch": "items", "ns": "ns an item"},
            True,
            ("batch", "ns"),
            _batch,
        ),
    )
}  # fmt: skip


def specs(data: Datasets) -> dict[str, Spec]:
    """Of the charts that there is something to draw of."""
    scales = Scales.of(data)
    return {name: chart.spec(scales) for name, chart in CHARTS.items() if chart.rows(data)}
