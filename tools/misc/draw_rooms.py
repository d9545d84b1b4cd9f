"""Draw docs/rooms.svg, who imports whom, from the imports of the package's files.

An arrow stands for imports that no longer way through other rooms brings as well. `--check` writes
nothing and exits with 1 where the drawing is not what the code says.
"""

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mmseg_gc"
DRAWING = ROOT / "docs/rooms.svg"
BY_ALL = {"errors", "version", "__init__", "__main__"}  # whose arrows would hide all others
WIDTH, HEIGHT, GAP_X, GAP_Y = 118, 30, 16, 54
COLOUR, LINE = "#00796b", "#8a9a98"


def rooms() -> dict[str, set[str]]:
    """The folders and files of the package, each with those that it imports."""
    graph: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room in BY_ALL:
            continue
        found = graph.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            found |= {name.split(".")[1] for name in names if name.startswith("mmseg_gc.")}
    return {room: (found & graph.keys()) - {room} for room, found in graph.items()}


def levels(graph: dict[str, set[str]]) -> list[list[str]]:
    """Rooms by the length of the longest way down, lowest first."""

    @cache
    def height(room: str) -> int:
        return 1 + max(map(height, graph[room]), default=-1)

    top = max(map(height, graph))
    return [sorted(room for room in graph if height(room) == level) for level in range(top + 1)]


def arrows(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Imports without those that a longer way brings as well."""

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(graph[room]).union(*map(below, graph[room]))

    return [
        (room, target)
        for room, targets in sorted(graph.items())
        for target in sorted(targets)
        if not any(target in below(other) for other in targets - {target})
    ]


def svg() -> str:
    """The drawing: commands at the top, what all others import at the bottom."""
    graph = rooms()
    rows = levels(graph)
    widest = max(map(len, rows))
    width = widest * (WIDTH + GAP_X) + GAP_X
    height = len(rows) * (HEIGHT + GAP_Y)
    place = {}
    for level, row in enumerate(reversed(rows)):
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for index, room in enumerate(row):
            place[room] = (left + index * (WIDTH + GAP_X), GAP_Y / 2 + level * (HEIGHT + GAP_Y))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
    ]
    for room, target in arrows(graph):
        (x1, y1), (x2, y2) = place[room], place[target]
        x1, y1, x2 = x1 + WIDTH / 2, y1 + HEIGHT, x2 + WIDTH / 2
        bend = (y2 - y1) / 2
        parts.append(
            f'<path d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}" '
            f'fill="none" stroke="{LINE}" stroke-width="1.3" marker-end="url(#tip)"/>'
        )
    for room, (x, y) in place.items():
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
            f'fill="{COLOUR}"/><text x="{x + WIDTH / 2:g}" y="{y + 20:g}" fill="#fff" '
            f'text-anchor="middle">{room}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> int:
    text = svg()
    if "--check" in sys.argv[1:]:
        if not DRAWING.is_file() or DRAWING.read_text() != text:
            print("docs/rooms.svg is not what the code says: python tools/misc/draw_rooms.py")
            return 1
        return 0
    DRAWING.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
