"""Keys of the dicts that mmcv and mmengine take apart, misspelt."""

import copy

import pytest

from mmseg_gc.config import config_folder, load_config
from mmseg_gc.errors import UserError

CAMVID = config_folder() / "gcnet" / "gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
PLUGIN = dict(cfg=dict(type="ContextBlock", ratio=0.25), stages=(True,) * 4, position="after_conv3")
NORMAL = dict(type="Normal", std=0.01, override=dict(name="conv_seg", std=0.02))
RIGHT = {
    "model.decode_head.norm_cfg": dict(type="BN", requires_grad=True, eps=1e-5),
    "model.decode_head.act_cfg": dict(type="ReLU", inplace=True),
    "model.backbone.conv_cfg": dict(type="Conv2d"),
    "model.backbone.plugins": [PLUGIN],
    "model.decode_head.init_cfg": NORMAL,
    "optim_wrapper.clip_grad": dict(max_norm=1.0, norm_type=2),
    "custom_hooks": [dict(type="EMAHook", momentum=2e-4, begin_iter=1)],
    "auto_scale_lr": dict(enable=False, base_batch_size=8),
    "env_cfg.dist_cfg": dict(backend="nccl", timeout=10),
    "log_processor.custom_cfg": [dict(data_src="loss", method_name="mean", window_size=5)],
}


def misspelt(node, path=""):
    """Copies of ``node``, each with one key written wrong, and the dotted key that was."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(key, str):
            copied = copy.deepcopy(node)
            copied[f"{key[:-2]}{key[:-3:-1]}"] = copied.pop(key)
            yield copied, f"{path}.{key}"
        if isinstance(value, dict | list):
            for inner, place in misspelt(value, f"{path}.{key}"):
                copied = copy.deepcopy(node)
                copied[key] = inner
                yield copied, place


CASES = [(key, wrong, place) for key, right in RIGHT.items() for wrong, place in misspelt(right)]


def test_what_is_right_is_taken():
    load_config(CAMVID, RIGHT)


@pytest.mark.parametrize("key,wrong,place", CASES, ids=lambda value: str(value)[:40])
def test_a_key_that_nothing_reads_is_refused(key, wrong, place):
    with pytest.raises(UserError, match="doesn't exist|add it"):
        load_config(CAMVID, {key: wrong})


@pytest.mark.parametrize(
    "key,wrong,right",
    [
        ("train_dataloader.dataset.metainfo", dict(CLASSES=["a"]), "classes"),
        ("train_dataloader.dataset.metainfo", dict(class_names=["a"]), "classes"),
        ("val_dataloader.dataset.data_prefix", dict(img_path="a", ann_path="b"), "seg_map_path"),
        ("compile", dict(mod="default"), "mode"),
    ],
)
def test_names_of_elsewhere_are_refused_with_those_of_here(key, wrong, right):
    with pytest.raises(UserError, match=f"doesn't exist; did you mean '{right}'"):
        load_config(CAMVID, {key: wrong})


def test_groups_of_channels_have_to_be_counted():
    norm = {"model.backbone.norm_cfg": dict(type="GN", requires_grad=True, _delete_=True)}
    with pytest.raises(UserError, match=r"model\.backbone\.norm_cfg has no num_groups"):
        load_config(CAMVID, norm)
    norm["model.backbone.norm_cfg"]["num_groups"] = 8
    load_config(CAMVID, norm)
