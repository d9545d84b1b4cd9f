"""Docstrings of this package as Markdown: its sections are prose, not lists of typed parameters."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(Args|Raises|Returns):\n((?:[ ]+.*(?:\n|$)|\n(?=[ ]))+)", re.MULTILINE)
ENTRY = re.compile(r"^([\w.*]+(?:, [\w.*]+)*): ", re.MULTILINE)


def as_markdown(text: str) -> str:
    """``text`` with its indented sections as lists, each entry's names as code."""

    def listed(found: re.Match[str]) -> str:
        lines = found[2].rstrip().splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        body = "\n".join(
            line[indent:] if line[indent : indent + 1].strip() else f"  {line[indent:].lstrip()}"
            for line in lines
        )
        return (
            f"\n**{found[1]}**\n\n"
            + re.sub(r"^(?=\S)", "- ", ENTRY.sub(r"`\1`: ", body), flags=re.M)
            + "\n\n"
        )

    text = SECTION.sub(listed, text)
    return re.sub(r"^(Source|Raises|Returns): ", r"\n**\1** ", text, flags=re.MULTILINE)


class PlainDocstrings(griffe.Extension):
    def on_instance(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
