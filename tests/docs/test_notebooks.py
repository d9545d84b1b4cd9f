"""The notebooks run from first to last cell, on small data."""

import re
from pathlib import Path

import pytest
from pages import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_keep_texts_alone_of_their_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds <= {"text/plain", "text/markdown"}  # data sets' images aren't ours to keep
    assert not any(str(Path.home()) in str(output) for output in outputs)
    assert path.stat().st_size < 30_000


def test_the_ablation_of_camvid_is_kept():
    notebook = nbformat.read(ROOT / "docs/notebooks/gcnet-from-scratch.ipynb", as_version=4)
    table = next(str(c.outputs) for c in notebook.cells if "Markdown(" in c.source)
    assert len(re.findall(r"\| [\w/ -]+ \| \d+ \| [\d.]+ \|", table)) == 10


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs the extra docs")
    monkeypatch.setenv("ITERATIONS", "3")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MMSEG_GC_CAMVID", raising=False)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = "".join(
        str(output.get("text", "") or output.get("data", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    if path.stem == "own-images":
        assert (tmp_path / "report/report.html").is_file()
        assert "polygons" in printed
    else:
        # Every variant has a row: its block's parameters, and a score in percent.
        rows = dict(re.findall(r"\| ([\w/ -]+) \| (\d+) \| [\d.]+ \|", printed))
        assert len(rows) == 10
        assert int(rows["att add 1/4"]) - int(rows["avg add 1/4"]) == 32 + 1  # conv_mask
        assert int(rows["no block"]) == 0
