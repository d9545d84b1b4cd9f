"""What is timed: the rows of the table, as data that both sides read."""

from typing import Any, NamedTuple

from gpu_check import nets

SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # with flips the 12 views of mmsegmentation


class Row(NamedTuple):
    """``task`` is train, test or views; sizes are (h, w); ``ori_shape`` is the label map's size.

    ``key`` names it on the command line, ``name`` in the table.
    """

    key: str
    name: str
    task: str
    config: str
    size: tuple[int, int]
    precision: str
    batch: int = 1
    ori_shape: tuple[int, int] | None = None
    scales: tuple[float, ...] = ()
    options: dict[str, Any] | None = None
    compiled: bool = False
    whole_network: bool = True  # runs once on `size`, so that its operations can be counted


class Sizes(NamedTuple):
    """(h, w) of the crops of a training step, and of what is tested."""

    city_crop: tuple[int, int] = (512, 1024)
    ade_crop: tuple[int, int] = (512, 512)
    city: tuple[int, int] = (1024, 2048)
    views: tuple[int, int] = (512, 1024)
    ade: tuple[int, int] = (512, 683)
    ade_original: tuple[int, int] = (2000, 2668)


TINY = Sizes((64, 128), (64, 64), (128, 256), (64, 128), (64, 96), (100, 130))
SLIDE = {"model.test_cfg.mode": "slide"}
TINY_SLIDE = SLIDE | {"model.test_cfg.crop_size": (97, 97), "model.test_cfg.stride": (65, 65)}


def rows(cuda: bool, tiny: bool) -> list[Row]:
    """Those that say most come first, for a run whose time is over early.

    ``tiny`` takes small images and a small network in all of them.
    """
    half = "fp16" if cuda else "bf16"
    sizes = TINY if tiny else Sizes()
    listed = [
        *_training("amp", half, sizes),
        *_testing("half", half, sizes),
        *_training("fp32", "fp32", sizes),
        *_testing("fp32", "fp32", sizes),
        *(_others(sizes) if cuda else []),
    ]
    if not tiny:
        return listed
    listed = [row._replace(config=nets.SMALL) for row in listed]
    return [
        row._replace(options=TINY_SLIDE if row.options else {"model.test_cfg.mode": "whole"})
        for row in listed
    ]


def _training(key: str, precision: str, sizes: Sizes) -> list[Row]:
    how = precision if precision == "fp32" else f"AMP {precision}"
    return [
        Row(
            f"train-cityscapes-{key}",
            f"train Cityscapes, 2 x {_by(sizes.city_crop)}, {how}",
            "train",
            nets.CITYSCAPES,
            sizes.city_crop,
            precision,
            batch=2,
        ),
        Row(
            f"train-ade20k-{key}",
            f"train ADE20K, 4 x {_by(sizes.ade_crop)}, {how}",
            "train",
            nets.ADE20K,
            sizes.ade_crop,
            precision,
            batch=4,
        ),
    ]


def _testing(key: str, precision: str, sizes: Sizes) -> list[Row]:
    return [
        _whole(f"whole-{key}", precision, sizes),
        Row(
            f"slide-{key}",
            f"slide, {_by(sizes.city)}, {precision}",
            "test",
            nets.CITYSCAPES_SLIDE,
            sizes.city,
            precision,
            options=SLIDE,
            whole_network=False,
        ),
        Row(
            f"ms-flip-{key}",
            f"ms+flip, {_by(sizes.views)}, 12 views, {precision}",
            "views",
            nets.CITYSCAPES,
            sizes.views,
            precision,
            scales=SIX_SCALES,
            whole_network=False,
        ),
        Row(
            f"ade20k-{key}",
            f"ADE20K, {_by(sizes.ade)} to {_by(sizes.ade_original)}, {precision}",
            "test",
            nets.ADE20K,
            sizes.ade,
            precision,
            ori_shape=sizes.ade_original,
        ),
    ]


def _whole(key: str, precision: str, sizes: Sizes) -> Row:
    name = f"whole, {_by(sizes.city)}, {precision}"
    return Row(key, name, "test", nets.CITYSCAPES, sizes.city, precision)


def _others(sizes: Sizes) -> list[Row]:
    """Of a GPU alone: bfloat16, and the compiled network."""
    compiled = _whole("whole-compiled", "fp16", sizes)
    return [
        _whole("whole-bf16", "bf16", sizes),
        _training("amp-bf16", "bf16", sizes)[0],
        compiled._replace(name=f"{compiled.name}, compiled", compiled=True),
    ]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
