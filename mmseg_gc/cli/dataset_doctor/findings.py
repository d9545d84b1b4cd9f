"""What can be wrong with a data set, how bad it is, and what helps."""

from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Kind:
    """One sort of fault; ``cure`` is a sentence to the person who owns the data."""

    severity: str
    title: str
    cure: str


KINDS = {
    "config": Kind(ERROR, "the config disagrees with itself", "Correct the key that is named."),
    "structure": Kind(
        ERROR, "a split can't be opened", "Correct the path or suffix that is named."
    ),
    "no-picture": Kind(
        ERROR, "listed images do not exist", "Add them, or take their names out of ann_file."
    ),
    "no-label": Kind(
        ERROR,
        "images without a label",
        "Add the labels, correct seg_map_suffix, or list the labelled images in ann_file.",
    ),
    "unreadable": Kind(
        ERROR, "unreadable or truncated files", "Copy them again from their source, or drop them."
    ),
    "size": Kind(
        ERROR, "label and image differ in size", "Make both of one size, the label by nearest."
    ),
    "ids": Kind(
        ERROR,
        "label ids outside the classes",
        "Correct the labels, metainfo.classes, ignore_index or reduce_zero_label.",
    ),
    "channels": Kind(
        ERROR,
        "images whose channels don't fit",
        "Make all images alike, or correct color_type, data_preprocessor.mean and std, and "
        "model.backbone.in_channels.",
    ),
    "colour": Kind(
        ERROR,
        "colours where an id per pixel is expected",
        "Convert the labels to ids, or complete metainfo.palette or metainfo.ignored_colors.",
    ),
    "meaningless": Kind(
        ERROR, "nothing can be learnt or measured here", "Mend the labels or the splits."
    ),
    "leak": Kind(
        WARNING,
        "the same image in training and evaluation",
        "Take it out of one split: the score flatters.",
    ),
    "lossy": Kind(
        WARNING,
        "labels in a format that changes ids",
        "Save them as PNG, from what they were made of: ids are wrong where classes meet.",
    ),
    "bits": Kind(
        WARNING,
        "images of more than 8 bits that are read as 8",
        "Set color_type='unchanged' in every LoadImageFromFile, and mean and std in the files' "
        "range.",
    ),
    "nonfinite": Kind(
        WARNING,
        "images with values that are no numbers",
        "Such values count as the mean of data_preprocessor: mend the files, or take them out.",
    ),
    "left-out": Kind(
        WARNING,
        "images that img_suffix leaves out",
        "Name their suffixes too, as in img_suffix=('.jpg', '.png'), or take them out.",
    ),
    "ignored": Kind(
        WARNING, "labels with nothing but ignored pixels", "Label them or leave them out."
    ),
    "absent": Kind(
        WARNING,
        "classes that the training split never shows",
        "Add images that show them, or drop the classes.",
    ),
    "rules": Kind(WARNING, "a setting does not look right", "See the suggested settings below."),
    "twin": Kind(NOTE, "the same image twice", "Keep one, unless the weight is meant."),
    "orphan": Kind(NOTE, "labels without an image", "Nothing reads them; is an image missing?"),
}


@dataclass(frozen=True)
class Finding:
    """One fault, of a file or, without ``path``, of a whole split."""

    kind: str
    split: str
    text: str
    path: str | None = ""

    @property
    def severity(self) -> str:
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        return (
            f"{self.split}: {self.path} {self.text}" if self.path else f"{self.split}: {self.text}"
        )


def by_kind(findings: list[Finding]) -> dict[str, list[Finding]]:
    """The findings in groups, in the order of `KINDS`, the worst first."""
    groups = {kind: [f for f in findings if f.kind == kind] for kind in KINDS}
    return {kind: group for kind, group in groups.items() if group}
