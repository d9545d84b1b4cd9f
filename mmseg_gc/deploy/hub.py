"""A model as a repository of the Hugging Face Hub: weights, config and card, and no code."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmseg_gc.atomic import put_together
from mmseg_gc.checkpoint import load_checkpoint
from mmseg_gc.checkpoint.names import clean_state_dict
from mmseg_gc.deploy.exported_config import tuples
from mmseg_gc.deploy.metadata import plain
from mmseg_gc.errors import UserError
from mmseg_gc.version import __version__

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
LOCAL_CONFIG = "config.py"  # written here, of the literals in `CONFIG`
EXTRA = "pip install 'mmseg_gc[hub]'"
# What a config has for the machine that it was trained on, or what would run code.
LEFT_OUT = ("custom_imports", "work_dir", "load_from", "resume", "launcher", "env_cfg", "track")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
BARE = re.compile(r"(?:(?:mmseg_gc|mmseg|mmengine|mmcv)::?)?[A-Za-z_]\w*")
MAX_WEIGHTS = 8 << 30  # bytes


def require_hub() -> None:
    """Raises: UserError where huggingface_hub or safetensors isn't installed."""
    for package in ("huggingface_hub", "safetensors"):
        if find_spec(package) is None:
            raise UserError(f"the hub needs {package}, which isn't installed: {EXTRA}.")


def write_folder(
    folder: Path,
    cfg: Config,
    checkpoint: str | Path,
    *,
    licence: str,
    data: str = "",
    limits: str = "",
    report: str | Path | None = None,
) -> None:
    """Write what is pushed: `WEIGHTS`, `CONFIG` and `CARD`, whole or not at all.

    ``report`` is the folder of a page of `mmseg_gc report`, whose figures the card has.

    Raises:
        UserError: the checkpoint or report can't be read, or the config names code of its own.
    """
    from safetensors.torch import save

    config = {key: plain(value) for key, value in cfg.items() if key not in LEFT_OUT}
    _require_bare(config, cfg.filename or "the config")
    loaded = load_checkpoint(str(checkpoint))
    state = {name: value.contiguous() for name, value in clean_state_dict(loaded).items()}
    meta = {"dataset_meta": plain(loaded.get("meta", {}).get("dataset_meta") or {})}
    card = model_card(cfg, state, licence=licence, data=data, limits=limits, report=report)
    put_together(
        {
            folder / WEIGHTS: save(state, {"format": "pt", "mmseg_gc": json.dumps(meta)}),
            folder / CONFIG: json.dumps(config, indent=1, ensure_ascii=False).encode(),
            folder / CARD: card.encode(),
        }
    )


def model_card(
    cfg: Config,
    state: Mapping[str, torch.Tensor],
    *,
    licence: str,
    data: str,
    limits: str,
    report: str | Path | None,
) -> str:
    """The card in Markdown: what it is, figures, data, licence, limits, how to use it."""
    figures = _figures(report)
    head, backbone = cfg.model.decode_head, cfg.model.backbone
    millions = sum(value.numel() for value in state.values()) / 1e6
    lines = [
        "---",
        f"license: {json.dumps(licence)}",
        "library_name: mmseg_gc",
        "pipeline_tag: image-segmentation",
        "---",
        f"# {Path(cfg.filename or 'model').stem}",
        "",
        f"Semantic segmentation by mmseg_gc {__version__}: {backbone.get('type')}-"
        f"{backbone.get('depth', '')}, {head.get('type')}, {head.get('num_classes')} classes, "
        f"{millions:.1f} M numbers.",
        "",
        "## Figures",
        "",
        *(_figure_lines(figures) or ["None were given: run `mmseg_gc report` on your own data."]),
        "",
        "## Data",
        "",
        data or (figures or {}).get("about", {}).get("Data", "") or "Not stated.",
        "",
        "## Limits",
        "",
        limits
        or "Not stated. It knows the classes above alone, and images like those of its data.",
        "",
        "## Licence",
        "",
        f"{licence}. The data's own licence may say more.",
        "",
        "## Use",
        "",
        "```",
        "mmseg_gc hub pull OWNER/NAME -o model",
        f"mmseg_gc predict model/{LOCAL_CONFIG} model/{WEIGHTS} photos/",
        "```",
        "",
    ]
    return "\n".join(lines)


def _figures(report: str | Path | None) -> dict[str, Any] | None:
    if report is None:
        return None
    folder = Path(report).parent if Path(report).is_file() else Path(report)
    try:
        found = json.loads((folder / "metrics.json").read_text())
        return {key: found[key] for key in ("about", "classes", "means", "by_class")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} has no readable metrics.json ({error}): name the folder of a page that "
            "`mmseg_gc report` wrote."
        ) from error


def _figure_lines(figures: Mapping[str, Any] | None) -> list[str]:
    if figures is None:
        return []
    about = figures["about"]
    named = [f"{key}: {about[key]}" for key in ("Images", "Way of testing", "Date") if key in about]
    means = ", ".join(f"{key} {value:.2f}" for key, value in figures["means"].items() if value)
    rows = [
        f"| {name} | {'' if iou is None else f'{iou:.2f}'} |"
        for name, iou in zip(figures["classes"], figures["by_class"]["IoU"], strict=True)
    ]
    return [
        ". ".join(named),
        "",
        f"{means} (percent).",
        "",
        "| class | IoU |",
        "| --- | --- |",
        *rows,
    ]


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload what `write_folder` wrote to ``repository`` (OWNER/NAME); its address.

    Raises:
        UserError: the name is none, or the hub refuses.
    """
    require_hub()
    _require_name(repository)
    import huggingface_hub

    api = huggingface_hub.HfApi()
    with _Explained(repository):
        api.create_repo(repo_id=repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(folder),
            allow_patterns=[WEIGHTS, CONFIG, CARD],
            commit_message=f"By mmseg_gc {__version__}",
        )
    return f"https://huggingface.co/{repository}"


def pull(repository: str, out: Path, *, revision: str | None = None) -> None:
    """Fetch ``repository`` to the folder ``out``; of what is there, nothing is run.

    Weights are safetensors, and the config is data, of which `LOCAL_CONFIG` is made here; one that
    names code by dotted paths is refused before anything is put to ``out``.

    Raises:
        UserError: it can't be fetched, or isn't a model as `push` writes it.
    """
    require_hub()
    _require_name(repository)
    import huggingface_hub

    with tempfile.TemporaryDirectory() as scratch:
        with _Explained(repository):
            huggingface_hub.snapshot_download(
                repo_id=repository,
                revision=revision,
                local_dir=scratch,
                allow_patterns=[WEIGHTS, CONFIG, CARD],
            )
        contents = {name: Path(scratch, name) for name in (WEIGHTS, CONFIG, CARD)}
        missing = [
            name for name, path in contents.items() if not path.is_file() or path.is_symlink()
        ]
        if missing:
            raise UserError(
                f"{repository} has no {', '.join(missing)}: it wasn't made by `mmseg_gc hub push`."
            )
        if contents[WEIGHTS].stat().st_size > MAX_WEIGHTS:
            raise UserError(f"{repository} has weights of more than {MAX_WEIGHTS >> 30} GiB.")
        config = _read_config(contents[CONFIG], repository)
        load_checkpoint(str(contents[WEIGHTS]))  # else a sentence, before anything is there
        text = Config(tuples(config)).pretty_text
        put_together(
            {
                out / WEIGHTS: contents[WEIGHTS].read_bytes(),
                out / CARD: contents[CARD].read_bytes(),
                out / LOCAL_CONFIG: text.encode(),
            }
        )


def _read_config(path: Path, repository: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{CONFIG} of {repository} isn't JSON ({error}).") from error
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise UserError(f"{CONFIG} of {repository} is no config: it has no model.")
    if unsafe := [key for key in ("custom_imports", "_base_") if key in config]:
        raise UserError(f"{CONFIG} of {repository} has {unsafe[0]}, which would run code: refused.")
    if keys := [key for key in _keys(config) if not key.isidentifier()]:
        raise UserError(f"{CONFIG} of {repository} has a key {keys[0][:80]!r}: refused.")
    _require_bare(config, f"{CONFIG} of {repository}")
    return config


def _keys(node: Any) -> Iterator[str]:
    for one in _dicts(node):
        yield from one


def _dicts(node: Any) -> Iterator[Mapping]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _dicts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _dicts(value)


def _require_bare(config: Mapping, source: str) -> None:
    """Refuse names with dots: a registry imports what they name."""
    for node in _dicts(config):
        kind = node.get("type")
        if kind is not None and not (isinstance(kind, str) and BARE.fullmatch(kind)):
            raise UserError(
                f"{source} has type={str(kind)[:80]!r}: a model on the hub has parts of this "
                "package alone, by their bare names."
            )


def _require_name(repository: str) -> None:
    if not NAME.fullmatch(repository):
        raise UserError(f"{repository!r} is no repository; write OWNER/NAME.")


class _Explained:
    """Turns the hub's errors, of many classes, into a sentence."""

    def __init__(self, repository: str) -> None:
        self.repository = repository

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, UserError):
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"{self.repository} on the hub: {reason}; check the name, the network, and "
                "`hf auth login`."
            ) from error
