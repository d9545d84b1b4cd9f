"""Charts as inline SVG: shares of classes and histograms. Colours come from the page's style."""

import math
from collections.abc import Sequence
from html import escape

BAR, GAP, NAME, PLOT, FIGURE = 9, 8, 150, 460, 90
LOWEST = 1e-5  # shares below stand at the left edge of the logarithmic axis


def class_bars(names: Sequence[str], palette: Sequence, shares: dict[str, list[float]]) -> str:
    """One row a class and in it one bar a split; shares are ratios, on a logarithmic axis."""
    row_height = BAR * len(shares) + GAP
    height = 24 + row_height * len(names)
    parts = []
    for power in range(round(math.log10(LOWEST)), 1):
        x = NAME + _place(10**power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{height}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="11">{10 ** (power + 2):g} %</text>')
    for row, name in enumerate(names):
        top = 24 + row_height * row
        color = ",".join(map(str, palette[row])) if row < len(palette) else "128,128,128"
        parts.append(f'<rect x="0" y="{top + 4}" width="10" height="10" fill="rgb({color})"/>')
        parts.append(f'<text class="name" x="16" y="{top + 13}">{escape(name.strip()[:20])}</text>')
        for index, (split, values) in enumerate(shares.items()):
            share, y = values[row], top + 1 + index * BAR
            parts.append(
                f'<rect class="s{index}" x="{NAME}" y="{y}" width="{_place(share):.1f}" '
                f'height="{BAR - 1}" rx="2"><title>{escape(split)}: {share:.4%}</title></rect>'
            )
            x = NAME + _place(share) + 5
            text = f"{share:.2%}" if share >= 5e-5 or not share else f"{share:.4%}"
            if index == 0:
                parts.append(f'<text class="value" x="{x:.1f}" y="{top + 10}">{text}</text>')
    return _svg(NAME + PLOT + FIGURE, height, parts)


def histogram(values: Sequence[float], low: float, high: float, bins: int, unit: str) -> str:
    """How many of ``values`` fall into each of ``bins`` equal steps from ``low`` to ``high``."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int((value - low) / (high - low) * bins)))] += 1
    width, height, most = 300, 120, max(counts) or 1
    step, parts = width / bins, []
    for index, count in enumerate(counts):
        tall = (height - 4) * count / most
        start = low + (high - low) * index / bins
        title = f"{start:g} to {start + (high - low) / bins:g} {unit}: {count} images"
        parts.append(
            f'<rect class="s0" x="{index * step + 1:.1f}" y="{height - tall:.1f}" '
            f'width="{step - 2:.1f}" height="{tall:.1f}" rx="2"><title>{title}</title></rect>'
        )
    parts.append(f'<line class="axis" x1="0" x2="{width}" y1="{height}" y2="{height}"/>')
    parts.append(f'<text class="value" x="0" y="{height + 14}">{low:g}</text>')
    parts.append(f'<text class="end" x="{width}" y="{height + 14}">{high:g} {unit}</text>')
    return _svg(width, height + 20, parts)


def _place(share: float) -> float:
    if share <= 0:
        return 0
    return PLOT * max(0.004, 1 - math.log10(share) / math.log10(LOWEST))


def _svg(width: int, height: int, parts: list[str]) -> str:
    box = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">{"".join(parts)}</svg>'
