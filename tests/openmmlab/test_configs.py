"""Configs are read as data, and as their own packages read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chipwright.errors import MissingExtra, OptionError
from chipwright.openmmlab import configs
from chipwright.openmmlab.segmenters import CONFIGS


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_dictionaries_are_merged_into_those_of_the_base_and_everything_else_replaced(tmp_path: Path) -> None:
    write(tmp_path / "base.py", "norm = dict(type='BN')\nmodel = dict(a=dict(x=1, y=[1, 2], norm=norm), b=dict(z=3), c=(4,))")
    child = write(
        tmp_path / "child.py",
        "_base_ = ['./base.py']\nmodel = dict(a=dict(y=[5]), b=dict(_delete_=True, w=6), d=_base_.model.c, e={{_base_.norm}})",
    )
    assert configs.unmarked(configs.read_model(child)) == {
        "a": {"x": 1, "y": [5], "norm": {"type": "BN"}},
        "b": {"w": 6},
        "c": (4,),
        "d": (4,),
        "e": {"type": "BN"},
    }


def test_arithmetic_and_repetitions_are_values(tmp_path: Path) -> None:
    text = "n = 3\nmodel = dict(a=sum([1, 2]), b=-1. / 4, c=[dict(i=i + n) for i in range(2)], d=[0] * n, **dict(e=len('ab')))"
    expected = {"a": 3, "b": -0.25, "c": [{"i": 3}, {"i": 4}], "d": [0, 0, 0], "e": 2}
    assert configs.read_model(write(tmp_path / "config.py", text)) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import os\nmodel = dict(type=os.getcwd())", "line 2: `os.getcwd()`"),
        ("model = dict(a=open('x').read())", "line 1: `open('x').read()`"),
        ("model = dict(a=1)\nmodel.update(b=2)", "line 2: `model.update(b=2)`"),
        ("model = dict(a=1)\nmodel['b'] = 2", "line 2: `model['b'] = 2`"),
        ("from evil import *\nmodel = dict(a=name)", "line 2: `name`"),
        ("model = dict(a='x' * 10 ** 9)", "10 ** 9"),
        ("model = dict(a=[0] * 99999999999)", "[0] * 99999999999"),
        ("model = (lambda: dict(a=1))()", "lambda"),
    ],
)
def test_code_that_the_network_needs_is_named_and_not_run(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(OptionError, match="read, never run") as fault:
        configs.read_model(write(tmp_path / "config.py", text))
    assert named in str(fault.value)


def test_code_beside_the_network_does_not_matter_and_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    text = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\npipeline = [f(x) for x in y]\nmodel = dict(a=1)"
    assert configs.read_model(write(tmp_path / "config.py", text)) == {"a": 1}
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("config.py", "x = 1", "describes no network"),
        ("config.py", "model = [1]", "expected a dictionary"),
        ("config.py", "model = dict(", "no config that can be read"),
        ("config.py", "_base_ = 'config.py'\nmodel = dict()", "without an end"),
        ("config.py", "_base_ = 'missing.py'", "cannot be read"),
        ("config.py", "_base_ = 'os::a.py'", "of packages only"),
        ("config.py", "model = dict(a=1e999)", "more than plain values"),
        ("config.json", "[1]", "expected a JSON object"),
        ("config.yaml", "model: 1", "ends in .py or .json"),
    ],
)
def test_what_is_no_config_gets_a_sentence(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(OptionError, match=expected):
        configs.read_model(write(tmp_path / name, text))


def test_a_json_config_says_the_same(tmp_path: Path) -> None:
    model = {"type": "EncoderDecoder", "backbone": {"depth": 50}}
    assert configs.read_model(write(tmp_path / "config.json", json.dumps({"model": model}))) == model


@pytest.mark.parametrize("name", ["hrnet", "mobilenet_v3", "pointrend"])
def test_shipped_configs_are_read_as_their_own_package_reads_them(name: str) -> None:
    config = pytest.importorskip("mmengine.config", reason="the extra openmmlab is not installed").Config
    path = configs.shipped("mmseg", CONFIGS[name])
    theirs = config.fromfile(path, import_custom_modules=False).model.to_dict()
    assert configs.unmarked(configs.read_model(path)) == theirs


def test_where_the_packages_are_missing_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "find_spec", lambda name: None if name == "cv2" else name)
    with pytest.raises(MissingExtra, match='MMSEGMENTATION needs the extra "openmmlab"'):
        configs.require_packages("MMSEGMENTATION")
