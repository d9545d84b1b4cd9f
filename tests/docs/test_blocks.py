"""The pages' blocks, run in order on tiny data, each page in a folder of its own."""

import shutil
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, name
from stage import Stage, set_up

from mmseg_gc.config import load_config

# README's are run by tests/test_readme.py.
RUN = [
    page
    for page in PAGES
    if page != ROOT / "README.md"
    if any(block.language in ("bash", "python") for block in blocks(page.read_text()))
]
CONFIGS = [
    pytest.param(block, id=f"{name(page)}:{block.title}")
    for page in PAGES
    for block in blocks(page.read_text())
    if block.title
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_text) -> Path:
    """What pages begin with that don't begin with `init`: a config, and its weights."""
    folder = tmp_path_factory.mktemp("trained")
    set_up(folder)
    with pytest.MonkeyPatch.context() as patch:
        stage = Stage(folder, tiny_text, patch)
        stage.command("mmseg_gc init data/mine -o mine.py")
        stage.command("mmseg_gc train mine.py")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name)
def test_a_pages_blocks_run(page, tmp_path, tiny_text, monkeypatch, request):
    of_page = blocks(page.read_text())
    first = next((b for b in of_page if b.language == "bash"), None)
    folder = tmp_path / "run"
    if first and "init data/mine -o mine.py" in first.text:
        folder.mkdir()
        set_up(folder)
    else:
        shutil.copytree(request.getfixturevalue("trained"), folder)
    stage = Stage(folder, tiny_text, monkeypatch)
    for block in of_page:
        stage.run(block)


@pytest.mark.parametrize("block", CONFIGS)
def test_a_file_that_a_page_shows_is_python(block, tmp_path):
    compile(block.text, block.title, "exec")


def test_own_config_of_the_pages_reads(tmp_path):
    text = (ROOT / "docs/own-data.md").read_text()
    [block] = [one for one in blocks(text) if one.title == "own.py"]
    (tmp_path / "own.py").write_text(block.text)
    cfg = load_config(tmp_path / "own.py")
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == "data/own"
        assert loader.dataset.metainfo.classes == ["background", "crack"]
