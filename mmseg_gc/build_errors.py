"""Say which key of a config is at fault when what it describes can't be built.

Constructors of torch, mmcv and a user's own code know nothing of configs. Their errors come up
through mmengine's build functions, whose frames hold the part of the config that each was building.
"""

import inspect
import linecache
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.registry import build_functions
from mmengine.runner import Runner

from mmseg_gc.errors import FULL_DISK, UserError

LOOPS = ("train", "val", "test")
LONGEST = 240
_is_active: ContextVar[bool] = ContextVar("is_active", default=False)


@contextmanager
def explain_builds(cfg: Mapping | None, root: str = "") -> Iterator[None]:
    """Turn what fails while something is built from ``cfg`` into one sentence with the key.

    Inside another `explain_builds` it does nothing: the outer one knows the whole path.

    Args:
        cfg: the whole config, or a part of one.
        root: the key of that part.

    Raises:
        UserError: whatever a constructor raised, which is its cause.
    """
    if _is_active.get():
        yield
        return
    token = _is_active.set(True)
    try:
        yield
    except Exception as error:
        sentence = _sentence(error, cfg, root)
        if sentence is None:
            raise
        raise UserError(sentence) from error
    finally:
        _is_active.reset(token)


def _sentence(error: Exception, cfg: Mapping | None, root: str) -> str | None:
    """What to tell; None for an error that no build raised, or that says it all itself."""
    frames = [frame for step in _chain(error) for frame, _ in traceback.walk_tb(step.__traceback__)]
    nodes = [node for frame in frames if (node := _built_by(frame)) is not None]
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return None
    if not nodes and not any(_starts_a_run(frame) for frame in frames):
        return None
    reason = _reason(error)
    if isinstance(error, KeyError) and not nodes:
        return f"the config has no {reason!r}, which a run needs; add it."
    path, node = _innermost(nodes, dict(cfg.items()) if cfg else {}, root, _loop(frames))
    if isinstance(error, UserError):
        # One that is about a file needs no key.
        names_a_key = any(_says(reason, str(key)) for key in node)
        return f"config key {path}: {reason}" if _needs(reason, path) and names_a_key else None
    if path and (missing := re.search(r"missing \d+ required .*?argument\w*: (.*)", reason)):
        return f"config key {path} lacks {missing[1].rstrip('.')}, which has to be set."
    if fault := _key_at_fault(node, reason):
        what = ".".join(part for part in (path, fault[0]) if part) + f"={fault[1]!r}"[:LONGEST]
    else:
        what = f"{path}{_kind(node)}"
    what = f"config key {what}" if what else "the config"
    return f"{what} doesn't work: {type(error).__name__}: {reason.rstrip('.')}{_own_code(error)}."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """``error`` and what it was raised for; mmengine's runner raises a hook's errors anew."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _needs(reason: str, path: str) -> bool:
    """Whether ``path`` tells more than ``reason`` does."""
    return bool(path) and "config key" not in reason and path not in reason


def _built_by(frame: FrameType) -> Mapping | None:
    """The part of a config that ``frame`` builds; None for the frames of other functions."""
    names = frame.f_locals
    if frame.f_code.co_filename == build_functions.__file__:
        node = names.get("cfg")
    elif frame.f_code is Runner.build_dataloader.__code__:
        node = names.get("dataloader")
    else:
        return None
    return node if isinstance(node, Mapping) and "runner_type" not in node else None


def _starts_a_run(frame: FrameType) -> bool:
    """Whether ``frame`` is of a runner that sets itself up."""
    name = frame.f_code.co_name
    if name == "from_cfg":
        return inspect.isclass(cls := frame.f_locals.get("cls")) and issubclass(cls, Runner)
    is_set_up = name in ("__init__", "setup_env", "set_randomness", "scale_lr")
    return isinstance(frame.f_locals.get("self"), Runner) and (
        is_set_up or name.startswith(("build_", "register_"))
    )


def _loop(frames: list[FrameType]) -> str | None:
    """train, val or test: the loop that was being built."""
    names = [frame.f_code.co_name for frame in frames]
    return next((loop for loop in LOOPS if f"build_{loop}_loop" in names), None)


def _reason(error: Exception) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, UserError):
        return text.strip()
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    text = lines[0] if lines else _broken_assertion(error) or "no reason given"
    if unknown := re.match(r"(\S+) is not in the (?:\S+::)?(.+?) registry", text):
        return f"there is no {unknown[2]} {unknown[1]!r} here"
    text = re.sub(r"^(?:\w+\.)*\w+\(\) (?=got|missing|takes)", "", text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _broken_assertion(error: Exception) -> str:
    """What an ``assert`` without words was about: its condition."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    lines = linecache.getlines(last.filename)
    text = lines[(last.lineno or 1) - 1 : last.end_lineno or 0]
    condition = " ".join(line.strip() for line in text).removeprefix("assert ").rstrip()
    return f"it needs {condition}" if isinstance(error, AssertionError) and condition else ""


def _kind(node: Mapping) -> str:
    kind = node.get("type")
    kind = kind if isinstance(kind, str) or kind is None else getattr(kind, "__name__", str(kind))
    return f" ({kind})" if kind else ""


def _own_code(error: Exception) -> str:
    """Where the error was raised, if not in an installed package."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if "site-packages" in last.filename or Path(__file__).parent in Path(last.filename).parents:
        return ""
    return f" ({Path(last.filename).name}, line {last.lineno})"


def _key_at_fault(node: Mapping, reason: str) -> tuple[str, Any] | None:
    """The key in ``node`` that ``reason`` names, or whose value it quotes; and the value."""
    items = [(path, value) for path, value in _items(node, "") if path.rpartition(".")[2] != "type"]
    named = [item for item in items if _says(reason, item[0].rpartition(".")[2])]
    if named:
        return max(named, key=lambda item: len(item[0].rpartition(".")[2]))
    quoted = [
        item
        for item in items
        if isinstance(item[1], str | int | float | list | tuple)
        and not isinstance(item[1], bool)
        and _says(reason, str(item[1]))
    ]
    return quoted[0] if len(quoted) == 1 else None


def _says(reason: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", reason) is not None


def _items(node: Mapping, path: str) -> Iterator[tuple[str, Any]]:
    """The dotted keys in ``node`` and in the dicts that it holds, and their values."""
    for key, value in node.items():
        yield f"{path}{key}", value
        if isinstance(value, Mapping):
            yield from _items(value, f"{path}{key}.")


def _innermost(
    nodes: list[Mapping], cfg: Mapping, root: str, loop: str | None
) -> tuple[str, Mapping]:
    """The dotted key in ``cfg`` of the innermost of ``nodes``, each of which holds the next; it.

    Some are mmengine's own making and stand nowhere in ``cfg``.
    """
    path, inside = root, cfg
    found: Mapping = {}
    for node in nodes:
        for start, holder in ((path, inside), (root, cfg)):
            step = _find(node, holder, loop)
            if step is not None:
                path = ".".join(part for part in (start, step) if part)
                inside = found = node
                break
    return path, found


def _find(node: Mapping, inside: Mapping, loop: str | None) -> str | None:
    """Where ``node`` stands in ``inside``: itself, or else one that says the same."""
    every = list(_dicts(inside, ""))
    preferred = [item for item in every if loop and item[0].startswith(f"{loop}_")]
    for is_it in (_is_same, _is_equal, _is_alike):
        for path, other in (*preferred, *every):
            if is_it(other, node):
                return path
    return None


def _is_same(other: Mapping, node: Mapping) -> bool:
    return other is node


def _is_equal(other: Mapping, node: Mapping) -> bool:
    try:
        return dict(other) == dict(node)
    except (TypeError, ValueError, RuntimeError):  # values that can't be compared
        return False


def _is_alike(other: Mapping, node: Mapping) -> bool:
    """Whether mmengine may have made ``node`` of ``other``: it adds, and builds what is inside."""
    if other.get("type") != node.get("type") or not {"type", "dataset"} & other.keys():
        return False
    plain = {k: v for k, v in other.items() if isinstance(v, str | int | float | type(None))}
    return all(key in node and node[key] == value for key, value in plain.items())


def _dicts(node: Any, path: str) -> Iterator[tuple[str, Mapping]]:
    if isinstance(node, Mapping):
        yield path, node
        for key, value in node.items():
            yield from _dicts(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _dicts(value, f"{path}.{index}" if path else str(index))
