"""Running the command line in this process, as a user would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from toy_types import FakeApi, add_toy

from chipwright.cli import main


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON object on standard output."""
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `chipwright WORD...` with TOY in the catalog."""
    add_toy(monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("CHIPWRIGHT_DEBUG", raising=False)

    def call(*words: object) -> Outcome:
        status = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return call


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Take the place of `chipwright.api`."""
    return FakeApi().install(monkeypatch)
