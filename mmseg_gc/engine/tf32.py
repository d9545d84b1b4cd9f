"""Whether a GPU may compute float32 convolutions and matrix products in TF32."""

import torch

TF32_CAPABILITY = (8, 0)  # Ampere


def set_tf32(allowed: bool | None) -> None:
    """Let float32 convolutions and matrix products run in TF32, with 10 bits of mantissa for 23.

    True: both may; False: neither, so that results agree with a CPU's to about 1e-4 of the logits
    rather than 1e-3; None leaves torch's own choice, which is convolutions alone. GPUs before
    Ampere have no TF32, and half precision isn't touched.
    """
    if allowed is not None:
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed


def uses_tf32() -> bool:
    """Whether this process's GPU computes float32 convolutions in TF32."""
    return (
        torch.cuda.is_available()
        and torch.cuda.get_device_capability() >= TF32_CAPABILITY
        and torch.backends.cudnn.allow_tf32
    )


def describe_float32() -> str:
    """One sentence on what float32 means on this GPU, and the config key that changes it."""
    name = torch.cuda.get_device_name()
    if torch.cuda.get_device_capability() < TF32_CAPABILITY:
        return f"float32 on {name} is float32: it has no TF32."
    parts = {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "matrix products": torch.backends.cuda.matmul.allow_tf32,
    }
    said = " and ".join(f"{what} in {'TF32' if on else 'float32'}" for what, on in parts.items())
    return f"float32 on {name} means {said}; tf32=False computes all in float32, tf32=True in TF32."
