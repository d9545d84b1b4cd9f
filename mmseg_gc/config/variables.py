"""Variables of base files: what a child file or an option sets anew reaches every place of use.

A base writes ``crop_size = (512, 1024)`` and builds pipelines from it. mmengine runs a base before
it looks at the child, so that a child's ``crop_size`` comes too late. Here the files are read once
more, and each base goes on with the value that was set anew. What a file sets itself, at the place
of use, wins as ever. A file that reads its own variable has said where it goes: it goes nowhere
else, as in mmsegmentation.
"""

import ast
import copy
import math
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from mmengine.config import Config
from mmengine.config import config as reader

from mmseg_gc.config.data_files import DATA_FORMATS, data_file_bases, read_data_file
from mmseg_gc.config.options import merge_options

BASE = "_base_"
# How a file takes a value of its bases inside a string: "{{_base_.data_root}}".
PLACEHOLDER = re.compile(r"\{\{\s*_base_\.(\w+)")


@dataclass
class SourceFile:
    """Which names one file of a config assigns at its top level, and which it reads."""

    assigned: set[str]
    read: set[str]
    read_of_bases: set[str]  # as `_base_.name`
    refined: set[str]  # set from the base's value of the same name
    builds_on_files: bool
    values: dict[str, Any] = field(default_factory=dict)  # of names that one of its bases has too

    @property
    def read_by_itself(self) -> set[str]:
        """Names that the file reads, its own or its bases'."""
        return self.read | self.read_of_bases


class Reading:
    """One reading of a config file and of those that it builds on."""

    def __init__(self, runner_keys: Set[str], package_files: Path) -> None:
        self.runner_keys = runner_keys  # read as they are: they are no variables
        self.package_files = package_files  # consistent in themselves
        self.files: dict[str, SourceFile] = {}  # bases first, the leaf last
        self.options: dict[str, Any] = {}  # dotted keys, of variables alone
        self.skipped: set[str] = set()  # variables that stay as each file has them
        self.differing: set[str] = set()  # variables whose value above isn't the base's
        self._carries = False
        self._stack: list[tuple[str, set[str]]] = []  # path and the names of its bases; leaf first

    @property
    def set_anew(self) -> set[str]:
        """Variables of a base that a file above it, or an option, gives another value."""
        names = {name for file in self.files.values() for name in file.values}
        return (names | {key.partition(".")[0] for key in self.options}) - self.skipped

    def take_as_keys(self, names: Set[str]) -> None:
        """Read ``names`` as they are from here on: in this config they are no variables."""
        self.runner_keys = self.runner_keys | names
        for file in self.files.values():
            file.values = {k: v for k, v in file.values.items() if k not in names}

    @contextmanager
    def watch(self, *, carries: bool) -> Iterator[None]:
        """Follow what mmengine reads meanwhile; ``carries`` sets variables of bases anew."""
        self._carries = carries
        original = Config._file2dict, reader.RemoveAssignFromAST, reader.load
        base_files_of_program = Config._get_base_files

        def file2dict(filename: str, *args: Any, **kwargs: Any) -> Any:
            path = str(Path(filename).resolve())
            self._stack.append((path, set()))
            result = original[0](filename, *args, **kwargs)
            self._leave(filename)
            return result

        Config._file2dict = staticmethod(file2dict)
        reader.RemoveAssignFromAST = lambda key: _Instrument(self, original[1](key))
        # mmengine would make what YAML tags name, in both.
        reader.load = read_data_file
        Config._get_base_files = staticmethod(
            lambda filename: (
                data_file_bases(filename)
                if filename.endswith(DATA_FORMATS)
                else base_files_of_program(filename)
            )
        )
        _readings.append(self)
        try:
            yield
        finally:
            _readings.remove(self)
            self._stack.clear()
            Config._file2dict = staticmethod(original[0])
            reader.RemoveAssignFromAST, reader.load = original[1:]
            Config._get_base_files = staticmethod(base_files_of_program)

    def _leave(self, filename: str) -> None:
        path, below = self._stack.pop()
        if path not in self.files:  # YAML and JSON aren't run
            content = read_data_file(filename)
            placeholders = set(PLACEHOLDER.findall(Path(filename).read_text(encoding="utf-8")))
            assigned = set(content) - {BASE}
            self.files[path] = SourceFile(assigned, set(), placeholders, set(), BASE in content)
            self._keep(path, content, below)
        if self._stack:
            self._stack[-1][1].update(below, self.files[path].assigned)

    def _keep(self, path: str, names: Mapping[str, Any], below: set[str]) -> None:
        file = self.files[path]
        if Path(path).is_relative_to(self.package_files):
            return
        kept = file.read | file.refined | self.runner_keys
        for name in (file.assigned & below & names.keys()) - kept:
            file.values[name] = copy.deepcopy(names[name])

    def note(self, tree: ast.Module) -> None:
        """Note the names of the file that is about to run, of which ``tree`` is the syntax."""
        path = self._stack[-1][0]
        if path not in self.files:
            # mmengine has replaced the placeholders in what it parses.
            self.files[path] = names_of(tree, Path(path).read_text(encoding="utf-8"))

    def keep_values(self, names: Mapping[str, Any]) -> None:
        """Keep what the file that ran, with the variables ``names``, sets of its bases' names."""
        if not self._carries:
            self._keep(*self._stack[-1][:1], names, self._stack[-1][1])

    def carried(self, name: str, value: Any) -> Any:
        """``value`` of ``name`` in the file that runs, with what is set above it."""
        if not self._carries or name in self.skipped or name in self.runner_keys:
            return value
        holder = Config({name: value})
        for path, _ in reversed(self._stack[:-1]):
            change = self.files[path].values
            if name in change:
                change = {name: copy.deepcopy(change[name])}
                holder.merge_from_dict(change, allow_list_keys=False)
        options = {k: v for k, v in self.options.items() if k.partition(".")[0] == name}
        if options:
            merge_options(holder, options)
        result = holder.to_dict()[name]
        if result != value:
            self.differing.add(name)
        return result


_readings: list[Reading] = []


def current() -> Reading:
    """The reading under way; files that are run call it."""
    return _readings[-1]


def names_of(tree: ast.AST, text: str) -> SourceFile:
    """The names in ``tree``, the syntax of a config file whose ``text`` may have placeholders."""
    imports_files = any(isinstance(node, ast.With) for node in ast.walk(tree))
    # Pure Python changes what it imports in place, which sets it as an assignment does.
    changed = [_root(statement) for statement in _statements(tree)] if imports_files else []
    roots = [root for root in changed if root is not None]
    read, of_bases, refined = set(), set(PLACEHOLDER.findall(text)), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node not in roots:
            read.add(node.id)
        elif _is_of_base(node):
            of_bases.add(node.attr)
        elif isinstance(node, ast.Assign):
            inner = {child.attr for child in ast.walk(node.value) if _is_of_base(child)}
            refined |= inner & set(_targets(node))
    assigned = {name for statement in _statements(tree) for name in _targets(statement)}
    assigned |= {root.id for root in roots}
    read -= _left_unread(tree)
    builds_on_files = imports_files or BASE in assigned
    return SourceFile(assigned - {BASE}, read - {BASE}, of_bases, refined, builds_on_files)


def _left_unread(tree: ast.AST) -> set[str]:
    """Names that the file reads, and afterwards gives another value, which it doesn't read."""
    last_set: dict[str, int] = {}
    last_read: dict[str, float] = {}
    for place, statement in enumerate(getattr(tree, "body", [])):
        nodes = list(ast.walk(statement))
        # A function reads when it is called, which may be at the end.
        runs_later = any(isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda) for n in nodes)
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                last_read[node.id] = math.inf if runs_later else place
        last_set |= dict.fromkeys(_targets(statement), place)
    return {name for name, place in last_set.items() if last_read.get(name, math.inf) <= place}


def _root(statement: ast.stmt) -> ast.Name | None:
    """The name at the front of what ``statement`` changes in place: ``a.b = 1``, ``a.update()``."""
    if isinstance(statement, ast.Assign):
        node = statement.targets[0]
    elif isinstance(statement, ast.AugAssign):
        node = statement.target
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        node = statement.value.func
    else:
        return None
    if not isinstance(node, ast.Attribute | ast.Subscript):
        return None
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def _is_of_base(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == BASE
    )


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Statements that set variables of the file: not those of its functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and not isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield child
            yield from _statements(child)


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    else:
        return []
    nodes = [node for target in targets for node in ast.walk(target)]
    return [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


class _Instrument(ast.NodeTransformer):
    """Let a file ask for the value of each variable that it has assigned."""

    def __init__(self, reading: Reading, inner: ast.NodeTransformer) -> None:
        self.reading, self.inner = reading, inner

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Module):
            self.reading.note(node)
            module = self.generic_visit(self.inner.visit(node))
            assert isinstance(module, ast.Module)
            module.body.append(_call("keep_values(globals())"))
            return ast.fix_missing_locations(module)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.expr):
            return node
        node = self.generic_visit(node)
        names = _targets(node) if isinstance(node, ast.stmt) else []
        calls = [_call(f"carried({name!r}, {name})", name) for name in names]
        return [node, *calls] if calls else node


def _call(call: str, target: str | None = None) -> ast.stmt:
    text = f"__import__({__name__!r}, fromlist=['current']).current().{call}"
    return ast.parse(f"{target} = {text}" if target else text).body[0]
