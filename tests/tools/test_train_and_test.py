"""Training, resuming and testing from the command line, and every kind of bad input."""

import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.nn import Conv2d

from mmseg_gc.checkpoint import load_checkpoint, save_checkpoint
from mmseg_gc.engine.work_dir import OWNER_NAME

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"


@pytest.fixture
def camvid_copy(camvid_root, tmp_path):
    return Path(shutil.copytree(camvid_root, tmp_path / "camvid"))


@pytest.fixture
def train(run_tool, camvid_options, narrow_options, tmp_path):
    def run(*arguments, options=()):
        options = [*camvid_options, *options, *narrow_options]
        work_dir = ("--work-dir", tmp_path / "work")
        return run_tool("train.py", CONFIG, *work_dir, *arguments, "--cfg-options", *options)

    return run


def score_of(labels: Path, truth: Path) -> float:
    """mIoU in percent of CamVid's label maps, counted with numpy: 11 is void, 0..10 are scored."""
    pairs = [
        (cv2.imread(str(labels / p.name), -1), cv2.imread(str(p), -1)) for p in truth.iterdir()
    ]
    found, wanted = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    found, wanted = found[wanted != 11], wanted[wanted != 11]
    ratios = []
    for number in range(11):
        union = ((found == number) | (wanted == number)).sum()
        both = ((found == number) & (wanted == number)).sum()
        ratios.append(both / union if union else np.nan)
    return 100 * np.nanmean(ratios)


def test_train_resume_test_and_aug_test(
    run_tool, train, camvid_options, narrow_options, camvid_root, tmp_path
):
    work = tmp_path / "work"
    assert train("--validate").status == 0
    assert (work / "iter_2.pth").is_file()

    finished = train("--resume", options=["train_cfg.max_iters=4"])
    assert finished.status == 0
    assert "going on at iteration 2" in finished.out
    assert load_checkpoint(work / "iter_4.pth")["meta"]["iter"] == 4

    for name, extra, accelerate in (
        ("one", ["--precision", "bf16", "--batch-size", 2], "auto"),
        ("views", ["--aug-test", "--accelerate", "none"], "none"),
    ):
        out, show = tmp_path / name, tmp_path / f"show-{name}"
        finished = run_tool(
            "test.py", CONFIG, work / "iter_4.pth", "--work_dir", work / name, *extra,
            "--show-dir", show, "--out", out, "--cfg_options", *camvid_options, *narrow_options,
        )  # fmt: skip
        assert finished.status == 0, finished.err
        assert "Bicyclist" in finished.out + finished.err
        assert "2/2" in finished.err  # the bar
        [log] = (work / name).rglob("*.log")
        assert f"accelerate={accelerate}: " in log.read_text()
        [score] = [json.loads(file.read_text()) for file in (work / name).rglob("*.json")]
        assert score["mIoU"] == pytest.approx(score_of(out, camvid_root / "valannot"), abs=0.006)
        image = cv2.imread(str(next(show.glob("*.png"))))
        assert image.shape == (72, 192, 3)  # labels left, prediction right
    labels = [cv2.imread(str(next((tmp_path / name).iterdir())), -1) for name in ("one", "views")]
    assert labels[0].shape == labels[1].shape == (72, 96)
    assert (labels[0] != labels[1]).mean() > 0.01  # far more than bf16 changes


AVERAGED = f"""
_base_ = {str(CONFIG)!r}
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    decode_head=dict(in_channels=64, channels=8),
    auxiliary_head=dict(in_channels=32, channels=8),
)
custom_hooks = [dict(type="EMAHook", momentum=2e-4)]
one_view = [
    [dict(type="Resize", scale_factor=1.0, keep_ratio=True)],
    [dict(type="RandomFlip", prob=0.0)],
    [dict(type="LoadAnnotations")],
    [dict(type="PackSegInputs")],
]
tta_pipeline = [dict(type="LoadImageFromFile"), dict(type="TestTimeAug", transforms=one_view)]
"""


def test_a_run_with_a_running_average_is_tested_with_its_own_config(
    run_tool, camvid_options, tmp_path
):
    """The hook of docs/training.md: what the validation scored is what ``tools/test.py`` scores."""
    config, work = tmp_path / "averaged.py", tmp_path / "work"
    config.write_text(AVERAGED)
    options = ["--cfg-options", *camvid_options, "optim_wrapper.optimizer.lr=0.5"]

    def figures(*arguments):
        finished = run_tool(*arguments, *options)
        assert finished.status == 0, finished.err
        found = re.findall(r"aAcc: ([\d.]+)  mIoU: ([\d.]+)", finished.out)[-1]
        return [float(figure) for figure in found]

    validated = figures("train.py", config, "--work-dir", work)
    test = ("test.py", config, work / "best_mIoU_iter_2.pth", "--work-dir", tmp_path / "t")
    assert figures(*test) == validated
    assert figures(*test, "--aug-test") == validated
    assert figures(*test, "--precision", "bf16")


@pytest.mark.parametrize(("flags", "dtype"), [(["--amp"], torch.bfloat16), ([], torch.float32)])
def test_mixed_precision_trains_on_the_cpu(train, tmp_path, flags, dtype):
    if torch.cuda.is_available():
        pytest.skip("autocast on the CPU is what this checks")
    seen = set()
    watch = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, out: seen.add(out.dtype) if isinstance(module, Conv2d) else None
    )
    with watch:
        finished = train(*flags, "--no-validate", options=["train_cfg.max_iters=1"])
    assert finished.status == 0
    assert seen == {dtype}
    weights = load_checkpoint(tmp_path / "work" / "iter_1.pth")["state_dict"]
    assert all(value.dtype != torch.bfloat16 for value in weights.values())
    assert all(value.isfinite().all() for value in weights.values())


def one_sentence(finished, *parts):
    assert finished.status == 1
    errors = [line for line in finished.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, finished.err
    assert "Traceback" not in finished.err
    for part in parts:
        assert part in errors[0]


def test_missing_data_folder(train):
    one_sentence(
        train(options=["train_dataloader.dataset.data_root=nowhere"]), "nowhere", "data_root"
    )


def test_empty_split(train, camvid_copy):
    for image in (camvid_copy / "train").iterdir():
        image.unlink()
    one_sentence(train(options=[f"train_dataloader.dataset.data_root={camvid_copy}"]), "train")


def test_image_without_label(train, camvid_copy):
    label = sorted((camvid_copy / "trainannot").iterdir())[0]
    label.unlink()
    one_sentence(train(options=[f"train_dataloader.dataset.data_root={camvid_copy}"]), label.name)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image(train, camvid_copy, workers):
    image = sorted((camvid_copy / "train").iterdir())[0]
    image.write_bytes(image.read_bytes()[:60])
    options = [
        f"train_dataloader.dataset.data_root={camvid_copy}",
        f"train_dataloader.num_workers={workers}",
        "train_dataloader.batch_size=4",
    ]
    one_sentence(train(options=options), image.name)


def test_label_id_outside_the_classes(train, camvid_copy):
    for label in (camvid_copy / "trainannot").iterdir():
        cv2.imwrite(str(label), np.full((72, 96), 17, np.uint8))
    one_sentence(
        train(options=[f"train_dataloader.dataset.data_root={camvid_copy}"]),
        "17",
        "trainannot",
        "11",
    )


def test_label_of_another_size(train, camvid_copy):
    for label in (camvid_copy / "trainannot").iterdir():
        cv2.imwrite(str(label), np.zeros((36, 48), np.uint8))
    one_sentence(
        train(options=[f"train_dataloader.dataset.data_root={camvid_copy}"]), "trainannot", "48"
    )


def test_unknown_config_key(train):
    one_sentence(
        train(options=["model.decode_head.chanels=3"]), "model.decode_head.chanels", "channels"
    )


def test_work_dir_that_cannot_be_written(run_tool, camvid_options, tmp_path):
    (tmp_path / "file").write_text("")
    finished = run_tool("train.py", CONFIG, "--work-dir", tmp_path / "file" / "work")
    one_sentence(finished, "file/work", "--work-dir")


@pytest.fixture
def checkpoint(tmp_path):
    from mmseg_gc.apis import init_model

    path = tmp_path / "weights.pth"
    save_checkpoint({"state_dict": init_model(CONFIG).state_dict()}, path)
    return path


def test_checkpoint_for_another_number_of_classes(run_tool, checkpoint, camvid_options, tmp_path):
    weights = load_checkpoint(checkpoint)
    for key in ("decode_head.conv_seg", "auxiliary_head.conv_seg"):
        for part in ("weight", "bias"):
            tensor = weights["state_dict"][f"{key}.{part}"]
            weights["state_dict"][f"{key}.{part}"] = tensor[:7]
    save_checkpoint(weights, checkpoint)
    arguments = (CONFIG, checkpoint, "--work-dir", tmp_path / "t")
    finished = run_tool("test.py", *arguments, "--cfg-options", *camvid_options)
    one_sentence(finished, "weights.pth", "7 classes", "num_classes=11")


def test_missing_checkpoint(run_tool, camvid_options, tmp_path):
    arguments = (CONFIG, tmp_path / "no.pth", "--work-dir", tmp_path / "t")
    finished = run_tool("test.py", *arguments, "--cfg-options", *camvid_options)
    one_sentence(finished, "no.pth doesn't exist")


def test_resuming_from_bare_weights_is_refused(train, checkpoint):
    one_sentence(train("--resume", checkpoint), "weights.pth can't be resumed from", "load_from")


def test_a_failed_run_leaves_no_checkpoint(train, camvid_copy, tmp_path):
    for label in (camvid_copy / "trainannot").iterdir():
        cv2.imwrite(str(label), np.full((72, 96), 17, np.uint8))
    train(options=[f"train_dataloader.dataset.data_root={camvid_copy}"])
    assert not list((tmp_path / "work").rglob("*.pth"))


@pytest.mark.parametrize(
    ("arguments", "fp16", "wrapper"),
    [
        (["--amp"], True, "mmseg_gc.AmpOptimWrapper"),
        (["--amp", "--cfg-options", "val_cfg.fp16=False"], False, "mmseg_gc.AmpOptimWrapper"),
        ([], None, "OptimWrapper"),
        (["--amp", "--no-validate"], None, "mmseg_gc.AmpOptimWrapper"),
    ],
)
def test_mixed_precision_is_for_validation_too(
    run_tool, monkeypatch, tmp_path, arguments, fp16, wrapper
):
    configs = []
    monkeypatch.setattr(
        "mmseg_gc.engine.runner.SegRunner.from_cfg",
        lambda cfg: configs.append(cfg) or SimpleNamespace(train=lambda: None),
    )
    assert run_tool("train.py", CONFIG, "--work-dir", tmp_path, *arguments).status == 0
    [cfg] = configs
    assert (cfg.val_cfg or {}).get("fp16") is fp16 and cfg.optim_wrapper.type == wrapper


def test_another_run_s_checkpoints_are_overwritten_only_on_request(run_tool, monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(
        "mmseg_gc.engine.runner.SegRunner.from_cfg",
        lambda cfg: SimpleNamespace(train=lambda: ran.append(os.listdir(tmp_path))),
    )
    (tmp_path / "iter_2.pth").touch()
    arguments = ("train.py", CONFIG, "--work-dir", tmp_path)
    one_sentence(run_tool(*arguments), "iter_2.pth", "--resume auto", "--overwrite")
    assert not ran
    cures = (["--overwrite"], ["--resume"], ["--cfg-options", "overwrite=True"])
    for count, cure in enumerate(cures, 1):
        assert run_tool(*arguments, *cure).status == 0 and len(ran) == count
    assert OWNER_NAME in ran[0]  # held before the runner is built
    monkeypatch.setenv("RANK", "1")  # the first process has looked
    assert run_tool(*arguments, "--launcher", "pytorch").status == 0
    assert OWNER_NAME not in ran[-1]


def test_validation_loss_and_classes_are_figures_to_go_by(train, camvid_options, tmp_path):
    camvid_options.remove("default_hooks.curves=None")
    save_best = "default_hooks.checkpoint.save_best=IoU.Sky"
    own = f"visualizer.name={tmp_path.name}"  # a name's visualizer is made once in a process
    finished = train(options=["val_cfg.loss=True", save_best, own])
    assert finished.status in (0, None), finished.err
    [log] = (tmp_path / "work").rglob("scalars.json")
    logged = {}
    for line in log.read_text().splitlines():
        logged |= json.loads(line)
    of_classes = [value for key, value in logged.items() if key.startswith("IoU.")]
    assert np.mean(of_classes) == pytest.approx(logged["mIoU"], abs=0.01)
    assert logged["val_loss"] == pytest.approx(np.log(11), rel=0.5)
    assert (tmp_path / "work/best_IoU.Sky_iter_2.pth").is_file()
    assert (tmp_path / "work/curves.png").is_file()
    assert "mIoU: " in finished.out and "IoU.Building" not in finished.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["default_hooks.checkpoint.save_best=val_loss"], "set val_cfg.loss=True"),
        (["default_hooks.checkpoint.save_best=IoU.sea"], "the classes are Bicyclist, Building"),
    ],
)
def test_figures_that_a_validation_lacks(train, options, sentence):
    finished = train(options=options)
    assert finished.status == 1 and sentence in finished.err
