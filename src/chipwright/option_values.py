"""Raw option values (text, keywords, YAML, arcpy habits) turned into validated `TrainOptions`; both faces use this door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chipwright.chips.augmentation.settings import checked, read_augmentation
from chipwright.errors import OptionError, listed, suggestion
from chipwright.models.parsing import parse_arguments, raw_arguments
from chipwright.option_reading import read_folders, read_option, read_truth
from chipwright.options import TrainOptions
from chipwright.sentences import choices, option_error, shown
from chipwright.text_values import is_empty

SYNONYMS = {"out": "out_folder", "argument": "arguments", "freeze_model": "freeze"}
"""Other names of options -> the names in `TrainOptions`."""

OPPOSITES = {"unfreeze_model": "freeze", "continue_training": "stop_training"}
"""Names of switches that say the opposite of an option."""

_SWITCHES = {
    "stop_training": {"STOP_TRAINING": True, "CONTINUE_TRAINING": False},
    "freeze": {"FREEZE_MODEL": True, "UNFREEZE_MODEL": False},
}
"""The reference's keywords for two of its parameters; True and False are accepted for them too."""


_WORDS = {"backbone_weights": ("imagenet", "none")}
"""Keywords of options that take other text beside them."""


def canonical_name(name: str) -> tuple[str, bool]:
    """Return the `TrainOptions` field that a name means, in any case and with dashes, and whether it says the opposite."""
    plain = name.strip().lower().lstrip("-").replace("-", "_")
    if plain in OPPOSITES:
        return OPPOSITES[plain], True
    return SYNONYMS.get(plain, plain), False


def canonical_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options under their `TrainOptions` names, empty values left out.

    Raises:
        OptionError: for an unknown name, or one option given under two names.
    """
    fields = TrainOptions.model_fields
    found: dict[str, Any] = {}
    for name, value in values.items():
        field, opposite = canonical_name(str(name))
        if field not in fields:
            known = [*fields, *SYNONYMS, *OPPOSITES]
            raise OptionError(f"There is no option {name!r}.{suggestion(field, known)} Options: {listed(fields, 60)}.")
        if field in found:
            raise OptionError(f"Option {field} is given twice; give it once.")
        if not is_empty(value):
            found[field] = not read_truth(str(name), value) if opposite else value
    return found


def make_options(values: Mapping[str, Any], spell: Callable[[str], str] = str) -> TrainOptions:
    """Return validated options from raw values: numbers, truths and paths as text, keywords in any case, `""` for the default.

    Args:
        values: option name -> raw value.
        spell: how the user knows an option ("--max-epochs" for "max_epochs").

    Raises:
        OptionError: for an unknown option or a value that does not fit.
    """
    given = canonical_options(values)
    ready = {field: _read(field, value, spell) for field, value in given.items()}
    try:
        return TrainOptions.model_validate(ready)
    except ValidationError as error:
        raise option_error(error, TrainOptions, given, spell) from None


def check_model_options(options: TrainOptions) -> None:
    """Refuse, where a model type is named, what it does not know, before anything heavy is imported.

    Raises:
        OptionError: for an unknown model type, backbone or argument.
    """
    if options.model_type is None:
        return
    from chipwright.catalog import find

    model_type = find(options.model_type)
    if model_type.backbones is not None:
        model_type.backbones.resolve(options.backbone_model, model_type.keyword)
    parse_arguments(options.arguments, model_type.arguments, model_type.keyword, model_type.monitors)


def _read(field: str, value: Any, spell: Callable[[str], str]) -> Any:
    if field == "in_folder":
        return read_folders(value)
    if field == "arguments":
        return raw_arguments(value)
    if field == "augmentation":
        return _augmentation(value, spell(field))
    info = TrainOptions.model_fields[field]
    return read_option(field, info, value, spell, _SWITCHES.get(field), _WORDS.get(field, ()))


def _augmentation(value: Any, name: str) -> Any:
    """Return DEFAULT or NONE, or what a dictionary or a file says."""
    if isinstance(value, Mapping):
        return checked(value, name)
    info = TrainOptions.model_fields["augmentation"]
    found = read_option("augmentation", info, value, lambda _: name)
    if not isinstance(found, str) or found in choices(info.annotation):
        return found
    path = Path(found).expanduser()
    if not path.is_file():
        hint = suggestion(found, choices(info.annotation))
        raise OptionError(
            f"{name} is {shown(found)}; expected DEFAULT, NONE or a YAML or JSON file, and there is no such file.{hint}"
        )
    return read_augmentation(path)
