"""One table, one JSON file, one picture."""

import json
import math
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """A ratio, the bar it must reach (`at_least`) or stay under, and the medians it is made of."""

    what: str
    ratio: float
    bar: float
    at_least: bool
    medians: str
    rounds: list[float]

    @property
    def holds(self) -> bool:
        return self.ratio >= self.bar if self.at_least else self.ratio <= self.bar

    @property
    def margin(self) -> float:
        """How many times better than the bar; under 1 it is missed."""
        if not self.ratio:
            return 0.0 if self.at_least else float("inf")
        return self.ratio / self.bar if self.at_least else self.bar / self.ratio


def table(figures: list[Figure]) -> str:
    if not figures:
        return "Nothing was measured."
    width = max(len(figure.what) for figure in figures)
    lines = [f"{'':<{width}}  {'ratio':>8}  {'bar':>8}   rounds (least to most); medians"]
    for figure in figures:
        bar = f"{'>=' if figure.at_least else '<='} {figure.bar:g}"
        spread = f"[{min(figure.rounds):.2f} .. {max(figure.rounds):.2f}]"
        verdict = " " if figure.holds else "missed"
        lines.append(
            f"{figure.what:<{width}}  {figure.ratio:>8.2f}  {bar:>8}  {verdict:<6} "
            f"{spread}; {figure.medians}"
        )
    return "\n".join(lines)


def write(figures: list[Figure], facts: dict[str, object], directory: Path) -> None:
    rows = [asdict(figure) | {"holds": figure.holds} for figure in figures]
    (directory / "bench.json").write_text(json.dumps(facts | {"figures": rows}, indent=2) + "\n")
    (directory / "bench.svg").write_text(picture(figures))


def picture(figures: list[Figure]) -> str:
    """How far each figure is from its bar, on a line where every step doubles."""
    left, right, line = 520, 420, 22
    height = line * (len(figures) + 2)
    middle = left + right // 3
    scale = right // 3 / 3  # three doublings to the left, six to the right
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right + 80}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{middle}" y="14" text-anchor="middle">the bar</text>',
    ]
    for number, figure in enumerate(figures, start=1):
        y = line * number
        doublings = max(-3.0, min(6.0, log2(figure.margin)))
        x, length = min(middle, middle + doublings * scale), abs(doublings) * scale
        colour = "#2a9d8f" if figure.holds else "#e76f51"
        parts += [
            f'<text x="{left - 10}" y="{y + 14}" text-anchor="end">{escape(figure.what)}</text>',
            f'<rect x="{x:.0f}" y="{y + 3}" width="{max(length, 1):.0f}" height="{line - 8}" '
            f'fill="{colour}"/>',
            f'<text x="{x + length + 4:.0f}" y="{y + 14}">{figure.ratio:.2f}</text>',
        ]
    parts.append(
        f'<line x1="{middle}" y1="18" x2="{middle}" y2="{height - 18}" stroke="black"/></svg>'
    )
    return "\n".join(parts) + "\n"


def log2(value: float) -> float:
    return -math.inf if value <= 0 else math.log(value, 2)
