"""Every head beside GCNet's own, on a narrow ResNet-18: names, logits, labels, training."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from parity_checks.head_cases import HEADS, model_cfg
from parity_checks.side import Results, Side

CROP, STRIDE = (64, 64), (43, 43)
WHOLE_BATCHES = ("1x64x96", "2x65x97")
SLIDE_BATCHES = ("1x48x100", "2x97x113")
STEPS = 20
# Split attention's norm sees the batch's two numbers: one unit in the last place of ResNeSt's own
# weights moves its loss by 1e-12 at the tenth step, and ten times as far with every second one.
FEWER_STEPS = {"ResNeSt": 10}
FEW_POINTS = 1000


def shared_weights(build: Callable[[dict], nn.Module]) -> dict[str, dict[str, Tensor]]:
    """Weights of each model that tell channels, codes and positions apart."""
    generator = torch.Generator().manual_seed(5)
    found = {}
    for name in HEADS:
        state = build(model_cfg(name, False)).state_dict()
        for key, value in state.items():
            if not value.is_floating_point() or key.startswith("data_preprocessor"):
                continue
            noise = torch.randn(value.shape, generator=generator)
            if key.endswith("running_var"):
                state[key] = 0.5 + noise.abs()
            elif key.endswith("bases"):
                state[key] = noise / noise.norm(dim=1, keepdim=True)
            elif value.dim() < 2:
                state[key] = value + 0.2 * noise
                # Deep blocks that add little, as trained ones do: else roundings explode in them.
                state[key] *= 0.2 if key.endswith("bn3.weight") else 1
            else:
                state[key] = noise * value[0].numel() ** -0.5
        found[name] = state
    return found


def heads(side: Side) -> Results:
    """All rows; ours reads the weights that the reference saved, and the other way round."""
    results: Results = {}
    if side.name == "reference":
        _lend_point_sample()
    for name in list(HEADS)[::6] if side.quick else HEADS:
        side.say(name)
        for measure, rows in _one(side, name).items():
            results.setdefault(measure, {}).update(rows)
    return results


def _one(side: Side, name: str) -> Results:
    scores, labels, losses, grads = {}, {}, {}, {}
    weights = torch.load(side.folder / "heads.pt", weights_only=True)[name]
    for corners in (False, True):
        model = _model(side, name, corners, weights)
        keys = {key: str(tuple(value.shape)) for key, value in model.state_dict().items()}
        predicted = _predictions(side, model.eval(), corners)
        scores |= predicted[0]
        labels |= predicted[1]
        of_loss = _losses(side, model.train(), f"align_corners={corners}")
        losses |= of_loss[0]
        grads |= of_loss[1]
    # Split attention has a norm over the batch's two numbers, whose sign a rounding can turn.
    steps = {} if side.quick or name.startswith("ResNeSt, ") else _steps(side, name, weights)
    # The reference takes up EncHead's loss_se in float32 whatever the model's type is.
    kind = "losses" if name.startswith("EncHead") else "losses, float64"
    found: Results = {
        "exact": {f"{name}: state-dict keys and shapes": keys},
        "scores": {f"{name}: logits, whole, slide, ms+flip": scores},
        "labels": {f"{name}: labels, whole, slide, ms+flip": labels},
        "losses": {f"{name}: losses and accuracies": losses},
        "gradients": {f"{name}: gradient of each parameter": grads},
    }
    if steps:
        found.setdefault(kind, {})[f"{name}: {len(steps)} steps, losses"] = steps
    return found


def _model(side: Side, name: str, align_corners: bool, weights: dict[str, Tensor]) -> nn.Module:
    cfg = ConfigDict(model_cfg(name, align_corners))
    if "subdivision_num_points" in cfg.test_cfg:  # fewer than there are, so that they are chosen
        cfg.test_cfg.subdivision_num_points = FEW_POINTS
    model = side.registry.MODELS.build(cfg)
    model.load_state_dict(weights, strict=True)
    return model


def _lend_point_sample() -> None:
    """Give the reference's PointHead mmcv's function, which is not compiled but stands beside.

    Points, which are drawn in float32, get the map's dtype there; torch takes no two.
    """
    path = Path(importlib.util.find_spec("mmcv").origin).parent / "ops/point_sample.py"
    spec = importlib.util.spec_from_file_location("point_sample", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    head = importlib.import_module("mmseg.models.decode_heads.point_head")
    head.point_sample = lambda x, points, **options: module.point_sample(
        x, points.to(x.dtype), **options
    )


@torch.no_grad()
def _predictions(side: Side, model: nn.Module, corners: bool) -> tuple[dict, dict]:
    scores, labels = {}, {}
    own = {**model.test_cfg}
    for mode, batches in (("whole", WHOLE_BATCHES), ("slide", SLIDE_BATCHES)):
        keys = dict(mode=mode, crop_size=CROP, stride=STRIDE, return_logits=True)
        model.test_cfg = ConfigDict({**own, **keys})
        for batch in batches:
            images = side.inputs[batch]
            found = model.predict(images.clone(), _samples(side, images))
            case = f"{mode} {batch} align_corners={corners}"
            scores[case] = torch.cat([one.seg_logits.data.flatten() for one in found])
            labels[case] = torch.cat([one.pred_sem_seg.data.flatten() for one in found])
    model.test_cfg = ConfigDict({**own, "return_logits": True})
    views = side.registry.MODELS.get("SegTTAModel")(module=model).eval()
    images = (side.inputs["1x64x96"] * 50 + 120).clamp(0, 255)
    data = dict(inputs=[], data_samples=[])
    for scale in (0.5, 1.0, 1.25):
        for flip in (False, True):
            size = [int(side_ * scale) for side_ in images.shape[2:]]
            view = nn.functional.interpolate(images, size, mode="bilinear")
            data["inputs"].append([one.flip(2) if flip else one for one in view])
            samples = _samples(side, view, flip)
            data["data_samples"].append(samples)
    (found,) = views.test_step(data)
    labels[f"ms+flip align_corners={corners}"] = found.pred_sem_seg.data
    return scores, labels


def _samples(side: Side, images: Tensor, flip: bool = False) -> list:
    height, width = images.shape[2:]
    samples = side.samples([(96, 140 + i) for i in range(len(images))])
    for sample in samples:
        sample.set_metainfo(
            dict(
                img_path="x.png",
                img_shape=(height, width),
                pad_shape=(height, width),
                flip=flip,
                flip_direction="horizontal" if flip else None,
            )
        )
    return samples


def _losses(side: Side, model: nn.Module, case: str) -> tuple[dict, dict]:
    """In float64: the gradient of a bias before a norm, which is none, is less than rounding."""
    labels = side.inputs["cityscapes some ignored"]
    images = side.inputs["2x65x97"].double()
    torch.manual_seed(2)  # points
    found = model.double().loss(images, side.samples([(65, 97)] * 2, labels))
    model.parse_losses(found)[0].backward()
    values = {f"{key}, {case}": value.detach() for key, value in found.items()}
    grads = {
        f"{key}, {case}": parameter.grad.clone()
        for key, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return values, grads


def _steps(side: Side, name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss at each of some steps of SGD, in float64.

    The rate is low: random weights' gradients are large. At 1e-3 one unit in the last place of the
    reference's own weights moves DepthwiseSeparableASPPHead's loss by 1e-8 within the steps.
    """
    model = _model(side, name, False, weights).double().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=3e-4, momentum=0.9, weight_decay=5e-4)
    losses = {}
    torch.manual_seed(3)  # points
    for step in range(FEWER_STEPS.get(name, STEPS)):
        images = side.inputs["step images"][step].double().sub(120).div(60)
        labels = side.inputs["cityscapes step labels"][step]
        found = model.loss(images, side.samples([(64, 57)] * 2, labels))
        loss = model.parse_losses(found)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses[f"step {step + 1}"] = loss.detach()
    return losses
