import pytest
from mmengine.config import Config

from mmseg_gc.config.options import check_options, merge_options
from mmseg_gc.errors import UserError


def config() -> Config:
    return Config(
        dict(
            model=dict(backbone=dict(depth=50)),
            train_dataloader=dict(dataset=dict(pipeline=[dict(type="A"), dict(type="B", size=3)])),
            crop_size=(4, 4),
        )
    )


def test_a_value_reaches_its_place():
    cfg = config()
    merge_options(
        cfg,
        {"model.backbone.depth": 18, "train_dataloader.dataset.pipeline.1.size": 5, "resume": True},
    )
    assert cfg.model.backbone.depth == 18 and cfg.resume is True
    assert cfg.train_dataloader.dataset.pipeline == [dict(type="A"), dict(type="B", size=5)]


@pytest.mark.parametrize(
    "key", ["train_dataloader.dataset.pipeline.7.size", "model.backbone.depth.x"]
)
def test_a_place_that_is_not_there(key):
    with pytest.raises(UserError, match=rf"--cfg-options {key} can't be merged into the config: "):
        merge_options(config(), {key: 1})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("modle.backbone.depth", "no config key 'modle'; did you mean 'model'"),
        ("crop_size", "nothing reads 'crop_size'"),
    ],
)
def test_a_name_that_nothing_reads(key, said):
    with pytest.raises(UserError, match=f"--cfg-options {key}: {said}"):
        check_options({key: 1}, config())
    check_options({"model.backbone.depth": 1, "optim_wrapper.type": "A"}, config())
