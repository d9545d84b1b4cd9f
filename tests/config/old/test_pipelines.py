import pytest

from mmseg_gc.config.old.pipelines import (
    convert_test_pipeline,
    convert_train_pipeline,
    tta_pipeline,
)
from mmseg_gc.errors import UserError

NORMALIZE = dict(type="Normalize", mean=[1, 2, 3], std=[4, 5, 6], to_rgb=False)
LABELS = dict(type="LoadAnnotations", reduce_zero_label=True)


def views(**options):
    inner = [dict(type="Resize", keep_ratio=True), dict(type="RandomFlip"), NORMALIZE]
    return [
        dict(type="LoadImageFromFile"),
        dict(type="MultiScaleFlipAug", transforms=inner, **options),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (dict(img_scale=(8, 4)), dict(type="Resize", scale=(8, 4), keep_ratio=True)),
        (
            dict(img_scale=[(8, 4)], keep_ratio=False),
            dict(type="Resize", scale=(8, 4), keep_ratio=False),
        ),
        (
            dict(img_scale=(8, 4), ratio_range=(0.5, 2.0)),
            dict(type="RandomResize", scale=(8, 4), ratio_range=(0.5, 2.0), keep_ratio=True),
        ),
        (
            dict(img_scale=[(8, 4), (16, 8)], multiscale_mode="value"),
            dict(type="RandomChoiceResize", scales=[(8, 4), (16, 8)], keep_ratio=True),
        ),
        (
            dict(img_scale=[(8, 4), (16, 8)]),
            dict(type="RandomResize", scale=[(8, 4), (16, 8)], keep_ratio=True),
        ),
    ],
)  # fmt: skip
def test_each_form_of_resize(old, new):
    [step, _], _ = convert_train_pipeline([dict(type="Resize", **old)])
    assert step == new


def test_what_the_model_does_leaves_the_pipeline():
    steps, found = convert_train_pipeline(
        [
            dict(type="Pad", size=(3, 5), pad_val=7),
            dict(type="RandomFlip", flip_ratio=0.5),
            NORMALIZE,
            dict(type="Pad", size=(9, 11), pad_val=0, seg_pad_val=254),
            dict(type="DefaultFormatBundle"),
            dict(type="Collect", keys=["img"], meta_keys=("flip",)),
        ]
    )
    assert steps == [
        # Before the normalising, and (w, h) where 0.x says (h, w).
        dict(type="Pad", pad_val=dict(img=7, seg=255), size=(5, 3)),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackSegInputs"),
    ]
    assert found.normalize == NORMALIZE
    assert found.padding == dict(size=(9, 11), pad_val=0, seg_pad_val=254)
    assert found.notes == ["Collect.meta_keys is PackSegInputs' own list"]


def test_a_step_behind_normalize_is_told():
    _, found = convert_train_pipeline([NORMALIZE, dict(type="RandomRotate", prob=1, degree=5)])
    [note] = found.notes
    assert "RandomRotate stands behind Normalize" in note


def test_where_files_are_read_from():
    args = dict(backend="petrel", path_mapping={})
    steps, _ = convert_train_pipeline(
        [
            dict(type="LoadImageFromFile", file_client_args=args),
            dict(type="LoadAnnotations", file_client_args=dict(backend="disk")),
        ]
    )
    assert steps[:2] == [
        dict(type="LoadImageFromFile", backend_args=args),
        dict(type="LoadAnnotations"),
    ]


def test_labels_are_loaded_behind_the_resize_of_a_test():
    steps, several, found = convert_test_pipeline(views(img_scale=(8, 4), flip=False), LABELS)
    assert steps == [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(8, 4), keep_ratio=True),
        LABELS,
        dict(type="PackSegInputs"),
    ]
    assert several is None and found.normalize == NORMALIZE


def test_several_views_are_for_aug_test():
    steps = views(img_scale=(8, 4), img_ratios=[0.5, 1.0], flip=True, flip_direction="vertical")
    plain, several, _ = convert_test_pipeline(steps, LABELS)
    assert plain[1] == dict(type="Resize", scale=(8, 4), keep_ratio=True)
    assert several is not None
    [_, aug] = tta_pipeline(steps, LABELS)
    assert [step["scale"] for step in aug["transforms"][0]] == [(4, 2), (8, 4)]
    assert [(f["prob"], f["direction"]) for f in aug["transforms"][1]] == [
        (0.0, "vertical"),
        (1.0, "vertical"),
    ]
    assert aug["transforms"][2:] == [[LABELS], [dict(type="PackSegInputs")]]


def test_ratios_of_each_images_own_size():
    steps = views(img_ratios=[0.5, 1.0], flip=False)
    plain, _, _ = convert_test_pipeline(steps, LABELS)
    assert [step["type"] for step in plain] == [
        "LoadImageFromFile", "LoadAnnotations", "PackSegInputs",
    ]  # fmt: skip
    assert [s["scale_factor"] for s in tta_pipeline(steps, LABELS)[1]["transforms"][0]] == [
        0.5,
        1.0,
    ]


def test_what_has_no_counterpart():
    with pytest.raises(UserError, match=r"Resize\.min_size=3 .* has no counterpart here: take it"):
        convert_train_pipeline([dict(type="Resize", img_scale=(8, 4), min_size=3)])
    with pytest.raises(UserError, match="has no img_scale"):
        convert_train_pipeline([dict(type="Resize", ratio_range=(0.5, 2.0))])
