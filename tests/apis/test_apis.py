from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_gc.apis import MMSegInferencer, inference_model, init_model, show_result_pyplot
from mmseg_gc.checkpoint import save_checkpoint
from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
SMALL = {"test_dataloader.dataset.pipeline.1.scale": (96, 72)}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return init_model(CONFIG, cfg_options=SMALL)


@pytest.fixture
def picture(camvid_root):
    return str(sorted((camvid_root / "val").iterdir())[0])


def test_model_is_ready_for_inference(model):
    assert not model.training
    assert model.dataset_meta["classes"][3] == "Road"
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())


def test_path_and_array_give_the_same_labels(model, picture):
    by_path = inference_model(model, picture)
    assert by_path.pred_sem_seg.data.shape == (1, 72, 96)
    assert by_path.pred_sem_seg.data.dtype == torch.uint8
    by_array, again = inference_model(model, [cv2.imread(picture), picture])
    assert torch.equal(by_array.pred_sem_seg.data, by_path.pred_sem_seg.data)
    assert torch.equal(again.pred_sem_seg.data, by_path.pred_sem_seg.data)


def test_aug_test_is_the_mean_over_scales_and_flips(model, picture):
    model.test_cfg.return_logits = True
    result = inference_model(model, picture, aug_test=True)
    del model.test_cfg["return_logits"]
    views = []
    image = cv2.imread(picture)
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
    cfg = load_config(CONFIG)
    cfg.test_dataloader.dataset.type = "BaseSegDataset"
    names = [f"class-{i}" for i in range(11)]
    stored = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=names)))
    save_checkpoint(stored, tmp_path / "1.x.pth")
    assert init_model(cfg, tmp_path / "1.x.pth").dataset_meta["classes"] == names
    stored["meta"] = dict(CLASSES=names[::-1])
    save_checkpoint(stored, tmp_path / "0.x.pth")
    assert init_model(cfg, tmp_path / "0.x.pth").dataset_meta["classes"] == names[::-1]


def test_result_is_drawn(model, picture, tmp_path):
    result = inference_model(model, picture)
    drawn = show_result_pyplot(
        model, picture, result, show=False, with_labels=False, out_file=str(tmp_path / "o.png")
    )
    assert drawn.shape == (72, 96, 3)
    palette = np.array(model.dataset_meta["palette"])
    original = cv2.imread(picture)[..., ::-1].astype(float)
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
        init_model(CONFIG, tmp_path / "bad.pth")
