"""The command line as a whole: help, exit statuses, errors, and a standard output that holds results only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from typing import Any

import pytest
from toy_types import FakeApi

from chipwright.errors import ChipwrightError, DataError, Interrupted

COMMANDS = ("train", "evaluate", "inspect", "models", "package", "weights", "doctor", "demo")


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from chipwright.cli import main; status = main(['--help']); "
        "heavy = {'torch', 'torchvision', 'timm', 'pydantic', 'numpy', 'rasterio', 'rich'} & set(sys.modules); "
        "print('LOADED', sorted(heavy), status)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"chipwright --help took {time.perf_counter() - started:.2f} s with the interpreter's start")
    assert "LOADED [] 0" in done.stdout
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "chipwright", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("chipwright ")


def test_listing_the_models_imports_no_torch() -> None:
    code = "import sys; from chipwright.cli import main; main(['models', '--json']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_no_command_shows_the_help(run: Any) -> None:
    found = run()
    assert found.status == 0
    assert "Commands:" in found.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command: str, run: Any) -> None:
    pages = [run(command, "--help")] if command != "weights" else [run(command, name, "--help") for name in ("list", "fetch")]
    for page in pages:
        assert page.status == 0
        assert f"Example: chipwright {command}" in page.out
        assert "--json" in page.out


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (DataError("The folder is empty."), 2, "DataError", "The folder is empty."),
        (ChipwrightError("It broke."), 1, "ChipwrightError", "It broke."),
        (Interrupted("Stopped; go on with --resume."), 130, "Interrupted", "Stopped; go on with --resume."),
        (KeyboardInterrupt(), 130, "Interrupted", "Interrupted. What was finished so far is kept."),
        (OSError(28, "No space left on device", "/x"), 1, "OSError", "No space left on device: /x"),
        (MemoryError(), 1, "MemoryError", "Memory is used up; try a smaller --batch-size, a smaller chip_size or --workers 0."),
        (
            ImportError("DLL load failed", name="rasterio._base"),
            1,
            "ImportError",
            'A library cannot be loaded (DLL load failed). Run "chipwright doctor" to see what is wrong.',
        ),
        (ValueError("odd\nthing"), 1, "ValueError", "Something unexpected went wrong (ValueError: odd thing)."),
    ],
)
def test_errors_become_a_sentence_and_a_status(
    error: BaseException, status: int, kind: str, message: str, run: Any, api: FakeApi
) -> None:
    api.answer = error
    plain = run("inspect", "chips")
    assert (plain.status, plain.out) == (status, "")
    assert plain.err.splitlines()[0] == (message if status == 130 else f"Error: {message}")
    assert "Traceback" not in plain.err
    found = run("inspect", "chips", "--json")
    assert (found.status, found.data) == (status, {"error": {"message": message, "type": kind}})


def test_an_unexpected_fault_asks_for_a_report(run: Any, api: FakeApi) -> None:
    api.answer = ValueError("odd")
    assert "please report it, with what CHIPWRIGHT_DEBUG=1 prints" in run("inspect", "chips").err


def test_the_traceback_is_shown_on_request(run: Any, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPWRIGHT_DEBUG", "1")
    api.answer = DataError("The folder is empty.")
    found = run("inspect", "chips")
    assert found.status == 2
    assert "Traceback" in found.err
    assert found.err.endswith("Error: The folder is empty.\n")


@pytest.mark.parametrize(
    "words", [["nonsense"], ["train", "--max-epoch", "3"], ["inspect"], ["weights"], ["weights", "fetch", "X"]]
)
def test_usage_errors_leave_with_2_and_name_the_help(words: list[str], run: Any) -> None:
    found = run(*words)
    assert found.status == 2
    assert found.err.startswith("Error: ")
    assert 'See "chipwright' in found.err


def test_a_usage_error_is_json_too(run: Any) -> None:
    found = run("inspect", "--json")
    assert found.status == 2
    assert found.data["error"]["type"] == "OptionError"


def test_a_library_that_prints_does_not_spoil_the_json(run: Any, api: FakeApi) -> None:
    def chatty() -> dict[str, Any]:
        print("loading ...")
        return {"chips": 3}

    api.answer = chatty
    found = run("inspect", "chips", "--json")
    assert found.data == {"chips": 3}
    assert "loading ..." in found.err


def test_warnings_of_libraries_stay_off_the_screen_and_ours_do_not(run: Any, api: FakeApi) -> None:
    seen = []

    def noisy() -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn_explicit("a lot", UserWarning, "x.py", 1, module="torch.nn.functional")
            warnings.warn_explicit("old", FutureWarning, "x.py", 1, module="anything")
            warnings.warn_explicit("ours", UserWarning, "x.py", 1, module="chipwright.api")
        seen.extend(str(entry.message) for entry in caught)
        return {}

    api.answer = noisy
    with warnings.catch_warnings():
        run("inspect", "chips")
    assert seen == ["ours"]


def test_a_console_of_another_code_page_does_not_break_the_output() -> None:
    code = (
        "import sys; from chipwright import api; from chipwright.cli import main; "
        "api.inspect = lambda folders, **_: {'classes': ['Gebäude', '道路']}; sys.exit(main(['inspect', 'x']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"},
        check=True,
    )
    assert "Gebäude, ??" in done.stdout.decode("cp1252")
