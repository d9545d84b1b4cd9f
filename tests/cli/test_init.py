"""Folders of every kind to a config that reads them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_gc.cli import init, split
from mmseg_gc.cli.folder_layout import find_splits, read_labels
from mmseg_gc.cli.short_keys import short_options
from mmseg_gc.config import load_config
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS

COLOURS = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)


def ids(index: int) -> np.ndarray:
    """A label of (24, 36) with classes 0, 1 and, every fourth one, 2."""
    labels = np.zeros((24, 36), np.uint8)
    labels[:8] = 1
    if index % 4 == 0:
        labels[12:, 20:] = 2
    return labels


def write(folder: Path, count: int, label=ids, images="images", labels="labels", tail=".png"):
    for index in range(count):
        image = folder / images / f"im_{index}.jpg"
        target = folder / labels / f"im_{index}{tail}"
        for path in (image, target):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (36, 24), (index, 9, 9)).save(image)
        made = label(index)
        (made if isinstance(made, Image.Image) else Image.fromarray(made)).save(target)


def palette_image(index: int) -> Image.Image:
    image = Image.fromarray(ids(index))
    image.putpalette(COLOURS.ravel().tolist())
    return image


@pytest.fixture(autouse=True)
def read_once(request, monkeypatch):
    """The tests read the config themselves."""
    if "test_models" not in request.node.name:
        monkeypatch.setattr(init, "require_loads", lambda text: None)


def run(main, *words, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    return stopped.value.code, *capsys.readouterr()


def read_back(config: Path, loader: str, index: int) -> np.ndarray:
    """The label that training reads for an image, through the written config."""
    cfg = load_config(config)
    dataset = DATASETS.build({**cfg[loader].dataset, "pipeline": [dict(type="LoadAnnotations")]})
    names = [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(len(dataset))]
    return dataset[names.index(f"im_{index}")]["gt_seg_map"]


@pytest.mark.parametrize(
    ("label", "expected", "kind"),
    [
        (ids, ids, "ids 0 to 2"),
        (lambda i: (ids(i) > 0).astype(np.uint8) * 255, lambda i: ids(i) > 0, "levels 0, 255"),
        (lambda i: ids(i) + 1, ids, "ids 1 to 3"),
        (lambda i: np.where(ids(i) == 2, 255, ids(i)).astype(np.uint8), None, "255 is ignored"),
        (lambda i: COLOURS[ids(i)], "colours", "labels of 3 colours"),
        (palette_image, ids, "ids 0 to 2"),
        (lambda i: ids(i) * 100, ids, "levels 0, 100, 200"),
        (lambda i: (ids(i) > 0).astype(np.uint8) * 128, lambda i: ids(i) > 0, "levels 0, 128"),
        (lambda i: ids(i).astype(np.uint16), ids, "ids 0 to 2"),
    ],
)
def test_labels_of_every_kind(tmp_path, capsys, label, expected, kind):
    write(tmp_path / "mine", 8, label)
    config = tmp_path / "mine.py"
    status, out, err = run(init.main, tmp_path / "mine", "-o", config, capsys=capsys)
    assert status == 0, err
    assert kind in out and f"mmseg_gc train {config}" in out
    found = read_back(config, "train_dataloader", _trained(tmp_path / "mine"))
    source = ids(_trained(tmp_path / "mine"))
    if expected == "colours":  # sorted: black, green, red
        assert np.array_equal(found, np.array([0, 2, 1])[source])
    elif expected is None:
        assert np.array_equal(found, np.where(source == 2, 255, source))
    else:
        wanted = expected(_trained(tmp_path / "mine"))
        assert np.array_equal(found, wanted)


def _trained(data: Path) -> int:
    """The number of the first image of training that has all classes."""
    names = (data / "splits/train.txt").read_text().split()
    return next(n for n in (int(name.split("_")[1]) for name in names) if n % 4 == 0)


def test_settings_of_the_config(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(init, "gpu_memory", lambda: None)
    write(tmp_path / "mine", 10)
    (tmp_path / "mine/classes.txt").write_text("floor\nwall\ndoor\n")
    config = tmp_path / "mine.py"
    flags = ("--epochs", 40, "--no-pretrained", "--batch", 2, "--crop", 24)
    assert run(init.main, tmp_path / "mine", "-o", config, *flags, capsys=capsys)[0] == 0
    cfg = load_config(config)
    assert cfg.train_dataloader.dataset.metainfo.classes == ["floor", "wall", "door"]
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 3
    assert cfg.model.backbone.depth == 18 and cfg.model.pretrained is None
    assert cfg.default_hooks.logger.interval == 8  # a curve wants some points
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == 160  # 40 * 8 images / 2
    steps = {step["type"]: step for step in cfg.train_dataloader.dataset.pipeline}
    assert tuple(steps["RandomCrop"]["crop_size"]) == (24, 24)
    assert tuple(steps["RandomResize"]["scale"]) == (36, 24)
    assert tuple(cfg.model.data_preprocessor.size) == (24, 24)
    status, _, err = run(init.main, tmp_path / "mine", "-o", config, capsys=capsys)
    assert status == 1 and "is there already; add --overwrite" in err


@pytest.mark.parametrize("model", init.MODELS)
def test_models(tmp_path, capsys, model):
    write(tmp_path / "mine", 4)
    config = tmp_path / "m.py"
    assert run(init.main, tmp_path / "mine", "-o", config, "--model", model, capsys=capsys)[0] == 0
    cfg = load_config(config)
    assert cfg.model.backbone.depth == int(model[1:])
    assert cfg.model.pretrained == f"open-mmlab://resnet{model[1:]}_v1c"


def test_choices_by_memory():
    assert init.choose_model(None) == init.choose_model(4000) == "r18"
    assert init.choose_model(24000) == "r50"
    assert init.choose_crop(360, None) == 256 and init.choose_crop(360, 8000) == 352
    assert init.choose_crop(20, 8000) == 32
    assert init.choose_batch("r50", 512, 1000, 24000) == 8
    assert init.choose_batch("r50", 512, 6, 24000) == 2
    assert init.choose_iterations(10, 100, 4) == 250


@pytest.mark.parametrize(
    "places",
    [
        [("images/train", "labels/train"), ("images/val", "labels/val")],
        [("train/images", "train/masks"), ("valid/images", "valid/masks")],
        [("train", "trainannot"), ("val", "valannot")],
    ],
)
def test_folders_that_are_divided(tmp_path, capsys, places):
    for (images, labels), count in zip(places, (4, 3), strict=True):
        write(tmp_path / "d", count, images=images, labels=labels)
    config = tmp_path / "c.py"
    assert run(init.main, tmp_path / "d", "-o", config, capsys=capsys)[0] == 0
    cfg = load_config(config)
    for loader, count in (("train_dataloader", 4), ("val_dataloader", 3)):
        assert len(DATASETS.build({**cfg[loader].dataset, "pipeline": []})) == count
    assert not (tmp_path / "d/splits").exists()


@pytest.mark.parametrize("tail", [".png", "_mask.png"])
def test_labels_beside_their_images(tmp_path, capsys, tail):
    write(tmp_path / "d", 6, images=".", labels=".", tail=tail)
    config = tmp_path / "c.py"
    status, _, err = run(init.main, tmp_path / "d", "-o", config, capsys=capsys)
    assert status == 0, err
    index = _trained(tmp_path / "d")
    assert np.array_equal(read_back(config, "train_dataloader", index), ids(index))


def test_what_can_not_be_read(tmp_path, capsys):
    status, _, err = run(init.main, tmp_path / "no", capsys=capsys)
    assert status == 1 and "is no folder" in err
    status, _, err = run(init.main, tmp_path, "-o", tmp_path / "c.py", capsys=capsys)
    assert status == 1 and "has no images with labels of the same names" in err
    noise = np.random.default_rng(0).integers(0, 255, (24, 36), dtype=np.uint8)
    write(tmp_path / "d", 4, lambda i: noise)
    status, _, err = run(init.main, tmp_path / "d", "-o", tmp_path / "c.py", capsys=capsys)
    assert status == 1 and "as masks do that were saved as JPEG" in err
    assert not (tmp_path / "c.py").exists()
    write(tmp_path / "e", 4)
    flags = ("-o", tmp_path / "c.py", "--classes", "a", "b")
    status, _, err = run(init.main, tmp_path / "e", *flags, capsys=capsys)
    assert status == 1 and "--classes names 2, and there are 3" in err


def test_names_decide_from_where_ids_count(tmp_path, capsys):
    """Four names and the ids 1 to 3: the first class isn't there; three: they count from 1."""
    write(tmp_path / "d", 8, lambda i: ids(i) + 1)
    for names, first in ((["bg", "a", "b", "c"], 1), (["a", "b", "c"], 0)):
        flags = ("-o", tmp_path / "c.py", "--overwrite", "--classes", *names)
        status, _, err = run(init.main, tmp_path / "d", *flags, capsys=capsys)
        assert status == 0, err
        index = _trained(tmp_path / "d")
        found = read_back(tmp_path / "c.py", "train_dataloader", index)
        assert np.array_equal(found, ids(index) + first)
    (tmp_path / "d/classes.txt").write_text("a\nb\n")
    status, _, err = run(init.main, tmp_path / "d", "-o", tmp_path / "e.py", capsys=capsys)
    assert status == 1 and "names of 2 classes, and there are 3: labels of the ids 1 to 3" in err


def test_labels_of_validation_and_of_every_suffix_count(tmp_path):
    for index, (place, tail) in enumerate((("train", ".png"), ("train", ".PNG"), ("val", ".tif"))):
        write_one(tmp_path, place, f"im_{index}", tail, np.full((4, 6), index, np.uint8))
    splits = find_splits(tmp_path)
    assert splits["train"].names == ["im_0", "im_1"]
    assert splits["train"].label_tails == (".PNG", ".png")
    paths = [path for split in splits.values() for path in split.labels.values()]
    assert len(read_labels(tmp_path, paths).classes) == 3


def write_one(root, place, name, tail, label, **saved):
    for folder in ("images", "labels"):
        (root / folder / place).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4)).save(root / "images" / place / f"{name}.jpg")
    path = root / "labels" / place / f"{name}{tail}"
    Image.fromarray(label).save(path, **saved)
    return path


def test_labels_that_are_no_classes(tmp_path):
    one = write_one(tmp_path, "train", "a", ".png", np.zeros((4, 6), np.uint8))
    with pytest.raises(UserError, match="ids 0 to 0, which is one class"):
        read_labels(tmp_path, [one])
    smooth = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    with pytest.raises(UserError, match="hold 24 grey levels up to 230, as masks do that were"):
        read_labels(tmp_path, [write_one(tmp_path, "train", "b", ".png", smooth)])
    few_bits = write_one(tmp_path, "train", "c", ".png", smooth // 80, bits=4)
    assert read_labels(tmp_path, [few_bits]).classes == ["class_0", "class_1", "class_2"]
    with_alpha = write_one(tmp_path, "train", "d", ".png", np.dstack([smooth] * 2))
    with pytest.raises(UserError, match="d.png has 2 channels; save labels without alpha"):
        read_labels(tmp_path, [with_alpha])


def test_each_part_has_its_share_of_a_rare_class():
    presence = [{0, 1} if i % 10 == 0 else {0} for i in range(100)]
    for seed in range(3):
        parts = split.stratified(presence, [0.8, 0.2], seed)
        assert parts.count(1) == 20
        assert sum(part == 1 and 1 in one for part, one in zip(parts, presence, strict=True)) == 2
    assert split.stratified(presence, [0.8, 0.2], 0) == split.stratified(presence, [0.8, 0.2], 0)
    assert split.stratified(presence, [0.8, 0.2], 0) != split.stratified(presence, [0.8, 0.2], 1)


@pytest.mark.parametrize("seed", range(4))
def test_folds_have_near_equal_shares_of_every_class(seed):
    rng = np.random.default_rng(seed)
    presence = [{number for number in range(6) if rng.random() < 0.5**number} for _ in range(200)]
    parts = split.stratified(presence, [1 / 5] * 5, seed)
    assert max(map(parts.count, range(5))) - min(map(parts.count, range(5))) <= 4
    for number in range(6):
        held = [
            sum(part == one and number in seen for one, seen in zip(parts, presence, strict=True))
            for part in range(5)
        ]
        assert max(held) - min(held) <= max(2, 0.1 * sum(held) / 5), (number, held)


def test_groups_stay_in_one_part(tmp_path, capsys):
    write(tmp_path / "d", 12)
    for path in [*(tmp_path / "d").rglob("im_*")]:
        number = int(path.stem.split("_")[1])
        path.rename(path.with_name(f"area{number % 4}_{number}{path.suffix}"))
    status, out, err = run(
        split.main, tmp_path / "d", "--folds", 2, "--group", "area[0-9]+", capsys=capsys
    )
    assert status == 0 and "12 images: 2 folds" in out, err
    held = [(tmp_path / f"d/splits/val-{i}.txt").read_text().split() for i in range(2)]
    areas = [{name.split("_")[0] for name in one} for one in held]
    assert not areas[0] & areas[1] and [len(one) for one in held] == [6, 6]
    for pattern, told in (("(", "is no regular expression"), ("field", "matches none")):
        arguments = tmp_path / "d", "--group", pattern
        status, _, err = run(split.main, *arguments, capsys=capsys)
        assert status == 1 and told in err


def test_folds_hold_every_image_once(tmp_path, capsys):
    write(tmp_path / "d", 9)
    status, out, _ = run(split.main, tmp_path / "d", "--folds", 3, capsys=capsys)
    assert status == 0 and "9 images: 3 folds" in out
    held = [(tmp_path / f"d/splits/val-{i}.txt").read_text().split() for i in range(3)]
    assert sorted(name for one in held for name in one) == sorted(f"im_{i}" for i in range(9))
    train = (tmp_path / "d/splits/train-1.txt").read_text().split()
    assert not set(train) & set(held[1]) and len(train) + len(held[1]) == 9
    for flags, told in ((["--folds", 1], "give 2 or more"), (["--val", 2], "is no share")):
        status, _, err = run(split.main, tmp_path / "d", *flags, capsys=capsys)
        assert status == 1 and told in err


def test_ids_and_colours_do_not_mix(tmp_path):
    write(tmp_path, 4, lambda i: ids(i) if i else COLOURS[ids(i)])
    found = find_splits(tmp_path)["all"]
    with pytest.raises(UserError, match="some labels hold colours and others ids"):
        read_labels(tmp_path, list(found.labels.values()))


def test_a_config_is_short_and_names_data_as_typed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("mine"), 6)
    assert run(init.main, "mine", capsys=capsys)[0] == 0
    text = Path("mine.py").read_text()
    assert len(text.splitlines()) <= 18 and max(map(len, text.splitlines())) <= 100
    assert 'data_root = "mine"\n' in text and text.count("(32, 32)") == 1  # sizes of crops
    assert load_config("mine.py").train_dataloader.dataset.data_root == "mine"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(init.main, "../mine", capsys=capsys)[0] == 0
    assert f'data_root = "{tmp_path / "mine"}"\n' in Path("mine.py").read_text()


def test_a_share_of_train_is_held_back_where_there_is_no_val(tmp_path, capsys):
    write(tmp_path / "d", 10, images="images/train", labels="labels/train")
    status, out, err = run(init.main, tmp_path / "d", "-o", tmp_path / "c.py", capsys=capsys)
    assert status == 0, err
    assert "Divided: 10 images: 8 for train and 2 for val" in out
    cfg = load_config(tmp_path / "c.py")
    for loader, count in (("train_dataloader", 8), ("val_dataloader", 2)):
        assert len(DATASETS.build({**cfg[loader].dataset, "pipeline": []})) == count


@pytest.mark.parametrize("text", ['{"images": [], "annotations": []}', '{"shapes": []}'])
def test_outlines_are_refused_in_a_sentence(tmp_path, capsys, text):
    write(tmp_path / "d", 2, labels="nothing/below", tail="_.png")
    for path in (tmp_path / "d/nothing/below").iterdir():
        path.unlink()
    (tmp_path / "d/images/im_0.json").write_text(text)
    status, _, err = run(init.main, tmp_path / "d", capsys=capsys)
    assert status == 1 and err.count("\n") == 1
    assert "im_0.json holds labels as outlines" in err and "mmseg_gc convert coco" in err


def test_options_beat_the_variables_of_a_config_without_a_word(tmp_path, capsys):
    write(tmp_path / "d", 4)
    config = tmp_path / "c.py"
    assert run(init.main, tmp_path / "d", "-o", config, capsys=capsys)[0] == 0
    options = short_options(["crop=16", "iters=30"], load_config(config))
    capsys.readouterr()
    cfg = load_config(config, options)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == 30
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (16, 16)
    assert tuple(cfg.model.data_preprocessor.size) == (16, 16)
    assert "is set as well" not in "".join(capsys.readouterr())
