"""The layers of context encoding: an image's residuals to learnt codewords."""

from typing import Any

import torch
from mmcv.cnn import ConvModule, build_norm_layer
from torch import Tensor, nn

from mmseg_gc.models.layers.attention import as_rows


class Encoding(nn.Module):
    """Residuals (N, num_codes, channels) of a map (N, channels, H, W) to learnt codewords.

    Each position counts for each codeword by the softmax of ``scale`` times its squared distance.

    Source: "Deep TEN: Texture Encoding Network", arXiv:1612.02844, section 3.1.
    """

    def __init__(self, channels: int, num_codes: int) -> None:
        super().__init__()
        bound = (num_codes * channels) ** -0.5
        self.codewords = nn.Parameter(torch.empty(num_codes, channels).uniform_(-bound, bound))
        self.scale = nn.Parameter(torch.empty(num_codes).uniform_(-1, 0))

    def forward(self, x: Tensor) -> Tensor:
        rows, codes = as_rows(x), self.codewords  # (N, H*W, C) and (K, C)
        # The square of a difference, multiplied out: differences are (N, H*W, K, C).
        squares = rows.square().sum(2, keepdim=True) + codes.square().sum(1)
        distances = squares - 2 * rows @ codes.T  # (N, H*W, K)
        shares = (self.scale * distances).softmax(dim=2).transpose(1, 2)  # (N, K, H*W)
        return shares @ rows - shares.sum(2, keepdim=True) * codes


class ContextEncoding(nn.Module):
    """The code (N, C) of a whole map, and the map with each channel raised by its share of it."""

    def __init__(self, channels: int, num_codes: int, **layer_cfgs: Any) -> None:
        super().__init__()
        self.encoding_project = ConvModule(channels, channels, 1, **layer_cfgs)
        self.encoding = nn.Sequential(
            Encoding(channels, num_codes),
            build_norm_layer(layer_cfgs["norm_cfg"] or {"type": "BN"}, num_codes)[1],
            nn.ReLU(inplace=True),
        )
        self.fc = nn.Sequential(nn.Linear(channels, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        encode, norm, act = self.encoding
        residuals = encode(self.encoding_project(x)).unsqueeze(3)  # (N, K, C, 1), an image's shape
        code = act(norm(residuals)).squeeze(3).mean(dim=1)  # (N, C)
        gains = self.fc(code)[:, :, None, None]  # (N, C, 1, 1)
        return code, (x + x * gains).relu()
