"""`chipwright doctor`: whether everything works here, and the line that mends what does not."""

from __future__ import annotations

from typing import Any

import typer

from chipwright.cli.output import FAILED, AsJson, columns, emit


def doctor(as_json: AsJson = False) -> None:
    """Say what works here and what is missing.

    Libraries, devices, extras and folders, with the line that mends what is wrong.

    Example: chipwright doctor
    """
    from chipwright.console import say
    from chipwright.doctor import examine

    say("Loading every library once; this takes a few seconds ...")
    found = examine()
    emit(found, as_text(found), as_json)
    if not found["usable"]:
        raise typer.Exit(FAILED)


def as_text(found: dict[str, Any]) -> str:
    """Return the findings for reading: facts first, then what to do."""
    cpu, gpus = found["devices"]["cpu"], found["devices"]["gpus"]
    units = f", bfloat16 in hardware ({', '.join(cpu['bfloat16_units'])})" if cpu["bfloat16_units"] else ""
    memory = found["system"]["memory_gib"]
    facts = [
        ["chipwright", found["chipwright"] or "not installed"],
        ["Python", f"{found['python']['version']}  ({found['python']['path']})"],
        ["System", found["system"]["name"] + (f", {memory:g} GiB memory" if memory else "")],
        ["PyTorch", _build(found["torch"])],
        ["CPU", f"{cpu['model']}, {cpu['cores']} cores{units}"],
        *([f"GPU {gpu['id']}", _gpu(gpu)] for gpu in gpus),
        *([] if gpus else [["GPU", "none that PyTorch can use"]]),
    ]
    dependencies = [[entry["name"], entry["version"] or "-", entry["problem"] or "ok"] for entry in found["dependencies"]]
    extras = [
        [name, "ready" if extra["ready"] else f"missing: {extra['mend']}", ", ".join(extra["versions"])]
        for name, extra in found["extras"].items()
    ]
    folders = [[folder["use"], "ok" if folder["ready"] else "not usable", folder["path"]] for folder in found["folders"]]
    parts = [columns(facts), "Libraries:", columns(dependencies, indent=2), "Extras (wanted by some model types only):"]
    parts += [columns(extras, indent=2), "Folders:", columns(folders, indent=2), ""]
    parts += [f"Hint: {hint}" for hint in found["hints"]]
    parts += [f"Problem: {problem}" for problem in found["problems"]]
    parts.append("chipwright can be used here." if found["usable"] else "chipwright cannot be used here until this is mended.")
    return "\n".join(parts)


def _build(torch: dict[str, Any]) -> str:
    if torch["build"] is None:
        return "cannot be loaded"
    return f"{torch['build']} ({'CUDA ' + torch['cuda_build'] if torch['cuda_build'] else 'CPU only'})"


def _gpu(gpu: dict[str, Any]) -> str:
    bfloat16 = ", bfloat16 in hardware" if gpu["bfloat16"] else ""
    return f"{gpu['name']}, {gpu['memory_gib']:g} GiB ({gpu['free_gib']:g} free){bfloat16}"
