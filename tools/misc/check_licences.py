"""List the licences of what this package needs, and say which aren't permissive.

Looks at the environment that runs it. The exit status is 1 if a package that is installed without
an extra has a licence that isn't on the list below, or names none.
"""

import importlib.metadata
import re
import sys

from packaging.requirements import Requirement

PERMISSIVE = re.compile(
    r"apache|bsd|\bmit\b|isc\b|psf|python software|mpl|mozilla|hpnd|zlib|unlicense|matplotlib|"
    r"permission notice|mit-cmu|cc0",
    re.IGNORECASE,
)
# Looked at by hand: the field of their metadata says nothing, or is another's text.
KNOWN = {
    "cityscapesscripts": "MIT",
    "typing": "PSF",
    "pyquaternion": "MIT",
    "nvidia": "NVIDIA's own, which allows redistribution with programs",  # of torch for CUDA
}


def needed(name: str) -> list[str]:
    """Distributions that ``name`` needs without extras, itself included."""
    found, open_ends = set(), [name]
    while open_ends:
        one = open_ends.pop().lower().replace("_", "-")
        try:
            requirements = importlib.metadata.requires(one) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if one not in found:
            found.add(one)
            parsed = map(Requirement, requirements)
            open_ends += [
                r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})
            ]
    return sorted(found)


def licence_of(name: str) -> str:
    """What a distribution says of its licence, in some words; empty if nothing."""
    about = importlib.metadata.metadata(name)
    for prefix, licence in KNOWN.items():
        if name == prefix or name.startswith(f"{prefix}-"):
            return licence
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if "Licen" in c]
    said = about.get("License-Expression") or ", ".join(classifiers) or about.get("License") or ""
    return " ".join(said.split())[:70]


def is_permissive(licence: str) -> bool:
    return licence in KNOWN.values() or PERMISSIVE.search(licence) is not None


def main() -> int:
    names = needed("mmseg_gc")
    if not names:
        print("mmseg_gc isn't installed here: pip install .")
        return 1
    strange = []
    for name in names:
        licence = licence_of(name)
        print(f"{name:<24} {licence or '(none named)'}")
        if not is_permissive(licence):
            strange.append(name)
    if strange:
        print(f"look at the licence of {', '.join(strange)}")
    return bool(strange)


if __name__ == "__main__":
    sys.exit(main())
