"""Say what each key of the configuration means: its unit, its source, its values and who reads it.

A key is described where it is defined: a key of a method in the table KEYS of the method's file, any other key by the
comment behind it in configs/default.py. Both files are read as text, so that nothing slow is imported.
"""

import ast
import math
import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, NamedTuple

from man_jax import methods
from man_jax.config import CHOICES, POSITIVE, RANGES, flat
from man_jax.configs import default, variants
from man_jax.key_comments import key_comments

SHARED = ("method_parts.cluster_rows", "frame", "method_parts.two_students")
"""Modules whose functions several methods call, and that read the configuration. An earlier one imports later ones."""
BY_METHOD = ("adapt.kmeans_", "adapt.num_clusters", "loss.")
"""How keys begin that only some methods read, although they are in no method's table."""


class Description(NamedTuple):
    """What is known of one key."""

    key: str
    default: Any
    about: str
    choices: tuple[Any, ...]
    least: float
    largest: float
    users: str
    """Who reads it, in words."""
    presets: dict[str, Any]
    """The variants that set it, and their values."""


def describe(key: str) -> Description:
    """Describe a key by its full name, e.g. man.alpha; KeyError if there is none."""
    value = flat(default.get_config())[key]
    group, _, name = key.partition(".")
    set_by = {variant: keys[key] for variant, keys in variants.VARIANTS.items() if key in keys}
    if group in methods.names():
        of_method = methods.keys_of(group)[name]
        limits = (of_method.choices, of_method.least, of_method.largest)
        return Description(key, value, of_method.about, *limits, f"the method {group}", set_by)
    least, largest = (1, math.inf) if key in POSITIVE else RANGES.get(key, (-math.inf, math.inf))
    choices = methods.names() if key == "method" else CHOICES.get(key, ())
    return Description(key, value, key_comments()[key], choices, least, largest, _users(key), set_by)


def methods_reading(key: str) -> tuple[str, ...]:
    """Find the methods whose files, or the shared functions that these import, read a key of another group."""
    group, _, name = key.partition(".")
    read = re.compile(rf"\b{group}\.{name}\b|\*\*[\w.]*config\.{group}\b")
    return tuple(method for method in methods.names() if read.search(_source_of(method)))


def _users(key: str) -> str:
    if key.startswith("pretrain."):
        return "pre-training, before every method"
    if not key.startswith(BY_METHOD):
        return "every method"
    found = methods_reading(key)
    named = "every method" if found == methods.names() else f"the methods {', '.join(found)}"
    return f"pre-training, and {named}" if key.startswith("loss.") else named


@cache
def _source_of(method: str) -> str:
    """Give the text of a method's file, and of the functions of shared modules that it imports."""
    texts = [(methods.FOLDER / f"{method}.py").read_text(encoding="utf-8")]
    for module in SHARED:
        names = {name for text in texts for name in _imported(text, module)}
        if names:
            texts.extend(_functions(module, names))
    return "\n".join(texts)


def _imported(text: str, module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == f"man_jax.{module}":
            yield from (alias.name for alias in node.names)


def _functions(module: str, names: Collection[str]) -> Iterator[str]:
    """Give the imports of a shared module that its named functions use, and those functions."""
    text = (methods.FOLDER.parent / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        segment = ast.get_source_segment(text, node) or ""
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield segment
            called = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            for other in ast.parse(text).body:
                if isinstance(other, ast.ImportFrom):
                    used = sorted(called & {alias.name for alias in other.names})
                    yield from ([f"from {other.module} import {', '.join(used)}"] if used else [])
