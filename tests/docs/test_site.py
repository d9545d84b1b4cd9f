"""What the site does beyond mkdocs."""

import pytest
from pages import ROOT

pytest.importorskip("mkdocs", reason="needs the extra docs")
griffe = pytest.importorskip("griffe", reason="needs the extra docs")


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/misc"))
    return __import__


def test_links_to_files_of_the_repository_are_found(tool):
    hooks = tool("site_hooks")
    text = "[a](../configs/gcnet_det/README.md) [b](gpu.md) [c](../no/file.py)"
    found = hooks.linked_files(text, "zoo.md")
    assert found == {"../configs/gcnet_det/README.md": "configs/gcnet_det/README.md"}
    assert hooks.address("configs/gcnet_det/README.md").endswith(".md.txt")


def test_links_bear_the_title_of_their_page(tool):
    text = tool("site_hooks").titled("see [gpu.md](gpu.md#switches), [x.md](x.md)", "zoo.md")
    assert text == "see [On a GPU](gpu.md#switches), [x.md](x.md)"


def test_links_bear_the_title_of_an_included_page(tool):
    text = tool("site_hooks").titled("see [security.md](security.md)", "reliability.md")
    assert text == "see [Security](security.md)"


def test_names_in_cells_may_break_and_others_may_not(tool):
    html = "<p><code>a.b</code></p><table><td>x <code>a.b/c_d</code></td></table><code>e.f</code>"
    assert tool("site_hooks").breakable(html) == html.replace("a.b/c_d", "a.<wbr>b/<wbr>c_<wbr>d")


def test_sections_of_docstrings_become_lists(tool):
    text = "What it does.\n\nArgs:\n    a, b: two\n        lines.\n    c: one.\n\nSource: a paper."
    made = tool("site_docstrings").as_markdown(text)
    assert "**Args**\n\n- `a, b`: two\n" in made
    assert "- `c`: one." in made
    assert "**Source** a paper." in made


def test_the_theme_asks_no_other_host(tool):
    page = '<script src="https://unpkg.com/iframe-worker/shim"></script>'
    assert tool("site_hooks").on_post_template(page) == '<script src="worker.js"></script>'
