"""Single points of maps: values there, and which ones a network is least certain of.

Source: "PointRend: Image Segmentation as Rendering", arXiv:1912.08193, section 3;
``mmcv.ops.point_sample``, which needs no compiled operator either but stands among those.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_gc.errors import UserError

# What is read of the model's train_cfg and test_cfg, and from where to where it may be.
Bounds = Mapping[str, tuple[int, int]]
TRAIN = dict(num_points=(1, 10**6), oversample_ratio=(1, 100), importance_sample_ratio=(0, 1))
TEST = dict(subdivision_steps=(0, 8), subdivision_num_points=(1, 10**8), scale_factor=(1, 8))


def check_points(owner: str, name: str, cfg: Mapping, bounds: Bounds) -> None:
    """Raises: UserError for a number of the model's ``cfg`` that is absent or out of ``bounds``."""
    for key, (low, high) in bounds.items():
        value = cfg.get(key)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise UserError(
                f"{owner} needs model.{name}.{key}, a number from {low} to {high}, not {value}."
            )


def sample_points(
    x: Tensor, points: Tensor, *, mode: str = "bilinear", align_corners: bool = False
) -> Tensor:
    """Values (N, C, P) of a map (N, C, H, W) at ``points`` (N, P, 2), which are x, y in 0 to 1.

    In at least float32: sixteen bits do not tell the positions of a large map apart.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    grid = (2 * points.to(x.dtype) - 1).unsqueeze(2)  # (N, P, 1, 2)
    return F.grid_sample(x, grid, mode=mode, align_corners=align_corners).squeeze(3)


def uncertainty(logits: Tensor) -> Tensor:
    """How near the second of logits (N, K, ...) comes to the first, (N, ...): 0 if it is equal."""
    first, second = logits.topk(2, dim=1).values.unbind(dim=1)
    return second - first


@torch.no_grad()
def points_to_learn(
    logits: Tensor, num_points: int, *, oversample_ratio: float, importance_sample_ratio: float
) -> Tensor:
    """Points (N, P, 2), random ones behind the least certain of many random ones."""
    num_uncertain = int(importance_sample_ratio * num_points)
    num_drawn, n = int(num_points * oversample_ratio), len(logits)
    points = torch.rand(n, num_drawn, 2, device=logits.device)
    # Of the logits at the points: between two certain positions may lie an uncertain one.
    doubt = uncertainty(sample_points(logits, points))
    chosen = doubt.topk(num_uncertain, dim=1).indices  # (N, P')
    points = points.gather(1, chosen.unsqueeze(2).expand(-1, -1, 2))
    if num_uncertain == num_points:
        return points
    others = torch.rand(n, num_points - num_uncertain, 2, device=logits.device)
    return torch.cat([points, others], dim=1)


def points_to_refine(logits: Tensor, max_points: int) -> tuple[Tensor, Tensor]:
    """The most uncertain of logits (N, K, h, w): places (N, P) in h*w, and points (N, P, 2)."""
    height, width = logits.shape[2:]
    count = min(height * width, max_points)
    places = uncertainty(logits).flatten(1).topk(count, dim=1).indices
    x, y = places % width, places.div(width, rounding_mode="floor")
    step_x, step_y = 1.0 / width, 1.0 / height
    centers = (step_x / 2 + x.float() * step_x, step_y / 2 + y.float() * step_y)
    return places, torch.stack(centers, dim=2)
