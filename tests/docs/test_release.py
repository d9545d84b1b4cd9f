"""What `make release-check` asks beyond the tests."""

import shutil

import pytest
from pages import ROOT


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/misc"))
    return __import__


def test_versions_that_disagree_are_named(tool, tmp_path):
    for name in ("CHANGELOG.md", "CITATION.cff", "mmseg_gc/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "mmseg_gc/version.py").write_text('__version__ = "9.8.7"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 9.8.7 (2030-01-01)\n")
    [sentence] = tool("check_version").faults(tmp_path)
    assert sentence.startswith("CITATION.cff names 0.") and sentence.endswith("9.8.7.")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    assert len(tool("check_version").faults(tmp_path)) == 2


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("BSD License", True),
        ("GNU General Public License v3 (GPLv3)", False),
        ("Proprietary", False),
        ("LIMITED", False),
        ("", False),
    ],
)
def test_licences_are_told_apart(tool, licence, permissive):
    assert tool("check_licences").is_permissive(licence) is permissive


def test_what_is_needed_includes_what_that_needs(tool):
    names = tool("check_licences").needed("mmseg_gc")
    assert {"torch", "onedl-mmcv", "addict"} <= set(names)  # the last is mmengine's
    assert "pytest" not in names  # of an extra
