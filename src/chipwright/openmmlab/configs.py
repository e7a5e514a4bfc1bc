"""OpenMMLab's configs, read as what they are, data written in Python: nothing of a file is ever run.

A config assigns dictionaries, lists, numbers and words to names, and begins with those of other configs (`_base_`). Such
expressions are evaluated here one by one. What would have to be run (imports, functions, loops) makes the names it touches
unknown, which matters only where the network's description needs them.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from chipwright.errors import MissingExtra, OptionError

PACKAGES = ("mmengine", "mmcv", "mmdet", "mmseg")
_NEEDED = (*PACKAGES, "addict", "cv2")
SUFFIXES = (".py", ".json")

TUPLE = "__tuple__"
"""The mark of a tuple in JSON."""

_DELETE = "_delete_"
_BASE = "_base_"
_DEEPEST = 20
"""Configs that may begin with each other."""

_LONGEST = 1_000_000
"""Items of a list that an expression may make."""

_SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class Unreadable(OptionError):  # noqa: N818 - says what is the matter
    """A config, or a part of it that is needed, that is more than data."""


def require_packages(purpose: str) -> None:
    """Check that the OpenMMLab packages are there, without importing them.

    Raises:
        MissingExtra: if one is not.
    """
    if not all(find_spec(package) for package in _NEEDED):
        raise MissingExtra("openmmlab", purpose)


def shipped(package: str, name: str) -> Path:
    """Return the config that a package ships, "mmseg" and "fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024" for instance."""
    return _shipped_folder(package) / f"{name}.py"


@cache
def _shipped_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("openmmlab", f"A config of {package}")
    return Path(next(iter(spec.submodule_search_locations))) / ".mim" / "configs"


def read_model(path: Path) -> dict[str, Any]:
    """Return the network that a config describes, its `model`, as JSON data; tuples are marked (see `marked`).

    Raises:
        OptionError: if there is no such file, it describes no network, or it cannot be read without running it.
    """
    values = read_config(path)
    model = values.get("model")
    if model is None:
        raise OptionError(
            f"{path} describes no network: it gives no value to `model`. Give a config of MMSegmentation or MMDetection."
        )
    try:
        plain: Any = json.loads(json.dumps(marked(_known(model)), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as fault:
        raise OptionError(f"The network that {path} describes is more than plain values ({fault}).") from fault
    if not isinstance(plain, dict):
        raise OptionError(f"{path} gives {type(plain).__name__} to `model`; expected a dictionary that describes a network.")
    return plain


def marked(value: Any) -> Any:
    """Return a value as JSON holds it: `(1, 2)` becomes `{"__tuple__": [1, 2]}`, since the packages tell tuples from lists."""
    if isinstance(value, dict):
        return {name: marked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [marked(item) for item in value]
        return {TUPLE: items} if isinstance(value, tuple) else items
    return value


def unmarked(value: Any) -> Any:
    """Return what `marked` was given."""
    if isinstance(value, dict):
        found = {name: unmarked(item) for name, item in value.items()}
        return tuple(found[TUPLE]) if found.keys() == {TUPLE} else found
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def read_config(path: Path) -> dict[str, Any]:
    """Return the values of a config's names, those of the configs it begins with included (see `read_model` for errors).

    Values that cannot be read are there, too, as objects that name the reason.
    """
    return _read(path, 0)


def _read(path: Path, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise OptionError(f"{path}: its configs begin with each other without an end.")
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path} is no config: expected a file that ends in .py or .json.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise OptionError(f"The config {path} cannot be read: {fault}.") from fault
    if path.suffix.lower() == ".json":
        values = _json(path, text)
        return _merged(values, _bases(path, values.pop(_BASE, []), depth), path)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        raise OptionError(f"{path} is no config that can be read: {fault}.") from fault
    reading = _Reading(path, {}, {})
    for node in tree.body:
        reading.take(node)
        if _target(node) == _BASE:
            reading.bases = _bases(path, reading.own.pop(_BASE), depth)
    return _merged(reading.own, reading.bases, path)


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise OptionError(f"{path} is no JSON: {fault}.") from fault
    if not isinstance(values, dict):
        raise OptionError(f"{path} is no config: expected a JSON object with `model` in it.")
    return values


def _bases(path: Path, names: Any, depth: int) -> dict[str, Any]:
    """Return the values of the configs that one begins with."""
    given = _known(names)
    found: dict[str, Any] = {}
    for name in [given] if isinstance(given, str) else given:
        found |= _read(_base_path(path, str(name)), depth + 1)
    return found


def _base_path(path: Path, name: str) -> Path:
    """Return the path of a config's base: beside it, or a package's ("mmdet::_base_/default_runtime.py")."""
    package, mark, inside = name.partition("::")
    if not mark:
        return path.parent / name
    if package not in PACKAGES:
        raise OptionError(f"{path} begins with {name!r}; of packages only those of {', '.join(PACKAGES[2:])} are known.")
    return _shipped_folder(package) / inside


def _merged(own: Mapping[str, Any], base: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return `base` with `own` over it: dictionaries are merged, all else is replaced; `_delete_` replaces one whole."""
    result = dict(base)
    for key, value in own.items():
        if not isinstance(value, dict):
            result[key] = value
            continue
        old = result.get(key)
        anew = bool(value.get(_DELETE, False))
        value = {name: item for name, item in value.items() if name != _DELETE}
        if old is not None and not anew and not isinstance(old, (dict, _Unknown)):
            raise OptionError(
                f"{path} merges a dictionary into {key!r}, which is {type(old).__name__} in the config it begins with."
            )
        result[key] = (
            old
            if isinstance(old, _Unknown) and not anew
            else _merged(value, old if isinstance(old, dict) and not anew else {}, path)
        )
    return result


class _Unknown:
    """A value that would take running code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _known(value: Any) -> Any:
    """Return a value, or raise what makes a part of it unknown."""
    if isinstance(value, _Unknown):
        raise Unreadable(
            f"{value.reason} is code, and configs are read, never run. Write it out as plain values, as `Config.dump` of "
            "mmengine does."
        )
    if isinstance(value, dict):
        return {name: _known(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_known(item) for item in value)
    return value


def _target(node: ast.stmt) -> str | None:
    """Return the name that a statement gives a value to, if it is a single one."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


class _Reading:
    """The statements of one config, taken in one after the other.

    Attributes:
        own: name -> value, filled by `take`.
        bases: what `_base_.name` stands for.
    """

    def __init__(self, path: Path, own: dict[str, Any], bases: dict[str, Any]) -> None:
        self.path, self.own, self.bases = path, own, bases

    def take(self, node: ast.stmt) -> None:
        """Take a statement in: an assignment as its value; of any other all that it could change is unknown from there on."""
        name = _target(node)
        if isinstance(node, ast.Assign) and name is not None:
            try:
                self.own[name] = self.value(node.value)
            except Unreadable as fault:
                self.own[name] = _Unknown(str(fault))
        elif isinstance(node, ast.Delete) and all(isinstance(target, ast.Name) for target in node.targets):
            for target in node.targets:
                assert isinstance(target, ast.Name)
                self.own.pop(target.id, None)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            reason = _Unknown(self._place(node))
            for inner in ast.walk(node):
                names = [inner.id] if isinstance(inner, ast.Name) else []
                names += [inner.name] if isinstance(inner, (ast.FunctionDef, ast.ClassDef)) else []
                names += [
                    (alias.asname or alias.name).partition(".")[0]
                    for alias in getattr(inner, "names", [])
                    if isinstance(alias, ast.alias)
                ]
                self.own.update(dict.fromkeys(names, reason))

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression, or raise `Unreadable`."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.Set(elts=[ast.Set(elts=[inner])]):  # {{_base_.name}}, the writing of older configs
                return self.value(inner)
            case ast.Dict(keys=keys, values=values):
                return self._dictionary([(key and self.value(key), value) for key, value in zip(keys, values, strict=True)])
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                return self._call(node, name, args, keywords)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return self._computed(node, operator.neg, inner)
            case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _SUMS:
                return self._computed(node, _SUMS[type(kind)], left, right)
            case ast.Name(id=name) if name in self.own and name != _BASE:
                return self._use(self.own[name])
            case ast.Attribute(value=ast.Name(id="_base_"), attr=name) if name in self.bases:
                return self._use(self.bases[name])
            case ast.Attribute(value=inner, attr=name):
                return self._item(node, self.value(inner), name)
            case ast.Subscript(value=inner, slice=index) if not isinstance(index, ast.Slice):
                return self._item(node, self.value(inner), self.value(index))
            case ast.ListComp(elt=item, generators=[ast.comprehension(target=ast.Name(id=name), iter=many, ifs=[])]):
                return self._repeated(node, item, name, self.value(many))
        return self._refuse(node)

    def _use(self, value: Any) -> Any:
        """Return what a name stands for, by itself: two places of a config never share a dictionary."""
        if isinstance(value, _Unknown):
            raise Unreadable(value.reason)
        if isinstance(value, dict):
            return {name: self._use(item) for name, item in value.items()}
        return type(value)(self._use(item) for item in value) if isinstance(value, (list, tuple)) else value

    def _dictionary(self, pairs: list[tuple[Any, ast.expr]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in pairs:
            if key is None:  # **other
                other = self.value(value)
                if not isinstance(other, dict):
                    self._refuse(value)
                found.update(other)
            elif isinstance(key, (str, int, float, bool)):
                found[key] = self.value(value)
            else:
                self._refuse(value)
        return found

    def _call(self, node: ast.Call, name: str, args: list[ast.expr], keywords: list[ast.keyword]) -> Any:
        if name == "dict" and not args:
            return self._dictionary([(keyword.arg, keyword.value) for keyword in keywords])
        functions: dict[str, Callable[..., Any]] = {
            "sum": sum,
            "len": len,
            "int": int,
            "list": list,
            "tuple": tuple,
            "range": range,
        }
        if name not in functions or keywords:
            self._refuse(node)
        return self._computed(node, functions[name], *args)

    def _computed(self, node: ast.expr, function: Callable[..., Any], *parts: ast.expr) -> Any:
        """Return a function's value of the parts, none of which may grow beyond bounds."""
        values = [self.value(part) for part in parts]
        if function is operator.mul and any(isinstance(value, (list, tuple, str)) for value in values):
            lengths = [len(value) if isinstance(value, (list, tuple, str)) else value for value in values]
            if not all(isinstance(length, int) for length in lengths) or lengths[0] * lengths[1] > _LONGEST:
                self._refuse(node)
        try:
            found = function(*values)
            return self._use(found)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            self._refuse(node)

    def _item(self, node: ast.expr, value: Any, key: Any) -> Any:
        try:
            return value[key]
        except (TypeError, KeyError, IndexError):
            self._refuse(node)

    def _repeated(self, node: ast.expr, item: ast.expr, name: str, many: Any) -> list[Any]:
        if not isinstance(many, (list, tuple, range)) or len(many) > _LONGEST:
            self._refuse(node)
        found = []
        for value in many:
            found.append(_Reading(self.path, {**self.own, name: value}, self.bases).value(item))
        return found

    def _refuse(self, node: ast.AST) -> NoReturn:
        raise Unreadable(self._place(node))

    def _place(self, node: ast.AST) -> str:
        text = " ".join(ast.unparse(node).split())
        return f"{self.path}, line {getattr(node, 'lineno', 0)}: `{text[:60]}{' ...' if len(text) > 60 else ''}`"
