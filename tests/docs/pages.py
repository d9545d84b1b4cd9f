"""The pages that people read, and their fenced blocks."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data/README.md",
    ROOT / "configs/gcnet_det/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@dataclass(frozen=True)
class Block:
    """A fenced block: `bash` and `python` are run; of `console` the names are looked up."""

    language: str
    title: str | None
    text: str

    def commands(self) -> list[str]:
        """Its lines without comments, those that a backslash continues as one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    return [Block(language, title or None, body) for language, title, body in FENCE.findall(text)]


def prose(text: str) -> str:
    return FENCE.sub("", text)
