"""Which places of an image speak for a class, by Grad-CAM."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def class_activation(
    network: Callable[[Tensor], Tensor], layer: nn.Module, inputs: Tensor, class_id: int
) -> Tensor:
    """How much each place of ``layer``'s output speaks for the pixels that are labelled a class.

    The sum of the class's logits over these pixels is differentiated for the layer's channels; the
    mean of each channel's gradient is its weight, and what the weighted sum has above 0 is the
    answer. A network of one logit has the classes 0 and 1 by its sign.

    Args:
        network: from ``inputs`` (1, C, H, W) to logits (1, K, h, w), which runs ``layer``.

    Returns:
        float32 (H, W), from 0 to 1; all 0 where no pixel is labelled ``class_id``, or nothing
        speaks for it.

    Source: Selvaraju et al., Grad-CAM, https://arxiv.org/abs/1610.02391; over several pixels as in
        Vinogradova et al., https://arxiv.org/abs/2002.11434.
    """
    outputs: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, output: outputs.append(output))
    try:
        with torch.enable_grad():
            # Weights may be frozen: then nothing else would ask for a gradient.
            logits = network(inputs.detach().requires_grad_())
    finally:
        hook.remove()
    logits = F.interpolate(logits, size=inputs.shape[2:], mode="bilinear")
    if logits.shape[1] == 1:
        logits = torch.cat([-logits, logits], dim=1)
    of_class = logits[:, class_id][logits.argmax(dim=1) == class_id]
    activation = outputs[-1]
    [gradient] = torch.autograd.grad(of_class.sum(), activation)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    speaks_for = (weights * activation).sum(dim=1, keepdim=True).relu().detach().float()
    speaks_for /= speaks_for.max().clamp(min=torch.finfo(speaks_for.dtype).tiny)
    return F.interpolate(speaks_for, size=inputs.shape[2:], mode="bilinear")[0, 0]


def heat(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``values`` (h, w), 0 to 1, as colours from blue to red over half of ``image``.

    ``image`` is RGB uint8 (H, W, 3), of any size, as is what comes back.
    """
    values = cv2.resize(values, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    grey = (255 * values.clip(0, 1)).astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_JET)[..., ::-1]
    return cv2.addWeighted(image, 0.5, np.ascontiguousarray(colours), 0.5, 0)
