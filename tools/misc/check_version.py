"""Is the version that the package names the newest one in CHANGELOG.md, and CITATION.cff's?"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def faults(root: Path = ROOT) -> list[str]:
    """What disagrees, a sentence each."""
    [version] = re.findall(r'__version__ = "(.+?)"', (root / "mmseg_gc/version.py").read_text())
    headings = re.findall(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    [cited] = re.findall(r"^version: (\S+)", (root / "CITATION.cff").read_text(), re.MULTILINE)
    found = []
    if headings[0] == "Unreleased":
        found.append(f"CHANGELOG.md begins with Unreleased: call that {version} or later.")
    elif headings[0] != version:
        found.append(f"CHANGELOG.md begins with {headings[0]}, and version.py says {version}.")
    if cited != version:
        found.append(f"CITATION.cff names {cited}, and version.py {version}.")
    return found


def main() -> int:
    found = faults()
    print(*found, sep="\n", end="\n" * bool(found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
