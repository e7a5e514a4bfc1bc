from __future__ import annotations

from typing import Any

import pytest
from toy_types import TOY, ToyArguments

from chipwright.errors import OptionError
from chipwright.models.parsing import parse_arguments, raw_arguments


def parsed(raw: Any) -> dict[str, Any]:
    """Return the arguments that differ from their defaults."""
    return parse_arguments(raw, ToyArguments, "TOY", TOY.monitors).model_dump(exclude_defaults=True)


def refusal(raw: Any) -> str:
    with pytest.raises(OptionError) as caught:
        parsed(raw)
    return str(caught.value)


@pytest.mark.parametrize("raw", [None, "", "#", [], {}, "zooms ;grids #;chip_size ''", {"zooms": ""}, {"zooms": None}])
def test_empty_values_keep_the_defaults(raw: Any) -> None:
    assert parsed(raw) == {}


@pytest.mark.parametrize(
    "raw",
    [
        "grids '4 2';zooms 0.5",
        "grids [4, 2];zooms [0.5]",
        "GRIDS=4,2; Zooms = 0.5;",
        "'grids' '4 2';'zooms' '0.5'",
        [("grids", "4 2"), ("zooms", 0.5)],
        [["grids", (4, 2)], ["zooms", "[0.5]"]],
        ["grids=4 2", "zooms 0.5"],
        {"grids": [4, 2], "zooms": 0.5},
        {"grids": "[4,2]", "Zooms": [0.5]},
    ],
)
def test_every_way_of_writing_arguments_means_the_same(raw: Any) -> None:
    assert parsed(raw) == {"grids": [4, 2], "zooms": [0.5]}


def test_an_arcgis_value_table_is_read() -> None:
    class ValueTable:
        def exportToString(self) -> str:  # noqa: N802 - arcpy's name
            return "grids '4 2'"

    assert parsed(ValueTable()) == {"grids": [4, 2]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ratios [[1,1],[1,2]]", [(1, 1), (1, 2)]),
        ("ratios [1.0,1.0],[1.0, 0.5]", [(1, 1), (1, 0.5)]),
        ("ratios 1 2", [(1, 2)]),
    ],
)
def test_pairs_are_read_with_and_without_outer_brackets(text: str, expected: list[tuple[float, float]]) -> None:
    assert parsed(text)["ratios"] == expected


def test_a_dictionary_in_text_is_read() -> None:
    found = parsed("decode_params {'embed_size':50, 'dropout': 0.2, 'pretrained_emb': true};zooms 2")
    assert found == {"decode_params": {"embed_size": 50, "dropout": 0.2, "pretrained_emb": True}, "zooms": [2]}


@pytest.mark.parametrize(("text", "expected"), [("True", True), ("true", True), ("1", True), ("yes", True), ("'True'", True)])
def test_truths_are_read_however_written(text: str, expected: bool) -> None:
    assert parsed(f"focal_loss {text}") == {"focal_loss": expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("True", True), ("False", None), (r"C:\my models\a.py", r"C:\my models\a.py"), (r"'C:\new\a b.py'", r"C:\new\a b.py")],
)
def test_an_argument_may_be_a_truth_or_a_path(text: str, expected: object) -> None:
    assert parsed(f"model_weight {text}").get("model_weight") == expected


def test_what_looks_like_a_number_stays_text_where_text_is_wanted() -> None:
    assert parsed("name 12") == {"name": "12"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bare soil, Water", ["Bare soil", "Water"]),
        ("Bare soil", ["Bare soil"]),
        ("0 3", [0, 3]),
        ("0, Water", [0, "Water"]),
        ("5", [5]),
    ],
)
def test_lists_of_names_and_numbers_are_read(text: str, expected: list[Any]) -> None:
    assert parsed({"ignore_classes": text}) == {"ignore_classes": expected}


def test_words_are_found_in_any_case() -> None:
    assert parsed("mtl_model LinkNet;monitor Accuracy") == {"mtl_model": "linknet", "monitor": "accuracy"}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("focus_loss true", "focal_loss"),
        ("grid 4", "grids"),
        ("zoom 2", "zooms"),
        ("decoder_params {dropout: 0}", "decode_params"),
        ("thresh 0.5", "gaussian_thresh"),
    ],
)
def test_aliases_of_the_page_and_of_the_type_are_accepted(text: str, field: str) -> None:
    assert list(parsed(text)) == [field]


def test_an_alias_beside_its_argument_is_refused() -> None:
    assert refusal("focus_loss true;focal_loss false") == (
        "focus_loss and focal_loss are the same argument of TOY; give one of them."
    )


def test_an_argument_given_twice_is_refused() -> None:
    assert refusal("zooms 1;ZOOMS 2") == "Argument zooms is given twice: '1' and '2'. Keep one."


def test_an_unknown_argument_suggests_the_nearest() -> None:
    sentence = refusal("gausian_thresh 0.5")
    assert sentence.startswith(
        "TOY has no argument 'gausian_thresh'. Did you mean gaussian_thresh? Its arguments are chip_size, "
    )
    assert sentence.endswith("ignore_classes and even.")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("gaussian_thresh 1.4", "Argument gaussian_thresh of TOY is '1.4'; expected a number from 0 to 1."),
        ({"gaussian_thresh": True}, "Argument gaussian_thresh of TOY is True; expected a number from 0 to 1."),
        ("gaussian_thresh 0,76", "Argument gaussian_thresh of TOY is '0,76'; expected a number from 0 to 1."),
        ("chip_size 8", "Argument chip_size of TOY is '8'; expected a whole number of at least 16."),
        ("grids '4 0'", "Argument grids of TOY is '4 0'; expected a list of whole numbers of at least 1."),
        ("zooms abc", "Argument zooms of TOY is 'abc'; expected a list of numbers."),
        ("mtl_model foo", "Argument mtl_model of TOY is 'foo'; expected one of hourglass, linknet."),
        ("focal_loss maybe", "Argument focal_loss of TOY is 'maybe'; expected True or False."),
        ("decode_params {dropout: 2}", "Argument decode_params.dropout of TOY is 2; expected a number from 0 to 1."),
        ("even 3", "Argument even of TOY is '3': an even number is needed."),
        ("monitor acc", "TOY cannot monitor 'acc'. It can monitor valid_loss and accuracy."),
        ("monitor acuracy", "TOY cannot monitor 'acuracy'. Did you mean accuracy? It can monitor valid_loss and accuracy."),
        ("zooms [1,2", "In 'zooms [1,2' a closing ] is missing."),
        (["monitor", "accuracy"], "Argument 'monitor' has no value; write monitor=VALUE."),
        (7, 'Arguments are 7; expected "name value;name value", a list of pairs, or a dictionary.'),
        ([5], 'Argument 5 cannot be read; write "name value" or a pair (name, value).'),
    ],
)
def test_what_does_not_fit_is_told_in_one_sentence(raw: Any, sentence: str) -> None:
    assert refusal(raw) == sentence


def test_one_fault_is_told_though_other_values_need_a_second_reading() -> None:
    assert refusal("name 12;zooms abc") == "Argument zooms of TOY is 'abc'; expected a list of numbers."


def test_raw_arguments_need_no_model_type() -> None:
    assert raw_arguments("Chip-Size 224;zooms '1 2'") == {"chip_size": "224", "zooms": "1 2"}
