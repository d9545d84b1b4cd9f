"""What every backbone shares: reading weights strictly, stages, and what keeps from learning."""

from collections.abc import Collection, Iterator, Sequence

from mmengine.model import BaseModule
from mmengine.model.weight_init import update_init_info
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_gc.checkpoint import load_backbone
from mmseg_gc.errors import UserError


class Backbone(BaseModule):
    """Base of backbones: images (N, C, H, W) in, one feature map per ``out_indices`` out."""

    out_indices: Sequence[int]
    frozen_stages: int
    norm_eval: bool

    @staticmethod
    def _init_cfg(
        name: str, pretrained: str | None, init_cfg: dict | list[dict] | None
    ) -> dict | list[dict]:
        """The config of the initial weights: files', or random ones.

        Raises: UserError for two of them.
        """
        if init_cfg and pretrained:
            raise UserError(f"{name} takes either `pretrained` or `init_cfg`; leave one out.")
        if pretrained is not None:
            return {"type": "Pretrained", "checkpoint": pretrained}
        return init_cfg or [
            {"type": "Kaiming", "layer": "Conv2d"},
            {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
        ]

    def init_weights(self) -> None:
        """Draw random weights, or read those that ``pretrained`` names."""
        cfg = self.init_cfg
        kind = cfg.get("type") if isinstance(cfg, dict) else None
        if getattr(kind, "__name__", kind) not in ("Pretrained", "PretrainedInit"):
            super().init_weights()
            return
        # mmengine's reader would pass over weights that don't fit.
        load_backbone(self, cfg["checkpoint"], cfg.get("prefix", "backbone."))
        self._is_init = True
        if hasattr(self, "_params_init_info"):
            update_init_info(self, init_info=f"read from {cfg['checkpoint']}")

    def stage_maps(self, x: Tensor) -> Iterator[Tensor]:
        """The feature maps of all stages, of which none is held on to here."""
        raise NotImplementedError

    def maps_read(self, x: Tensor, read: Collection[int]) -> tuple[Tensor | None, ...]:
        """What `forward` gives, but None for the stages that nobody has ``read``."""
        maps = self.stage_maps(x)
        found: dict[int, Tensor | None] = {}
        for stage in range(max(self.out_indices) + 1):
            if stage in read:
                found[stage] = next(maps)
            else:  # no name holds on to it while the next one is made
                next(maps)
                found[stage] = None
        return tuple(x for stage, x in found.items() if stage in self.out_indices)

    def _stages(self) -> list[nn.Module]:
        """What ``frozen_stages`` counts: stage 0 is the stem."""
        raise NotImplementedError

    def _freeze_stages(self) -> None:
        for module in self._stages()[: self.frozen_stages + 1]:
            module.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Backbone":
        """Switch the mode, but keep frozen stages, and with ``norm_eval`` all norms, in eval."""
        super().train(mode)
        self._freeze_stages()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
