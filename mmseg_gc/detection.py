"""What detection and deformable convolution have to be installed for."""

from importlib.util import find_spec

from torch import nn

from mmseg_gc.errors import UserError

DETECTION_SCOPE = "mmdet"
MEND = "run `make det` and use .venv-det/bin/python"


def require_detection(what: str) -> None:
    """Refuse ``what``, a config or a module, unless detection is installed.

    Raises:
        UserError: mmdetection or mmcv's compiled ops are missing.
    """
    if find_spec("mmdet") is None:
        raise UserError(
            f"{what} needs detection (onedl-mmdetection and mmcv with compiled ops), which isn't "
            f"installed here: {MEND}."
        )
    require_ops(what)


def require_ops(what: str) -> None:
    """Refuse ``what`` unless mmcv has its compiled ops.

    Raises:
        UserError: they are missing, or were compiled for another torch.
    """
    if find_spec("mmcv._ext") is None:
        raise UserError(f"{what} needs mmcv with compiled ops: {MEND}.")
    try:
        import mmcv.ops  # noqa: F401  registers DCN, DCNv2 and others
    except ImportError as error:
        raise UserError(
            f"{what} needs mmcv's ops, which don't fit this torch ({error}): {MEND}."
        ) from error


def has_ops(model: nn.Module) -> bool:
    """Whether ``model`` has a layer of mmcv's compiled ops, such as DCN or RoIAlign."""
    return any(type(module).__module__.startswith("mmcv.ops.") for module in model.modules())
