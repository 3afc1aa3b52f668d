"""Plots drawn as SVG, from their numbers: readable without colour, the same bytes each time.

What differs is told by marks, lines and hatches; text stays text. Nobody is named.
"""

import io
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

Plot = Mapping[str, Any]

_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "trial-events",
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}
_SIZE_INCHES: Final = (8.4, 5.0)
_GREY: Final = "0.55"
_ONE_AT_A_TIME: Final = Lock()
"""The library's settings belong to the process, not to a figure."""
_HATCH_BY_RESPONSE: Final = {
    "pasi100": ("xxxx", "PASI-100"),
    "pasi90": ("////", "PASI-90"),
    "pasi75": ("///", "PASI-75"),
    "pasi50": ("..", "PASI-50"),
    None: ("", "no PASI-50"),
}
_MOST_SINGLE_BARS: Final = 80
_MOST_TICKS: Final = 20


def draw(plot: Plot, note: str) -> bytes:
    """Return the plot as SVG; `note` is said below it."""
    with _ONE_AT_A_TIME, mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        _DRAWN_BY_KIND[plot["kind"]](figure, plot)
        figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color="0.25")
        written = io.BytesIO()
        metadata = {"Date": None, "Creator": None, "Title": plot["title"]}
        figure.savefig(written, format="svg", metadata=metadata)
    return written.getvalue()


def _label(axes: Axes, plot: Plot) -> None:
    axes.set_title(f"{plot['title']} ({plot['counted']}: n = {plot['n']})")
    axes.set_xlabel(_with_unit(plot["x"]))
    axes.set_ylabel(_with_unit(plot["y"]))
    if not plot["n"]:
        axes.annotate("nothing yet", (0.5, 0.5), xycoords="axes fraction", ha="center")


def _with_unit(axis: Mapping[str, Any]) -> str:
    return axis["label"] if axis["unit"] is None else f"{axis['label']} ({axis['unit']})"


def _explain(figure: Figure) -> None:
    """Say what the marks mean, outside, where nothing is hidden."""
    figure.legend(loc="outside upper right", ncols=5, frameon=False, fontsize=8)


def _name_line(axes: Axes, text: str, at: float) -> None:
    """Draw a line across, with its name at the right end."""
    axes.axhline(at, color=_GREY, linewidth=0.8, linestyle="--")
    axes.annotate(
        text,
        (1.0, at),
        xycoords=("axes fraction", "data"),
        xytext=(0, 1.5),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
    )


def _draw_course(figure: Figure, plot: Plot) -> None:
    axes = figure.subplots()
    _label(axes, plot)
    for at, window in enumerate(plot["windows"]):
        axes.axvspan(
            window["first_day"] - 0.5,
            window["last_day"] + 0.5,
            facecolor="0.92",
            edgecolor="0.8",
            linewidth=0.4,
            label=None if at else "visit window",
        )
        middle = (window["first_day"] + window["last_day"]) / 2
        axes.annotate(
            window["visit"],
            (middle, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=7,
            rotation=90,
        )
    for response in plot["responses"]:
        _name_line(axes, response["response"], float(response["value"]))
    days = [one["day"] for one in plot["points"]]
    values = [float(one["value"]) for one in plot["points"]]
    axes.plot(days, values, color="black", marker="o", markersize=5, linewidth=1.4, label="value")
    infused = [one["day"] for one in plot["infusions"]]
    if infused:
        axes.plot(
            infused,
            [0.0] * len(infused),
            color="black",
            marker="^",
            markersize=9,
            linestyle="none",
            clip_on=False,
            label="infusion",
        )
    _finish_courses(axes, values)
    _explain(figure)


def _finish_courses(axes: Axes, values: Sequence[float]) -> None:
    axes.set_ylim(0, 1.18 * max(values, default=1.0) or 1.0)
    axes.xaxis.set_major_locator(MultipleLocator(28))
    axes.xaxis.set_minor_locator(MultipleLocator(14))


def _draw_courses(figure: Figure, plot: Plot) -> None:
    axes = figure.subplots()
    _label(axes, plot)
    for at, course in enumerate(plot["courses"]):
        days = [one["day"] for one in course["points"]]
        values = [float(one["value"]) for one in course["points"]]
        label = None if at else "one participant"
        axes.plot(days, values, color=_GREY, linewidth=0.7, marker=".", markersize=3, label=label)
    visits = [one for one in plot["visits"] if one["n"]]
    days = [one["day"] for one in visits]
    lower, middle, upper = (
        [float(one[name]) for one in visits] for name in ("q1_type7", "median", "q3_type7")
    )
    spread = [
        [m - low for m, low in zip(middle, lower, strict=True)],
        [high - m for m, high in zip(middle, upper, strict=True)],
    ]
    if visits:
        axes.errorbar(
            days,
            middle,
            yerr=spread,
            color="black",
            marker="s",
            markersize=5,
            linewidth=1.6,
            capsize=4,
            label="median, quartiles (type 7)",
        )
        _explain(figure)
    for one in visits:
        axes.annotate(
            f"{one['visit']}\nn = {one['n']}",
            (one["day"], 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=7,
        )
    highest = [float(one["value"]) for course in plot["courses"] for one in course["points"]]
    _finish_courses(axes, [*highest, *upper])


def _draw_waterfall(figure: Figure, plot: Plot) -> None:
    axes = figure.subplots()
    _label(axes, plot)
    for response, (hatch, label) in _HATCH_BY_RESPONSE.items():
        bars = [one for one in plot["bars"] if one["response"] == response]
        if bars:
            _draw_bars(axes, bars, hatch, label, is_dense=plot["n"] > _MOST_SINGLE_BARS)
    for percent in (50, 75, 90):
        _name_line(axes, f"PASI-{percent}", percent)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(x=0.02, y=0.08)
    if 0 < plot["n"] <= _MOST_SINGLE_BARS:
        axes.xaxis.set_major_locator(MultipleLocator(1 if plot["n"] <= _MOST_TICKS else 5))
    if plot["bars"]:
        _explain(figure)


def _draw_bars(
    axes: Axes, bars: Sequence[Mapping[str, Any]], hatch: str, label: str, *, is_dense: bool
) -> None:
    ranks = [one["rank"] for one in bars]
    values = [float(one["improvement_percent"]) for one in bars]
    look: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.8}
    if is_dense:
        axes.fill_between(ranks, values, hatch=hatch, label=label, **look)
    else:
        axes.bar(ranks, values, width=0.8, hatch=hatch, label=label, **look)


def _draw_survival(figure: Figure, plot: Plot) -> None:
    axes, table = figure.subplots(2, 1, sharex=True, height_ratios=(6, 1))
    _label(axes, plot)
    times = [0, *(one["time"] for one in plot["steps"]), plot["last"]]
    shares = [1.0, *(float(one["survival"]) for one in plot["steps"])]
    axes.step(times, [*shares, shares[-1]], where="post", color="black", linewidth=1.6)
    lost = [one["time"] for one in plot["censored"]]
    at = [_share_at(day, times, shares) for day in lost]
    if lost:
        axes.plot(lost, at, "|", color="black", markersize=11, label="censored at the last value")
        _explain(figure)
    median = plot["median"]
    _name_line(axes, "median not reached" if median is None else f"median {median} d", 0.5)
    axes.set_ylim(0, 1.05)
    axes.tick_params(labelbottom=True)
    _draw_numbers_at_risk(table, plot)


def _share_at(day: int, times: Sequence[int], shares: Sequence[float]) -> float:
    """Return the share on a day; on an event's day, after the fall."""
    return [share for time, share in zip(times, shares, strict=False) if time <= day][-1]


def _draw_numbers_at_risk(table: Axes, plot: Plot) -> None:
    table.set_axis_off()
    table.set_ylim(0, 1)
    for one in plot["at_risk"]:
        table.annotate(
            str(one["n"]), (one["time"], 0.2), xycoords=("data", "axes fraction"), ha="center"
        )
    table.annotate("number at risk", (0.0, 0.75), xycoords="axes fraction", fontsize=8)
    ticks = [one["time"] for one in plot["at_risk"]]
    table.set_xticks(ticks)


_DRAWN_BY_KIND: Final = {
    "course": _draw_course,
    "courses": _draw_courses,
    "waterfall": _draw_waterfall,
    "survival": _draw_survival,
}
