"""Values that are typed on a command line: numbers, lists, and whole dicts."""

import argparse
import ast
import re
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

from mmseg_gc.errors import UserError

# A dict somewhere in it: mmengine's own parser knows none.
HOLDS_DICT = re.compile(r"\{|\bdict\s*\(")
CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """The dotted keys and values of ``KEY=VALUE`` words.

    A value with a dict is a Python literal, in which a bare name is text; all others are read as
    mmengine reads them. What a shell has split at spaces is put together again.

    Raises:
        UserError: a word is no ``KEY=VALUE``, or its brackets don't match.
    """
    options: dict[str, Any] = {}
    waiting = list(words)
    while waiting:
        key, equals, text = waiting.pop(0).partition("=")
        if not equals or not key:
            raise UserError(f"--cfg-options {key}: write KEY=VALUE, without spaces around the =.")
        while waiting and _is_open(text):
            text = f"{text} {waiting.pop(0)}"
        options[key] = _value(key, text)
    return options


def _is_open(text: str) -> bool:
    return sum(text.count(sign) for sign in "([{") > sum(text.count(sign) for sign in ")]}")


def _value(key: str, text: str) -> Any:
    try:
        if HOLDS_DICT.search(text):
            return literal(ast.parse(text.strip(), mode="eval").body)
        action = DictAction([], "options", nargs="+")
        holder = argparse.Namespace()
        action(argparse.ArgumentParser(), holder, [f"{key}={text}"])
        return holder.options[key]
    except (SyntaxError, ValueError, RecursionError, AssertionError, IndexError) as error:
        raise UserError(
            f"--cfg-options {key}={text} is no value: write numbers, texts, lists and dicts as in "
            "Python, in quotes for the shell."
        ) from error


def literal(node: ast.expr, *, names_as_text: bool = True) -> Any:
    """The value of an expression of constants, names (as text), lists, tuples and dicts.

    Raises:
        ValueError: it would have to be run, or holds a name that is no text.
    """
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("** in a dict")
        keys = [literal(key, names_as_text=names_as_text) for key in node.keys if key is not None]
        values = [literal(value, names_as_text=names_as_text) for value in node.values]
        return dict(zip(keys, values, strict=True))
    if isinstance(node, ast.Call):
        if ast.unparse(node.func) != "dict" or node.args or None in [k.arg for k in node.keywords]:
            raise ValueError("a call")
        return {
            str(keyword.arg): literal(keyword.value, names_as_text=names_as_text)
            for keyword in node.keywords
        }
    if isinstance(node, ast.List | ast.Tuple):
        items = [literal(item, names_as_text=names_as_text) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Name) and names_as_text:
        return CONSTANTS.get(node.id.lower(), node.id)
    return ast.literal_eval(node)
