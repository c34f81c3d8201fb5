"""Numbers as tables show them."""

from reports.statistics import Estimate


def percent(fraction: float) -> str:
    """Of a table whose caption says that it is a percentage. It shows 100.00 only for all items."""
    shown = f"{100 * fraction:.2f}"
    return "99.99" if shown == "100.00" and fraction < 1 else shown


def interval(estimate: Estimate) -> str:
    """A mean of fractions and the half-width of its interval, in percent; of one seed the value alone."""
    if estimate.half_width is None:
        return percent(estimate.mean)
    return f"{percent(estimate.mean)}±{100 * estimate.half_width:.2f}"


def seeds(n: int, asked: int) -> str:
    """How many seeds there are results of, of how many there were jobs; a single one is marked."""
    return f"{n if n == asked else f'{n}/{asked}'}{' seed' if n == 1 else ''}"


def threads(n: int) -> str:
    return "one thread" if n == 1 else f"{n} threads"


def figure(value: float | None) -> str:
    """Three digits, or all of those before the point, of thousands from 100,000 on; nothing for None."""
    if value is None:
        return ""
    if value >= 99_950:  # seven characters would not leave room for an interval in 80 columns
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def quantity(value: float) -> str:
    """A count in three digits with its unit: 149G, 1.5M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
