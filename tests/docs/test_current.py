"""Pages that are made from other files, or quote them, say what these say now."""

import ast
import re
import runpy
import sys

import pytest
from pages import ROOT, prose

PACKAGE = ROOT / "mmseg_gc"
MADE_BY = ("draw_rooms.py", "write_zoo.py", "write_migrating_table.py")
QUOTED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


@pytest.mark.parametrize("script", MADE_BY)
def test_a_page_is_what_its_script_writes(script, monkeypatch, capsys):
    path = ROOT / "tools/misc" / script
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    assert runpy.run_path(str(path))["main"]() == 0, capsys.readouterr().out


def test_a_drawing_that_lacks_an_arrow_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/misc"))
    import draw_rooms

    drawing = tmp_path / "rooms.svg"
    drawing.write_text(draw_rooms.DRAWING.read_text().replace("<path d=", "<path d =", 1))
    monkeypatch.setattr(draw_rooms, "DRAWING", drawing)
    monkeypatch.setattr(sys, "argv", ["draw_rooms.py", "--check"])
    assert draw_rooms.main() == 1


def test_rooms_are_drawn_above_what_they_import(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/misc"))
    import draw_rooms

    graph = {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": {"a"}}
    assert draw_rooms.levels(graph) == [["a"], ["b", "d"], ["c"]]
    assert draw_rooms.arrows(graph) == [("b", "a"), ("c", "b"), ("d", "a")]


def texts() -> str:
    """All texts of the package, what is filled in as `…`, one below the other."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_quoted_messages_stand_in_the_source():
    page = prose((ROOT / "docs/troubleshooting.md").read_text())
    quoted = QUOTED.findall(page)
    assert len(quoted) >= 20
    source = texts()
    for message in quoted:
        # A part that is filled in may be several in the source, or none.
        pattern = "[^\n]*".join(map(re.escape, message.split("…")))
        assert re.search(pattern, source), message
