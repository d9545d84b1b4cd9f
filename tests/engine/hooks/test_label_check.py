"""What is said of ignored pixels and absent classes, and that healthy labels are passed over."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmseg_gc.engine.hooks import LabelCheckHook
from mmseg_gc.structures import SegDataSample


def sample(ids: list[int]) -> SegDataSample:
    label = torch.tensor([[ids]], dtype=torch.uint8)
    return SegDataSample(gt_sem_seg=PixelData(data=label))


def batch(*labels: list[int]) -> dict:
    return {"data_samples": [sample(ids) for ids in labels]}


@pytest.fixture
def runner() -> SimpleNamespace:
    dataset = SimpleNamespace(metainfo={"classes": ("bg", "fg", "rare ")}, ignore_index=255)
    said = []
    return SimpleNamespace(
        said=said,
        logger=SimpleNamespace(warning=said.append),
        **{f"{s}_dataloader": SimpleNamespace(dataset=dataset) for s in ("train", "val", "test")},
    )


def train(runner, *batches: dict, **options) -> list[str]:
    hook = LabelCheckHook(**options)
    for index, content in enumerate(batches):
        hook.before_train_iter(runner, index, content)
    return runner.said


def test_the_first_batch_names_the_share_and_the_classes(runner):
    said = train(runner, batch([0, 0, 255, 255], [0, 255, 255, 255]), batch([0, 255, 255, 255]))
    assert len(said) == 1  # once
    assert said[0].startswith(
        "62% of the pixels in the first training batch are ignore_index (255), and class fg, rare "
        "has none: "
    )
    assert "label_map={255: 1}" in said[0]


@pytest.mark.parametrize(
    ("batches", "title"),
    [
        ([[0] * 9 + [255], [0] * 10], None),  # a tenth: not yet
        ([[0] * 8 + [255] * 3], "first training batch"),
        ([[0] * 19 + [255]] * 2, None),
        ([[0] * 19 + [255]] * 3, "first 3 batches"),
        ([[0] * 19 + [255], [0] * 20, [1] * 20], None),
        ([[0] * 20] * 3, None),  # one class alone may be all that a batch shows
        ([[1, 2, 0, 255]] * 3, None),
        ([[1, 2, 0, 255], [255] * 4, [255] * 4], "first 2 batches"),
    ],
)
def test_when_training_speaks(runner, batches, title):
    said = train(runner, *map(batch, batches), num_batches=3)
    assert len(said) == (title is not None)
    assert title is None or title in said[0]


def test_max_ignored_and_ignore_index_are_used(runner):
    runner.train_dataloader.dataset.ignore_index = 2
    assert train(runner, batch([0, 1, 1, 2])) == []
    assert (
        "25% of the pixels in the first training batch are ignore_index (2)"
        in (train(runner, batch([0, 1, 1, 2]), max_ignored=0.2)[0])
    )


def run(runner, phase: str, *batches: dict, epochs: int = 1) -> list[str]:
    hook = LabelCheckHook()
    for _ in range(epochs):
        for index, content in enumerate(batches):
            getattr(hook, f"before_{phase}_iter")(runner, index, content)
        getattr(hook, f"after_{phase}_epoch")(runner, {})
    return runner.said


@pytest.mark.parametrize(("phase", "title"), [("val", "validation"), ("test", "test")])
def test_a_class_that_is_never_measured(runner, phase, title):
    said = run(runner, phase, batch([0, 1, 1, 1]), batch([0, 1, 1, 255]), epochs=2)
    assert len(said) == 1
    assert said[0].startswith(
        f"No pixel in the labels of the {title} is of class rare, where 12% of the pixels are "
        "ignore_index (255), so no score is of it: "
    )


def test_most_of_the_validation_is_ignored(runner):
    (said,) = run(runner, "val", batch([0, 1, 2, 255]), batch([255] * 4))
    assert said.startswith("62% of the pixels of the validation are ignore_index (255), so the")


def test_healthy_labels_and_none_at_all(runner):
    assert run(runner, "val", batch([0, 1, 2, 255])) == []
    assert run(runner, "test", {"data_samples": [SegDataSample()]}, epochs=2) == []
    assert run(runner, "test", {"inputs": torch.zeros(1)}, {"data_samples": None}) == []


def test_views_of_one_image_count_once_and_wrappers_are_opened(runner):
    inner = runner.test_dataloader.dataset
    inner.ignore_index = 1
    wrapped = SimpleNamespace(metainfo=inner.metainfo, datasets=[SimpleNamespace(dataset=inner)])
    runner.test_dataloader.dataset = wrapped
    views = [[sample([0, 1, 1, 1]), sample([2, 2, 2, 2])]]
    (said,) = run(runner, "test", {"data_samples": views})
    assert said.startswith("75% of the pixels of the test are ignore_index (1), and class rare has")


def test_labels_elsewhere_than_on_the_cpu_are_left_alone(runner):
    label = SimpleNamespace(data=torch.zeros(1, 2, 2, dtype=torch.uint8, device="meta"))
    content = SegDataSample()
    content.gt_sem_seg = PixelData(data=label.data)
    assert run(runner, "val", {"data_samples": [content]}) == []


def test_counts_are_those_of_numpy():
    from mmseg_gc.engine.hooks.label_check import counts_of

    ids = np.random.default_rng(0).integers(0, 256, (3, 50)).tolist()
    expected = np.bincount(np.ravel(ids), minlength=256)
    assert (counts_of(batch(*ids)) == expected).all()


@pytest.mark.parametrize("options", [None, {"max_ignored": 0.25, "num_batches": 3}])
def test_every_training_has_it_and_its_options_come_from_the_config(toy, tmp_path, options):
    changes = {f"default_hooks.label_check.{key}": value for key, value in (options or {}).items()}
    if options:
        changes["default_hooks.label_check.type"] = "LabelCheckHook"  # which `load_config` adds
    run = toy.build(tmp_path, 2, **changes)
    (hook,) = [hook for hook in run.hooks if isinstance(hook, LabelCheckHook)]
    expected = (0.5, 10) if options is None else (0.25, 3)
    assert (hook.max_ignored, hook.num_batches) == expected


def test_it_can_be_left_out(toy, tmp_path):
    run = toy.build(tmp_path, 2, **{"default_hooks.label_check": None})
    assert not any(isinstance(hook, LabelCheckHook) for hook in run.hooks)
