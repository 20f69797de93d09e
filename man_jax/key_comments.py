"""Read what configs/default.py says of each key: the comment behind the key, or above it.

The file is read as text. So a key and its meaning stand on one line there, and are told from there.
"""

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from man_jax.configs import default


@cache
def key_comments() -> dict[str, str]:
    """Read the comment of every key in configs/default.py; a key without one has an empty text."""
    path = Path(default.__file__)
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, str(path))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    comments = _comments(source)
    abouts: dict[str, str] = {}
    for statement in functions["get_config"].body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
            for name, first, last in _keys(statement.targets[0].attr, statement.value, functions, {}):
                abouts[name] = _comment_at(comments, first, last)
    return abouts


def _keys(
    name: str, value: ast.expr, functions: Mapping[str, ast.FunctionDef], local: Mapping[str, ast.expr]
) -> Iterator[tuple[str, int, int]]:
    """List the keys below an expression of configs/default.py, each with its first and its last line."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        if function := functions.get(value.func.id):
            inside = {
                target.id: each.value
                for each in function.body
                if isinstance(each, ast.Assign)
                for target in each.targets
                if isinstance(target, ast.Name)
            }
            [returned] = [each.value for each in function.body if isinstance(each, ast.Return)]
            if returned is not None:
                yield from _keys(name, returned, functions, inside)
            return
        if value.args:  # ConfigDict({...}) or dict(NAME)
            yield from _keys(name, value.args[0], functions, local)
            return
    if isinstance(value, ast.Name) and value.id in local:
        yield from _keys(name, local[value.id], functions, local)
    elif isinstance(value, ast.Dict):
        for key, below in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant):
                yield from _keys(f"{name}.{key.value}", below, functions, local)
    else:
        yield name, value.lineno, value.end_lineno or value.lineno


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """Give the comment of each line that has one, and whether the line has nothing else."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: (token.string.lstrip("# "), not token.line[: token.start[1]].strip())
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _comment_at(comments: Mapping[int, tuple[str, bool]], first: int, last: int) -> str:
    """Give the comment on the lines of a key, or the one on the lines above that have nothing else."""
    if behind := [comments[line][0] for line in range(first, last + 1) if line in comments]:
        return " ".join(behind)
    above: list[str] = []
    while (line := first - 1 - len(above)) in comments and comments[line][1]:
        above.insert(0, comments[line][0])
    return " ".join(above)
