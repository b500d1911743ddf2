"""A line chart as numbers that a template draws: points in a box, and ticks at round values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640.0, 160.0  # of the plotting area, in SVG units


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines are `name -> "x,y x,y …"`; ticks are (position, label)."""

    title: str
    lines: Mapping[str, str]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = WIDTH
    height: float = HEIGHT


def chart(title: str, xs: Sequence[float], series: Mapping[str, Sequence[float]]) -> Chart:
    """The chart of some series over the same `xs`."""
    x_step, y_step = (
        _round_step(max(xs, default=1.0)),
        _round_step(max((max(ys, default=0.0) for ys in series.values()), default=1.0)),
    )
    x_top = max(xs, default=1.0) or 1.0
    y_top = max(math.ceil(max((max(ys, default=0.0) for ys in series.values()), default=1.0) / y_step), 1) * y_step

    def points(ys: Sequence[float]) -> str:
        return " ".join(f"{x / x_top * WIDTH:.1f},{HEIGHT - y / y_top * HEIGHT:.1f}" for x, y in zip(xs, ys, strict=True))

    return Chart(
        title,
        {name: points(ys) for name, ys in series.items()},
        tuple((x / x_top * WIDTH, f"{x:g}") for x in _steps(x_step, x_top)),
        tuple((HEIGHT - y / y_top * HEIGHT, f"{y:g}") for y in _steps(y_step, y_top)),
    )


def _round_step(top: float) -> float:
    """1, 2 or 5 times a power of ten, so that about four steps reach `top`."""
    if top <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= top / 4)


def _steps(step: float, top: float) -> list[float]:
    return [step * i for i in range(math.floor(top / step + 1e-9) + 1)]
