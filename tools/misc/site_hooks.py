"""What `make docs` does beyond mkdocs: files of the repository that a page links go into the site.

A page writes ``](../configs/…)``, which a reader of the repository can follow as well.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
# What the theme asks another host for, so that search works in pages that are opened as files.
SHIM = "https://unpkg.com/iframe-worker/shim"
NAMED = re.compile(r"\[([\w./-]+\.md)\]\(([\w./-]+\.md)")
LINK = re.compile(r"\]\(((?:\.\./)+)([^)#\s]+)\)")
INCLUDED = re.compile(r'--8<-- "([^"]+)"')
CODE_IN_CELL = re.compile(r"(?<=<code>)[^<]+(?=</code>)(?=(?:(?!<td|<table).)*</td>)", re.DOTALL)


def linked_files(text: str, page: str) -> dict[str, str]:
    """Links of ``page`` that leave ``docs/``: the link as written, and the path from the root."""
    found = {}
    for up, rest in LINK.findall(text):
        path = (ROOT / "docs" / page).parent.joinpath(up + rest).resolve()
        if path.is_file() and not path.is_relative_to(ROOT / "docs"):
            found[up + rest] = path.relative_to(ROOT).as_posix()
    return found


def address(path: str) -> str:
    """Where a file of the repository lies in the site; Markdown as text, since it is no page."""
    return f"files/{path}.txt" if path.endswith((".md", ".sh", ".yaml")) else f"files/{path}"


def on_files(files: Files, config: Any, **_: Any) -> Files:
    for page in list(files.documentation_pages()):
        for path in linked_files(page.content_string, page.src_uri).values():
            if files.get_file_from_path(address(path)) is None:
                files.append(File.generated(config, address(path), abs_src_path=str(ROOT / path)))
    return files


def titled(markdown: str, page: str) -> str:
    """Links that bear a file's name, as they should in the repository, bear its page's title."""

    def link(found: re.Match[str]) -> str:
        target = (ROOT / "docs" / page).parent / found[2]
        if not target.is_file():
            return found[0]
        text = target.read_text()
        if included := INCLUDED.match(text):
            text = (ROOT / included[1]).read_text()
        return f"[{text.partition(chr(10))[0].lstrip('# ')}]({found[2]}"

    return NAMED.sub(link, markdown)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    up = "../" * page.file.src_uri.count("/")
    for link, path in linked_files(markdown, page.file.src_uri).items():
        markdown = markdown.replace(f"]({link})", f"]({up}{address(path)})")
    return titled(markdown, page.file.src_uri)


def breakable(html: str) -> str:
    """Names in a table's cells may break after a dot, a slash and so on, for narrow screens."""
    return CODE_IN_CELL.sub(
        lambda code: re.sub(r"(?<=\w)[._/=,-]+(?=\w)", r"\g<0><wbr>", code[0]), html
    )


def on_page_content(html: str, **_: Any) -> str:
    return breakable(html)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    return output.replace(SHIM, "../" * page.file.src_uri.count("/") + "worker.js")


def on_post_template(output_content: str, **_: Any) -> str:
    return output_content.replace(SHIM, "worker.js")
