"""The table in all its forms, with a config that failed and a class that doesn't occur."""

import csv
import json
import re
from io import StringIO
from xml.etree import ElementTree

from mmseg_gc.cli.comparing.results import Row, csv_table, markdown_table, text_table, write_results

FIGURES = dict(parameters=12.8, gflop=98.76, ms=210.4, mib=700.2)
ROWS = [
    Row("fcn", miou=40.126, **FIGURES, by_class={"sky": 80.26, "<pole>": None}),
    Row("nl|x", "the disk is <full>"),
    Row("gc", miou=41.5, **{**FIGURES, "ms": 220.0}, by_class={"sky": 81.0, "<pole>": 3.04}),
]


def test_text_and_markdown():
    text = text_table(ROWS, per_class=True)
    assert re.search(r"\| fcn +\| +40.13 \| +12.80 \| +98.8 \| +210 \| +700 \|", text)
    assert re.search(r"\| nl\|x +\| +failed \|", text)
    assert re.search(r"\| <pole> +\| +– \| +3.0 \|", text)
    assert "<pole>" not in text_table(ROWS, per_class=False)
    lines = markdown_table(ROWS).splitlines()
    assert lines[0] == "| config | mIoU | parameters, M | GFLOP | ms an image | peak, MiB |"
    assert lines[2] == "| fcn | 40.13 | 12.80 | 98.8 | 210 | 700 |"
    assert lines[3].startswith(r"| nl\|x | failed |")


def test_csv():
    first, failed, last = csv.DictReader(StringIO(csv_table(ROWS)))
    assert (first["mIoU"], first["IoU.sky"], first["IoU.<pole>"]) == ("40.126", "80.26", "")
    assert failed["error"] == "the disk is <full>" and failed["mIoU"] == ""
    assert last["IoU.<pole>"] == "3.04"


def test_files(tmp_path):
    out = tmp_path / "new.html"
    write_results(out, ROWS, {"seed": "0"}, {"fcn": "a/<b>.py"})
    page = out.read_text()
    assert "<full>" not in page and "the disk is &lt;full&gt;" in page and "a/&lt;b&gt;.py" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)  # it opens offline
    assert "<b>gc</b>" in page and "<b>fcn</b>" not in page  # the best
    found = json.loads(out.with_suffix(".json").read_text())
    assert found["rows"][0]["by_class"] == {"sky": 80.26, "<pole>": None}
    assert found["facts"] == {"seed": "0"}
    drawn = ElementTree.fromstring(out.with_suffix(".svg").read_text())
    words = " ".join("".join(node.itertext()) for node in drawn.iter())
    assert "gc" in words and "nl|x" not in words and "var(" in out.with_suffix(".svg").read_text()


def test_all_failed(tmp_path):
    out = tmp_path / "new.html"
    write_results(out, [ROWS[1]], {}, {})
    assert "failed" in out.read_text() and not out.with_suffix(".svg").exists()
