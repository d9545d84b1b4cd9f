"""Each fault, planted in a copy of a clean data set, is found; in the clean one nothing is."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_gc.config import load_config

TOOLS = Path(__file__).parents[2] / "tools"
CONFIG = TOOLS.parent / "configs/gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
VOC_AUG = TOOLS.parent / "configs/gcnet/gcnet_r50-d8_4xb4-20k_voc12aug-512x512.py"


@pytest.fixture
def root(camvid_root, tmp_path) -> Path:
    return Path(shutil.copytree(camvid_root, tmp_path / "camvid"))


@pytest.fixture
def check(run_tool, root):
    def run(*arguments, options=(), config=CONFIG):
        roots = [f"{split}_dataloader.dataset.data_root={root}" for split in ("train", "val")]
        roots.append(f"test_dataloader.dataset.data_root={root}")
        arguments = ["--nproc", 1, *arguments]
        if config == CONFIG:
            arguments += ["--cfg-options", *roots, *options]
        return run_tool("check_dataset.py", config, *arguments)

    return run


def named(root: Path, folder: str, index: int = 0) -> Path:
    return sorted((root / folder).iterdir())[index]


def cut(folder: str, share: float):
    def plant(root: Path) -> Path:
        path = named(root, folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return plant


def rewrite(folder: str, pixels: np.ndarray):
    def plant(root: Path) -> Path:
        path = named(root, folder)
        Image.fromarray(pixels).save(path)
        return path

    return plant


def wrong_ids(root: Path) -> Path:
    path = named(root, "trainannot")
    label = np.array(Image.open(path))
    label[:3, :7], label[4, 4] = 17, 200
    Image.fromarray(label).save(path)
    return path


def a_training_image_in_val(root: Path) -> Path:
    pixels = cv2.imread(str(named(root, "train")))
    target = root / "val" / "other_name.png"
    cv2.imwrite(str(target), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])  # other bytes, same pixels
    shutil.copy(named(root, "trainannot"), root / "valannot" / target.name)
    return target


def twin(root: Path) -> Path:
    for folder in ("train", "trainannot"):
        shutil.copy(named(root, folder), root / folder / "zz.png")
    return root / "train" / "zz.png"


def drop(folder: str):
    def plant(root: Path) -> Path:
        path = named(root, folder)
        path.unlink()
        return path

    return plant


RGB = np.stack([np.full((72, 96), level, np.uint8) for level in (1, 2, 3)], axis=-1)
GREY = np.stack([np.tile(np.arange(12, dtype=np.uint8), (72, 8))] * 3, axis=-1)
PLANTED = {
    "truncated image": (cut("train", 0.6), "ERROR: unreadable", "is no readable image"),
    "truncated label": (cut("valannot", 0.6), "ERROR: unreadable", "is no readable image"),
    "empty image": (cut("train", 0), "ERROR: unreadable", "(0 bytes)"),
    "size": (
        rewrite("trainannot", np.zeros((36, 48), np.uint8)),
        "ERROR: label and image differ in size",
        "is 48 x 36, its image 96 x 72",
    ),
    "turned": (
        rewrite("trainannot", np.zeros((96, 72), np.uint8)),
        "ERROR: label and image differ in size",
        "perhaps by an EXIF mark",
    ),
    "ids": (wrong_ids, "ERROR: label ids outside", "has 17 (21 px), 200 (1 px)"),
    "16-bit ids": (
        rewrite("trainannot", np.full((72, 96), 300, np.uint16)),
        "ERROR: label ids outside",
        "has 300 (6,912 px)",
    ),
    "colours": (
        rewrite("trainannot", RGB),
        "ERROR: colours where an id",
        "1 colours outside the palette: (1, 2, 3) (6,912 px)",
    ),
    "grey as RGB": (
        rewrite("trainannot", GREY),
        "ERROR: colours where an id",
        "its channels are equal: keep one",
    ),
    "all ignored": (
        rewrite("trainannot", np.full((72, 96), 11, np.uint8)),
        "WARNING: labels with nothing but ignored",
        "every pixel is ignored",
    ),
    "leak": (a_training_image_in_val, "WARNING: the same image", "is also in train"),
    "twin": (twin, "NOTE: the same image twice", "is the same image as"),
    "image without label": (drop("trainannot"), "ERROR: images without a label", "has no"),
    "label without image": (drop("val"), "NOTE: labels without an image", "has no image"),
}


def test_clean_data_set(check, tmp_path):
    finished = check("--fix-report", tmp_path / "page.html")
    assert finished.status == 0, finished.out
    assert "Nothing wrong found." in finished.out
    assert not {"ERROR", "WARNING", "NOTE"} & set(finished.out.replace(":", " ").split())
    assert "train: 4 images, 4 labels, 96 x 72" in finished.out
    assert "val+test: 2 images, 2 labels" in finished.out
    assert "6/6" in finished.err  # the bar
    assert "Nothing wrong found" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_found(check, root, fault):
    plant, title, text = PLANTED[fault]
    path = plant(root)
    finished = check()
    lines = finished.out.splitlines()
    (start,) = [index for index, line in enumerate(lines) if line.startswith(title)]
    assert path.name in lines[start + 1] and text in lines[start + 1]
    severe = [line for line in lines if line.startswith("ERROR")]
    # One training image among the three of val makes its score meaningless.
    is_fatal = title.startswith("ERROR") or fault == "leak"
    assert (finished.status, len(severe)) == (is_fatal, is_fatal)


def test_all_faults_at_once_and_on_the_page(check, root, tmp_path):
    names = [path.name for path in sorted((root / "train").iterdir())]
    (root / "train" / names[0]).write_bytes(b"no image")
    Image.fromarray(np.full((72, 96), 99, np.uint8)).save(root / "trainannot" / names[1])
    (root / "trainannot" / names[2]).unlink()
    shutil.rmtree(root / "valannot")
    page = tmp_path / "page.html"
    finished = check("--fix-report", page, options=["model.decode_head.num_classes=12"])
    assert finished.status == 1
    for text in (
        "unreadable or truncated files (1)",
        "label ids outside the classes (1)",
        "images without a label (1)",
        f"the folder of data_prefix.seg_map_path does not exist: {root}/valannot",
        "model.decode_head.num_classes is 12",
    ):
        assert text in finished.out
    content = page.read_text()
    for name in names[:3]:
        assert name in content
    assert content.count("data:image/jpeg;base64,") >= 3
    assert 'src="http' not in content and "<script" not in content and "<link" not in content
    assert_balanced(content)


def assert_balanced(page: str) -> None:
    class Reader(HTMLParser):
        open_tags: list[str] = []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)

        def handle_startendtag(self, tag, attributes): ...

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    reader = Reader()
    reader.feed(page)
    assert reader.open_tags == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda root: shutil.rmtree(root), "data_root does not exist"),
        (lambda root: shutil.rmtree(root / "train"), "data_prefix.img_path does not exist"),
        (lambda root: [p.unlink() for p in (root / "train").iterdir()], "ends in '.png' (it holds"),
    ],
)
def test_a_split_that_cannot_be_opened(check, root, change, text):
    change(root)
    finished = check("--split", "train")
    assert finished.status == 1 and "ERROR: a split can't be opened (1)" in finished.out
    assert text in finished.out


def test_lists_with_missing_and_repeated_names(check, root):
    names = [path.stem for path in sorted((root / "train").iterdir())]
    (root / "list.txt").write_text("\n".join([*names, names[0], "gone"]))
    option = "train_dataloader.dataset.ann_file=list.txt"
    finished = check("--split", "train", options=[option])
    assert finished.status == 1
    assert "train/gone.png is listed but does not exist" in finished.out
    assert f"{names[0]}.png is listed 2 times" in finished.out


def test_nothing_to_learn(check, root):
    for path in (root / "trainannot").iterdir():
        Image.fromarray(np.full((72, 96), 3, np.uint8)).save(path)
    finished = check()
    assert finished.status == 1 and "all labelled pixels are of class 3 (Road)" in finished.out


def test_a_class_that_never_occurs(check, root):
    for path in (root / "trainannot").iterdir():
        label = np.array(Image.open(path))
        label[label == 9] = 8
        Image.fromarray(label).save(path)
    finished = check()
    assert finished.status == 0
    assert "train: no pixel of 9 (Pedestrian)" in finished.out


def test_train_as_val(check, root):
    prefix = "val_dataloader.dataset.data_prefix"
    finished = check(options=[f"{prefix}.img_path=train", f"{prefix}.seg_map_path=trainannot"])
    assert finished.status == 1 and "4 of its 4 images are training images" in finished.out


def test_heads_that_ignore_another_id(check):
    heads = ("decode_head", "auxiliary_head")
    finished = check(options=[f"model.{head}.ignore_index=255" for head in heads])
    assert finished.status == 1
    assert "model.decode_head.ignore_index is 255, the data set's 11" in finished.out


def test_two_processes_find_the_same(check, root):
    wrong_ids(root)
    alone = check()
    finished = check("--nproc", 2)
    assert finished.status == 1 and finished.out == alone.out


def test_concatenated_splits_and_palette_labels(run_tool, voc_root):
    options = [f"train_dataloader.dataset.datasets.{i}.data_root={voc_root}" for i in (0, 1)]
    finished = run_tool(
        "check_dataset.py", VOC_AUG, "--split", "train", "--nproc", 1, "--cfg-options", *options
    )
    assert finished.status == 0, finished.out
    assert "train: 6 images, 6 labels" in finished.out
    assert "# In every data set: ignore_index=255" in finished.out


def test_colour_masks_of_a_data_set_without_palette(check, root, tmp_path):
    for path in (root / "trainannot").iterdir():
        mask = np.array([[200, 0, 0], [0, 100, 0]], np.uint8)[np.indices((72, 96))[0] // 60]
        Image.fromarray(mask).save(path)
    own = tmp_path / "own.py"
    own.write_text(
        f'train_dataloader = dict(dataset=dict(type="BaseSegDataset", data_root="{root}",\n'
        '    img_suffix=".png", metainfo=dict(classes=["a", "b"]),\n'
        '    data_prefix=dict(img_path="train", seg_map_path="trainannot")))\n'
    )
    finished = check(config=own)
    assert finished.status == 1
    assert "has 3 channels and 2 colours, no ids" in finished.out
    assert "by pixels: [[200, 0, 0], [0, 100, 0]]" in finished.out


def pasted_of(finished) -> str:
    return finished.out.partition("a config of their own:\n")[2].partition("\n\n")[0] + "\n"


BINARY = """_base_ = "mmseg_gc::gcnet/gcnet_r50-d8_1xb4-20k_folders-512x512.py"
data = dict(data_root="{root}", img_suffix=".png", metainfo=dict(classes=["bg", "fg"]))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)
model = dict(decode_head=dict(num_classes=2), auxiliary_head=dict(num_classes=2))
"""


@pytest.fixture
def binary(tmp_path) -> Path:
    """A config of images/ and labels/ of two classes, whose masks hold 0 and 255."""
    root = tmp_path / "own"
    for split, count in (("train", 3), ("val", 2)):
        for folder in ("images", "labels"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            rng = np.random.default_rng([count, number])
            mask = np.repeat(rng.integers(0, 2, (4, 6)), 8, 0).repeat(8, 1).astype(np.uint8)
            noise = rng.integers(0, 256, (*mask.shape, 3)).astype(np.uint8)
            Image.fromarray(noise).save(root / f"images/{split}/{number}.png")
            Image.fromarray(mask * 255).save(root / f"labels/{split}/{number}.png")
    (tmp_path / "own.py").write_text(BINARY.format(root=root))
    return tmp_path / "own.py"


def test_masks_of_0_and_255_get_a_map_that_mends_them(check, binary, tmp_path):
    finished = check(config=binary)
    assert finished.status == 1
    masks = [np.array(Image.open(p)) for p in (tmp_path / "own/labels/train").iterdir()]
    share = np.mean(np.array(masks) == 255)
    assert f"class 0 (bg), and the other {share:.1%} are ignored (ignore_index=255)" in finished.out
    assert "The labels hold 0, 255 for 2 classes: label_map={255: 1} reads" in finished.out
    mended = tmp_path / "mended.py"
    mended.write_text(pasted_of(finished))
    finished = check(config=mended)
    assert finished.status == 0 and "Nothing wrong found." in finished.out
    assert f"|  1 | fg    |  {100 * share:.3f} |" in finished.out
    palette = "], palette=[[0, 0, 0], [255, 255, 255]])"
    binary.write_text(binary.read_text().replace('"fg"])', f'"fg"{palette}'))
    grey = check(config=binary)
    assert grey.status == 0 and "label_map" not in grey.out


def test_lossy_labels_lost_bits_and_images_that_are_left_out(check, binary, tmp_path):
    root = tmp_path / "own"
    deep = np.random.default_rng(0).integers(0, 4096, (32, 48, 3)).astype(np.uint16)
    cv2.imwrite(str(root / "images/train/0.png"), deep)
    cv2.imwrite(str(root / "images/train/2.png"), deep // 16 * 257)  # no more than 8 bits have
    (root / "labels/train/0.png").unlink()
    Image.new("L", (48, 32)).save(root / "labels/train/0.jpg")
    shutil.copy(root / "images/train/1.png", root / "images/train/x.jpg")
    more = (
        'for x in (train_dataloader, val_dataloader): x["dataset"] = dict(data, label_map={255: 1}'
    )
    binary.write_text(binary.read_text() + f"{more}, seg_map_suffix=('.png', '.jpg'))\ndel x\n")
    finished = check("--split", "train", config=binary)
    assert "0.jpg is a JPEG, whose compression changes ids" in finished.out
    levels = len(np.unique(deep))
    assert f"0.png has more than 8 bits: {levels} levels become 1" in finished.out
    assert "2.png has more than 8 bits" not in finished.out
    assert "x.jpg ends in '.jpg', not in '.png'" in finished.out


def test_values_that_are_no_numbers(check, binary, tmp_path):
    root = tmp_path / "own"
    values = np.zeros((32, 48, 3), np.float32)
    values[:2, 0, 0], values[5, 5, 1] = np.nan, np.inf
    shutil.copy(root / "labels/train/1.png", root / "labels/train/x.png")
    cv2.imwrite(str(root / "images/train/x.tif"), values)
    own = (
        'load = [dict(type="LoadImageFromFile", color_type="unchanged"), '
        'dict(type="LoadAnnotations")]\n'
        "train_dataloader['dataset'] = dict(data, pipeline=load, label_map={255: 1}, "
        "img_suffix=('.png', '.tif'))\n"
    )
    binary.write_text(binary.read_text() + own)
    finished = check("--split", "train", config=binary)
    assert f"x.tif has 3 of {32 * 48 * 3} values that are NaN or infinite" in finished.out
    assert finished.status == 0 and "Nothing wrong found" not in finished.out


def test_channels_that_the_model_does_not_take(check, binary, tmp_path):
    path = tmp_path / "own/images/train/1.png"
    Image.open(path).convert("RGBA").save(path)
    Image.open(path.with_name("2.png")).convert("L").save(path.with_name("2.png"))
    own = binary.read_text() + (
        'load = [dict(type="LoadImageFromFile", color_type="unchanged"), '
        'dict(type="LoadAnnotations")]\n'
        'train_dataloader["dataset"] = dict(data, pipeline=load, label_map={255: 1})\n'
    )
    binary.write_text(own)
    finished = check("--split", "train", config=binary)
    assert finished.status == 1
    assert "1.png has 4 channels, but data_preprocessor.mean has 3" in finished.out
    assert "2.png" not in finished.out  # grey becomes three channels
    binary.write_text(own + "model['data_preprocessor'] = dict(mean=[0.0] * 4, std=[1.0] * 4)\n")
    finished = check("--split", "train", config=binary)
    assert "0.png has 3 channels, but data_preprocessor.mean has 4" in finished.out
    binary.write_text(own.replace('dict(type="LoadAnnotations")]', 'dict(type="OwnStep")]'))
    assert "channels, but" not in check("--split", "train", config=binary).out


def test_what_is_printed_can_be_pasted(check, root, tmp_path):
    finished = check()
    config = tmp_path / "own.py"
    config.write_text(pasted_of(finished))
    cfg = load_config(config)
    assert len(cfg.model.decode_head.loss_decode.class_weight) == 11
    assert cfg.model.decode_head.loss_decode.type == "CrossEntropyLoss"
    assert Config.fromfile(CONFIG).model.decode_head.ignore_index == 11


def test_wrong_arguments(check, root):
    finished = check("--split", "train,dev")
    assert finished.status == 1
    assert "has no dev; choose from train, val, test." in finished.err


def test_a_column_of_pixels_and_a_name_that_is_no_utf8(check, root, tmp_path):
    for name, shape in (("column.png", (4000, 1)), ("strange\udcff.png", (36, 48))):
        for folder, channels in (("train", (3,)), ("trainannot", ())):
            pixels = np.random.default_rng(0).integers(0, 11, (*shape, *channels), np.uint8)
            Image.fromarray(pixels).save(root / folder / name)
    page = tmp_path / "page.html"
    finished = check("--fix-report", page)
    assert finished.status == 0 and "train: 6 images, 6 labels" in finished.out
    assert page.stat().st_size < 2_000_000  # and 1.2 million rows of pixels are no JPEG
