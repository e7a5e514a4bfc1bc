from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from toy_package import KEYS, make_spec

from chipwright.chips.chipset import ClassInfo
from chipwright.package.emd import compose_emd, emd_text, normalization_stats
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.base import Normalize

WEIGHTS = {"file": "trees.safetensors", "bytes": 10, "sha256": "0" * 64}


def compose(spec: ModelSpec | None = None, **facts: Any) -> dict[str, Any]:
    """Return an .emd as a reader gets it."""
    return json.loads(emd_text(compose_emd(spec or make_spec(), KEYS, facts, WEIGHTS)))


def test_common_keys_say_what_the_spec_says() -> None:
    emd = compose()

    assert emd["ModelFile"] == "trees.safetensors"
    assert (emd["ImageWidth"], emd["ImageHeight"]) == (320, 256)
    assert emd["ExtractBands"] == [0, 1, 2]
    assert emd["ModelFormat"] == "NCHW"
    assert emd["ImageSpaceUsed"] == "MAP_SPACE"
    assert emd["MinCellSize"] == {"x": 0.5, "y": 0.5}
    assert emd["MaxCellSize"] is None
    assert emd["ModelParameters"] == {
        "backbone": "resnet34",
        "backend": "pytorch",
        "monitor": "valid_loss",
        "class_balancing": True,
    }


def test_family_keys_are_those_of_the_model_type() -> None:
    emd = compose()

    assert {key: emd[key] for key in KEYS} == KEYS


def test_family_keys_take_precedence_over_common_ones() -> None:
    emd = compose_emd(make_spec(), {"ExtractBands": [0, 1, 2, 3, 4, 5]}, {}, WEIGHTS)

    assert emd["ExtractBands"] == [0, 1, 2, 3, 4, 5]


def test_a_metric_does_not_overwrite_a_key() -> None:
    assert compose(metrics={"Classes": 0.5})["Classes"][0]["Name"] == "Wald"


def test_raster_function_is_not_named_while_there_is_none() -> None:
    assert "InferenceFunction" not in compose()


def test_background_of_label_rasters_is_no_class() -> None:
    assert compose()["Classes"] == [
        {"Value": 2, "Name": "Wald", "Color": [56, 168, 0]},
        {"Value": 7, "Name": "Straße", "Color": [130, 130, 130]},
    ]


def test_class_value_0_of_labelled_tiles_is_a_class() -> None:
    spec = make_spec(metadata_format="Labeled_Tiles")

    assert [item["Value"] for item in compose(spec)["Classes"]] == [0, 2, 7]


def test_names_of_timm_networks_keep_their_case() -> None:
    assert compose(make_spec(backbone="timm:Weird_Net"))["ModelParameters"]["backbone"] == "timm:Weird_Net"


def test_a_type_without_backbone_names_none() -> None:
    assert "backbone" not in compose(make_spec(backbone=None))["ModelParameters"]


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1e-3, "1.0000e-03"), ((1e-4, 1e-3), "slice('1.0000e-04', '1.0000e-03', None)"), ("as given", "as given")],
)
def test_learning_rate_is_text(rate: object, text: str) -> None:
    assert compose(learning_rate=rate)["LearningRate"] == text


def test_a_learning_rate_that_is_not_known_is_left_out() -> None:
    assert "LearningRate" not in compose(learning_rate=None)


def test_accuracy_is_text_and_other_metrics_are_numbers() -> None:
    emd = compose(metrics={"accuracy": 0.91234, "miou": np.float32(0.5)})

    assert (emd["accuracy"], emd["mIoU"]) == ("9.1234e-01", 0.5)


def test_a_metric_without_value_is_no_key() -> None:
    assert "dice" not in compose(metrics={"dice": float("nan")})


def test_monitored_metric_has_its_own_key() -> None:
    assert compose(monitor="valid_loss", monitored_value=0.25)["monitored_valid_loss"] == 0.25


def test_per_class_metrics_are_json_text_by_class_name() -> None:
    rows = [
        {"class": "Wald", "value": 2, "precision": 0.5, "recall": float("nan")},
        {"class": "Wald", "value": 7, "precision": 0.25},
    ]

    table = json.loads(compose(per_class=rows)["per_class_metrics"])

    assert table == {"Wald": {"precision": 0.5}, "Wald (7)": {"precision": 0.25}}


def test_plain_rgb_has_two_flags_and_no_statistics() -> None:
    emd = compose()

    assert (emd["IsMultispectral"], emd["IsImageNetNormalization"]) == (False, True)
    assert "NormalizationStats" not in emd


def test_scaling_of_other_weights_is_not_called_imagenets() -> None:
    scaling = Normalization(mean=(127.5,) * 3, std=(127.5,) * 3, source="weights")

    assert compose(make_spec(normalization=scaling))["IsImageNetNormalization"] is False


def test_other_bands_come_with_names_and_statistics() -> None:
    scaling = Normalization(mean=(900.0, 1200.0), std=(300.0, 400.0), minimum=(0.0, 200.0), maximum=(3000.0, 4200.0))
    emd = compose(make_spec(bands=("Red", "NearInfrared"), dtype="uint16", normalization=scaling))

    assert (emd["IsMultispectral"], emd["IsImageNetNormalization"]) == (True, False)
    assert emd["Bands"] == ["Red", "NearInfrared"]
    assert emd["NormalizationStats"]["band_mean_values"] == [900.0, 1200.0]


@pytest.mark.parametrize(("minimum", "maximum"), [((100.0, 0.0), (2000.0, 500.0)), (None, None)])
def test_normalization_stats_scale_as_the_network_does(
    minimum: tuple[float, ...] | None, maximum: tuple[float, ...] | None
) -> None:
    scaling = Normalization(mean=(700.0, 90.0), std=(250.0, 40.0), minimum=minimum, maximum=maximum)
    pixels = torch.linspace(0, 65535, 64).view(1, 8, 8).expand(2, 8, 8)
    stats = normalization_stats(scaling, "uint16")
    assert stats is not None
    column = {name: torch.tensor(values).view(-1, 1, 1) for name, values in stats.items()}

    scaled = (pixels - column["band_min_values"]) / (column["band_max_values"] - column["band_min_values"])
    result = (scaled.clamp(0, 1) - column["scaled_mean_values"]) / column["scaled_std_values"]

    torch.testing.assert_close(result, Normalize(scaling)(pixels), rtol=1e-4, atol=1e-4)


def test_floating_point_pixels_without_limits_have_no_such_statistics() -> None:
    assert normalization_stats(Normalization(mean=(0.5,), std=(0.1,)), "float32") is None


def test_a_band_without_contrast_divides_by_nothing() -> None:
    stats = normalization_stats(Normalization(mean=(5.0,), std=(1.0,), minimum=(5.0,), maximum=(5.0,)), "uint8")

    assert stats is not None
    assert stats["scaled_std_values"] == [1.0]


def test_text_is_ascii_with_four_spaces() -> None:
    text = emd_text(compose_emd(make_spec(), KEYS, {}, WEIGHTS))

    assert text.isascii()
    assert '\n    "ModelFile": "trees.safetensors",\n' in text


def test_classes_without_a_name_are_kept() -> None:
    spec = make_spec(classes=(ClassInfo(value=1, name="", color=(1, 2, 3)),))

    assert compose(spec)["Classes"] == [{"Value": 1, "Name": "", "Color": [1, 2, 3]}]
