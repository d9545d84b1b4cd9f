"""Write docs/zoo.md: the published rows, from configs/*/metafile.yaml and detection's table.

`--check` writes nothing and exits with 1 where the page is not what the files say.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/zoo.md"
DETECTION = ROOT / "configs/gcnet_det/README.md"
HEAD = """# Model zoo

<!-- Written by tools/misc/write_zoo.py from configs/*/metafile.yaml. -->

All figures on this page are **published**, on V100 cards; none is measured here.
`python tools/verify_zoo.py` measures the rows for segmentation on your machine
([testing.md](testing.md#the-published-rows)). Every command takes a config by its bare name and
weights by their address.

## Segmentation
"""
COLUMNS = (
    "data set",
    "backbone",
    "crop",
    "iterations",
    "train memory (GB)",
    "images/s (V100)",
    "mIoU",
    "mIoU ms+flip",
    "config",
    "weights",
)
TAIL = """
CamVid configs at 360×480, without published weights:
[R18-D8](../configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py),
[R50-D8](../configs/gcnet/gcnet_r50-d8_1xb8-20k_camvid-360x480.py).

## Detection

Mask R-CNN and Cascade Mask R-CNN. What the columns mean, and what was measured here, is in
[configs/gcnet_det](../configs/gcnet_det/README.md); how to set it up in
[detection.md](detection.md).

"""


def row_of(model: dict) -> str:
    """A model of a metafile as a row of the table."""
    metadata, (result,) = model["Metadata"], model["Results"]
    metrics = result["Metrics"]
    cells = (
        metadata["Training Data"],
        metadata["Architecture"][0],
        str(metadata["Crop Size"]).replace("x", "×"),
        f"{metadata['Iterations'] // 1000}k",
        str(metadata.get("Memory (GB)", "-")),
        f"{metadata['Images per Second (V100)']:.2f}"
        if "Images per Second (V100)" in metadata
        else "-",
        *(f"{metrics[name]:.2f}" if name in metrics else "-" for name in ("mIoU", "mIoU(ms+flip)")),
        f"[config](../{model['Config']})",
        f"[model]({model['Weights']})" if model.get("Weights") else "-",
    )
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for path in sorted(ROOT.glob("configs/*/metafile.yaml")):
        content = yaml.safe_load(path.read_text())
        parts.append(f"\n### {content['Collections'][0]['Name']}\n\n")
        parts.append(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n")
        parts += [f"{row_of(model)}\n" for model in content["Models"]]
    parts.append(TAIL)
    published = DETECTION.read_text().split("\n## ")[0]  # its other tables were measured here
    table = [line for line in published.splitlines() if line.startswith("|")]
    parts += [re.sub(r"\]\((?!http)", "](../configs/gcnet_det/", line) + "\n" for line in table]
    return "".join(parts)


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.is_file() or PAGE.read_text() != text:
            print("docs/zoo.md is not what the metafiles say: python tools/misc/write_zoo.py")
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
