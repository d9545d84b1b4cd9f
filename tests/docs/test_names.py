"""What the pages name exists: commands, options, files, links, configs' keys."""

import re

import pytest
from lookup import faults, options_of_command, options_of_script
from pages import PAGES, ROOT, blocks, name, prose

from mmseg_gc.cli.main import commands

# Whose prose names files of mmsegmentation.
OF_MMSEGMENTATION = ROOT / "docs/migrating-table.md"
LANGUAGES = {"bash", "console", "python", "text", "shell", ""}
TO_LOOK_UP = ("bash", "console", "shell", "")
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
# Tools without a command of the same name whose options the pages name.
SCRIPTS = (
    "demo/rs_image_inference.py",
    "tools/analysis_tools/visualization_cam.py",
    "tools/benchmarks/compare_techniques.py",
    "tools/convert_datasets/camvid.py",
    "tools/convert_datasets/cityscapes.py",
    "tools/convert_datasets/potsdam.py",
    "tools/pack_dataset.py",
    "tools/verify_zoo.py",
    "tools/gpu_check",
)
# Options of other programs.
OF_OTHERS = {"--index-url", "--local-rank"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_name_what_exists(page):
    text = page.read_text()
    found = []
    for block in blocks(text):
        assert block.language in LANGUAGES, block
        if block.language in TO_LOOK_UP:
            found += [(line, fault) for line in block.commands() for fault in faults(line)]
    for words in INLINE.findall(prose(text)) if page != OF_MMSEGMENTATION else ():
        if re.match(r"(mmseg_gc|make|python) \S|tools/|\.venv/", words):
            found += [(words, fault) for fault in faults(words)]
    assert not found


def test_options_in_prose_exist():
    known = OF_OTHERS.union(*map(options_of_command, commands()))
    known |= options_of_command("convert", "coco") | options_of_command("hub", "push")
    known = known.union(*map(options_of_script, SCRIPTS))
    for page in PAGES:
        for words in INLINE.findall(prose(page.read_text())):
            if words.startswith("--"):
                assert words.split()[0].partition("=")[0] in known, (page, words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page.read_text())):
        if not re.match(r"https?:|mailto:", link):
            assert (page.parent / link).exists(), link


def test_pages_show_only_files_that_exist():
    for page in set(PAGES) - {OF_MMSEGMENTATION}:
        for words in INLINE.findall(prose(page.read_text())):
            if re.fullmatch(r"(configs|tools|docs|tests|requirements)/[\w./-]+\.\w+", words):
                assert (ROOT / words).exists(), (page, words)


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("--outputs overlay", "--output overlay", "no option --output"),
        ("mmseg_gc report", "mmseg_gc raport", "no command raport"),
        ("make demo", "make demos", "make has no demos"),
        ("compare_training.py", "compare_trainings.py", "no file tools"),
    ],
)
def test_a_misspelt_name_in_the_readme_is_found(right, wrong, fault):
    text = (ROOT / "README.md").read_text()
    assert right in text
    text = text.replace(right, wrong)
    lines = [line for block in blocks(text) for line in block.commands()]
    found = [one for line in lines + INLINE.findall(prose(text)) for one in _faults_of(line)]
    assert any(one.startswith(fault) for one in found)


def _faults_of(line: str) -> list[str]:
    try:
        return faults(line)
    except ValueError:  # no command line
        return []


def test_the_readme_is_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
