"""State dicts, scores and labels of whole models."""

import hashlib

import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from parity_checks.side import PACKAGES, Results, Side, read_weights

CROP, STRIDE = (64, 64), (43, 43)  # 2/3 of the crop, as in the rows that slide
WHOLE_BATCHES = ("1x64x96", "2x65x97")
# Smaller than the crop, smaller on one side, and odd sides with overlap.
SLIDE_BATCHES = ("1x48x56", "1x48x100", "2x97x113")


def weights(side: Side) -> Results:
    """Names, shapes, initial values from one seed, and strict loading of the other's file."""
    shapes, initial, loading = {}, {}, {}
    for depth, dataset, title in side.models:
        side.say(f"weights of {title}")
        torch.manual_seed(1)
        model = side.build(side.own_config(depth, dataset))
        model.init_weights()
        state = model.state_dict()
        shapes[f"{title}: state-dict keys and shapes"] = {
            key: str(tuple(value.shape)) for key, value in state.items()
        }
        initial[f"{title}: initial weights from one seed"] = {
            key: hashlib.sha256(value.numpy().tobytes()).hexdigest() for key, value in state.items()
        }
        loading[f"{title}: strict load of the other's file"] = {
            "load": _load_strictly(side, model, depth, dataset)
        }
    return {"exact": {**shapes, **initial}, "faults": loading}


def _load_strictly(side: Side, model: nn.Module, depth: int, dataset: str) -> str:
    """The reference reads the weights that ours made, then writes its own for ours."""
    path = side.folder / f"{PACKAGES['reference']}_r{depth}_{dataset}.pth"
    if side.name == "reference":
        torch.save({"state_dict": model.state_dict()}, path)
        state = read_weights(side.folder, depth, dataset)
    else:
        state = torch.load(path, weights_only=True)["state_dict"]
        path.unlink()
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        return str(error)
    return ""


@torch.no_grad()
def logits(side: Side) -> Results:
    """Scores and labels at the images' own size, whole and in windows."""
    scores, labels = {}, {}
    for depth, dataset, title in side.models:
        side.say(f"logits of {title}")
        model = side.model(depth, dataset)
        whole, slide, found = {}, {}, {}
        for align_corners in (False, True):
            _set_align_corners(model, align_corners)
            for mode, cases, batches in (
                ("whole", whole, WHOLE_BATCHES),
                ("slide", slide, SLIDE_BATCHES),
            ):
                # mmseg keeps scores beside labels without being asked to.
                keys = dict(crop_size=CROP, stride=STRIDE, return_logits=True)
                model.test_cfg = ConfigDict(mode=mode, **keys)
                for batch in batches[-1:] if side.quick else batches:
                    case = f"{mode} {batch} align_corners={align_corners}"
                    cases[case], found[case] = _predict(side, model, side.inputs[batch])
        scores[f"{title}: logits, whole"] = whole
        scores[f"{title}: logits, slide"] = slide
        labels[f"{title}: labels, whole and slide"] = found
    return {"scores": scores, "labels": labels}


def _set_align_corners(model: nn.Module, align_corners: bool) -> None:
    for module in (model, model.decode_head, model.auxiliary_head):
        module.align_corners = align_corners


def _predict(side: Side, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and labels (…,) of all images, whose files were larger than the input."""
    count, _, height, width = images.shape
    shapes = [(height * 3 // 2 + i, width + 7) for i in range(count)]
    samples = side.samples(shapes)
    for sample in samples:
        sample.set_metainfo({"img_shape": (height, width)})
    found = model.predict(images.clone(), samples)
    scores = [sample.seg_logits.data.flatten() for sample in found]
    labels = [sample.pred_sem_seg.data.flatten() for sample in found]
    return torch.cat(scores), torch.cat(labels)


@torch.no_grad()
def tta(side: Side) -> Results:
    """Labels of image files after each side's own ``tta_pipeline`` and `SegTTAModel`."""
    rows = {}
    for depth, dataset, title in side.models:
        side.say(f"several scales and flips of {title}")
        module = side.model(depth, dataset)
        model = side.registry.MODELS.get("SegTTAModel")(module=module).eval()
        cfg = side.own_config(depth, dataset)
        files = dataset_of_files(side, cfg.test_dataloader.dataset, cfg.tta_pipeline)
        rows[f"{title}: labels, 6 scales + flip"] = {}
        for index in range(1 if side.quick else len(files)):
            found = model.test_step(pseudo_collate([files[index]]))[0]
            rows[f"{title}: labels, 6 scales + flip"][found.img_path] = found.pred_sem_seg.data
    return {"labels": rows}


def dataset_of_files(side: Side, cfg: ConfigDict, pipeline: list):
    """The data set class of ``cfg`` on the images that `prepare` wrote."""
    return side.registry.DATASETS.build(
        dict(
            type=cfg.type,
            data_root=str(side.folder),
            data_prefix=dict(img_path="images", seg_map_path="labels"),
            ann_file="names.txt",
            img_suffix=".jpg",
            seg_map_suffix=".png",
            pipeline=pipeline,
        )
    )
