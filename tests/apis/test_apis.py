from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_gc.apis import MMSegInferencer, inference_model, init_model, show_result_pyplot
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.datasets import CityscapesDataset
from mmseg_gc.errors import UserError
from mmseg_gc.evaluation.label_files import label_file_ids
from mmseg_gc.registry import MODELS

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
TINY = {
    "model.backbone.base_channels": 8,
    "model.decode_head.in_channels": 64,
    "model.decode_head.channels": 8,
    "model.auxiliary_head.in_channels": 32,
    "model.auxiliary_head.channels": 8,
}
SMALL = {"test_dataloader.dataset.pipeline.1.scale": (96, 72), **TINY}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return init_model(CONFIG, cfg_options=SMALL)


@pytest.fixture
def image_file(camvid_root):
    return str(sorted((camvid_root / "val").iterdir())[0])


def test_model_is_ready_for_inference(model):
    assert not model.training
    assert model.dataset_meta["classes"][3] == "Road"
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())


def test_path_and_array_give_the_same_labels(model, image_file):
    by_path = inference_model(model, image_file)
    assert by_path.pred_sem_seg.data.shape == (1, 72, 96)
    assert by_path.pred_sem_seg.data.dtype == torch.uint8
    by_array, again = inference_model(model, [cv2.imread(image_file), image_file])
    assert torch.equal(by_array.pred_sem_seg.data, by_path.pred_sem_seg.data)
    assert torch.equal(again.pred_sem_seg.data, by_path.pred_sem_seg.data)


def test_aug_test_is_the_mean_over_scales_and_flips(model, image_file):
    model.test_cfg.return_logits = True
    result = inference_model(model, image_file, aug_test=True)
    del model.test_cfg["return_logits"]
    views = []
    image = cv2.imread(image_file)
    for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75):
        width, height = int(96 * ratio + 0.5), int(72 * ratio + 0.5)
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        for flip in (False, True):
            view = torch.from_numpy((scaled[:, ::-1] if flip else scaled).copy())
            batch = model.data_preprocessor(dict(inputs=[view.permute(2, 0, 1)]))["inputs"]
            with torch.no_grad():
                logits = model.encode_decode(batch, [{}])
            logits = logits.flip(3) if flip else logits
            logits = torch.nn.functional.interpolate(logits, size=(72, 96), mode="bilinear")
            views.append(logits.softmax(1))
    expected = torch.stack(views).mean(0)[0]
    torch.testing.assert_close(result.seg_logits.data, expected, atol=1e-5, rtol=0)


def test_names_and_colours_come_from_the_weights_if_the_config_has_none(model, tmp_path):
    cfg = load_config(CONFIG, TINY)
    cfg.test_dataloader.dataset.type = "BaseSegDataset"
    names = [f"class-{i}" for i in range(11)]
    stored = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=names)))
    save_checkpoint(stored, tmp_path / "1.x.pth")
    assert init_model(cfg, tmp_path / "1.x.pth").dataset_meta["classes"] == names
    stored["meta"] = dict(CLASSES=names[::-1])
    save_checkpoint(stored, tmp_path / "0.x.pth")
    assert init_model(cfg, tmp_path / "0.x.pth").dataset_meta["classes"] == names[::-1]


def test_result_is_drawn(model, image_file, tmp_path):
    result = inference_model(model, image_file)
    drawn = show_result_pyplot(
        model, image_file, result, show=False, with_labels=False, out_file=str(tmp_path / "o.png")
    )
    assert drawn.shape == (72, 96, 3)
    palette = np.array(model.dataset_meta["palette"])
    original = cv2.imread(image_file)[..., ::-1].astype(float)
    labels = result.pred_sem_seg.data[0].numpy()
    expected = 0.5 * original + 0.5 * palette[labels]
    assert np.abs(drawn - expected).max() <= 1
    assert (cv2.imread(str(tmp_path / "o.png"))[..., ::-1] == drawn).all()


def test_inferencer_labels_a_folder_and_saves(model, camvid_root, tmp_path):
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / "w.pth")
    cfg = load_config(CONFIG, SMALL)
    inferencer = MMSegInferencer(cfg, str(tmp_path / "w.pth"), device="cpu", show_progress=False)
    found = inferencer(str(camvid_root / "val"), out_dir=str(tmp_path / "out"), return_vis=True)
    assert [p.shape for p in found["predictions"]] == [(72, 96)] * 2
    assert len(found["visualization"]) == 2
    names = sorted(path.name for path in (camvid_root / "val").iterdir())
    for name, labels in zip(names, found["predictions"], strict=True):
        saved = cv2.imread(str(tmp_path / "out" / "pred" / name), cv2.IMREAD_UNCHANGED)
        assert (saved == labels).all()
    assert len(list((tmp_path / "out" / "vis").iterdir())) == 2


def test_results_of_one_name_do_not_overwrite_each_other(tmp_path):
    cfg = load_config(CONFIG, TINY)
    save_checkpoint(dict(state_dict=init_model(cfg).state_dict()), tmp_path / "w.pth")
    cfg = load_config(CONFIG, SMALL)
    label = MMSegInferencer(cfg, str(tmp_path / "w.pth"), device="cpu", show_progress=False)
    frame = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for name in ("1/a.png", "1/a.jpg", "2/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), frame)
    (tmp_path / "2/._a.png").touch()  # beside each file that a Mac copies
    out = tmp_path / "out"
    label((tmp_path / day for day in "12"), out_dir=str(out), img_out_dir="")
    for _ in range(2):  # as the frames of a video come
        label(frame, out_dir=str(out), img_out_dir="")
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert found == [
        *("pred/00000000.png", "pred/00000001.png"),
        *("pred/1/a.jpg.png", "pred/1/a.png.png", "pred/2/a.png"),
    ]
    label(str(tmp_path / "1/a.png"), out_dir=str(out))
    with pytest.raises(UserError, match=r"2/a\.png and .*1/a\.png would both be written to"):
        label(str(tmp_path / "2/a.png"), out_dir=str(out))


def test_the_top_level_s_preprocessor_serves_a_model_without_one():
    cfg = load_config(CONFIG, TINY)
    preprocessor = cfg.model.pop("data_preprocessor")
    cfg.data_preprocessor = {**preprocessor, "mean": [1.0, 2.0, 3.0]}
    assert init_model(cfg).data_preprocessor.mean.flatten().tolist() == [1, 2, 3]


def test_numbers_of_label_files_come_from_the_data_set_or_the_weights(tmp_path):
    cfg = load_config(CONFIG, TINY)
    names = CityscapesDataset.METAINFO["classes"][8:]
    pipeline = [dict(type="LoadImageFromFile"), dict(type="PackSegInputs")]
    dataset = dict(type="CityscapesDataset", metainfo=dict(classes=names), pipeline=pipeline)
    cfg.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[dataset, dataset])
    meta = init_model(cfg).dataset_meta
    assert label_file_ids(meta)[:11].tolist() == list(range(8, 19))
    assert meta["classes"] == names
    grey = dict(type="BaseSegDataset", metainfo=dict(classes=names), pipeline=pipeline)
    cfg.test_dataloader.dataset = dict(**grey, label_map={255: 1})
    assert label_file_ids(init_model(cfg).dataset_meta)[:3].tolist() == [0, 255, 2]
    # Only the files tell what they hold.
    grey["metainfo"]["palette"] = [[20 * i] * 3 for i in range(11)]
    cfg.test_dataloader.dataset = grey
    stored = dict(dataset_meta=dict(file_label_map={0: 0, 1: 254, 20: 1}))
    weights = dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=stored)
    save_checkpoint(weights, tmp_path / "grey.pth")
    meta = init_model(cfg, tmp_path / "grey.pth").dataset_meta
    assert label_file_ids(meta)[:2].tolist() == [0, 20]
    cfg.test_dataloader.dataset = dict(**grey, label_map={})  # said outright: ids
    meta = init_model(cfg, tmp_path / "grey.pth").dataset_meta
    assert label_file_ids(meta)[:2].tolist() == [0, 1]
    dataset["data_prefix"] = dict(wrong="x")  # can't be built
    cfg.test_dataloader.dataset = dataset
    stored = dict(dataset_meta=dict(classes=names, reduce_zero_label=True))
    weights = dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=stored)
    save_checkpoint(weights, tmp_path / "w.pth")
    assert init_model(cfg, tmp_path / "w.pth").dataset_meta["reduce_zero_label"] is True


def test_what_is_no_number_is_the_mean_in_plain_and_prepared_models(tmp_path):
    mean = {"model.data_preprocessor.mean": [90.0, 120.0, 150.0], "model.test_cfg.mode": "whole"}
    cfg = load_config(CONFIG, {**TINY, **mean, "model.test_cfg.return_logits": True})
    pipeline = [dict(type="LoadImageFromFile", color_type="unchanged"), dict(type="PackSegInputs")]
    cfg.test_dataloader.dataset.pipeline = pipeline
    model = init_model(cfg)
    save_checkpoint(dict(state_dict=model.state_dict()), tmp_path / "w.pth")
    image = np.random.default_rng(0).uniform(0, 255, (40, 56, 3)).astype(np.float32)
    filled, black = image.copy(), image.copy()
    image[9:20, 7:30], image[30, :, 1] = np.nan, -np.inf
    filled[9:20, 7:30], filled[30, :, 1] = (150, 120, 90), 120  # BGR
    black[9:20, 7:30], black[30, :, 1] = 0, 0
    for one in (model, init_model(cfg, tmp_path / "w.pth")):
        results = inference_model(one, [image, filled, black])
        found, right, wrong = (result.seg_logits.data for result in results)
        assert torch.equal(found, right) and not torch.allclose(found, wrong)


def test_views_need_a_pipeline(model, image_file):
    cfg, model.cfg = model.cfg, load_config(CONFIG)
    model.cfg.pop("tta_pipeline")
    try:
        with pytest.raises(UserError, match="has no tta_pipeline"):
            inference_model(model, image_file, aug_test=True)
    finally:
        model.cfg = cfg


def test_nothing_to_label_is_said(model, tmp_path):
    with pytest.raises(UserError, match="list is empty"):
        inference_model(model, [])
    with pytest.raises(UserError, match=r"missing\.png"):
        inference_model(model, str(tmp_path / "missing.png"))


def test_a_model_that_diverged_is_refused(model, tmp_path):
    weights = dict(model.state_dict())
    weights["backbone.layer1.0.bn1.running_var"] = -weights["backbone.layer1.0.bn1.running_var"]
    save_checkpoint({"state_dict": weights}, tmp_path / "bad.pth")
    with pytest.raises(UserError, match=r"bad\.pth .*layer1\.0\.bn1\.running_var hold .*negative"):
        init_model(CONFIG, tmp_path / "bad.pth", cfg_options=TINY)


def test_the_switch_reaches_the_model(model, tmp_path):
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / "w.pth")
    for accelerate, kind in (("auto", "FastGCHead"), ("none", "GCHead")):
        options = dict(cfg_options=SMALL, accelerate=accelerate)
        prepared = init_model(CONFIG, tmp_path / "w.pth", **options)
        assert type(prepared.decode_head).__name__ == kind
        cfg = load_config(CONFIG, SMALL)
        inferencer = MMSegInferencer(cfg, str(tmp_path / "w.pth"), accelerate=accelerate)
        assert type(inferencer.model.decode_head).__name__ == kind
        assert {k: v.shape for k, v in prepared.state_dict().items()} == {
            k: v.shape for k, v in model.state_dict().items()
        }
