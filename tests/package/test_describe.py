from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_package import Saver, make_spec

from chipwright.errors import PackageError
from chipwright.package import describe_package, open_package, pack
from chipwright.spec import Normalization

UNET = {
    "Framework": "arcgis.learn.models._inferencing",
    "ModelConfiguration": "_unet",
    "ModelType": "ImageClassification",
    "InferenceFunction": "[Functions]System\\DeepLearning\\ArcGISLearn\\ArcGISImageClassifier.py",
    "ExtractBands": [0, 1, 2],
    "Classes": [{"Value": 1, "Name": "Palm", "Color": [10, 20, 30]}, {"Value": 4, "Name": "Rock"}],
    "ArcGISLearnVersion": "1.8.4",
    "ModelFile": ".\\palms.pth",
    "ImageHeight": 400,
    "ImageWidth": 480,
    "ImageSpaceUsed": "MAP_SPACE",
    "LearningRate": "slice('1.0000e-04', '1.0000e-03', None)",
    "ModelName": "UnetClassifier",
    "ModelParameters": {"backbone": "resnet34", "backend": "pytorch"},
    "accuracy": "9.5434e-01",
    "IsMultispectral": False,
}
"""As arcgis.learn writes it; never opened by it here."""


def foreign(folder: Path, **changes: Any) -> Path:
    """Write a package of the reference and return its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "palms.pth").write_bytes(b"never read")
    (folder / "palms.emd").write_text(json.dumps(UNET | changes))
    return folder


def refusal(path: Path) -> str:
    """Return why a package is not opened."""
    with pytest.raises(PackageError) as caught:
        open_package(path)
    return str(caught.value)


# -- our own


def test_our_own_package_says_what_the_spec_says(saved: Saver) -> None:
    described = describe_package(saved(metrics={"accuracy": 0.9, "dice": math.nan}))

    assert described["trained_by"] == "chipwright"
    assert (described["model_type"], described["backbone"]) == ("UNET", "RESNET34")
    assert [item["name"] for item in described["classes"]] == ["Background", "Wald", "Straße"]
    assert (described["bands"], described["dtype"]) == (["Red", "Green", "Blue"], "uint8")
    assert described["tile_size"] == [320, 256]
    assert described["normalization"]["mean"] == [123.675, 116.28, 103.53]
    assert described["metrics"] == {"accuracy": 0.9, "dice": None}
    assert (described["loadable"], described["note"]) == (True, None)


def test_an_archive_is_described_like_its_folder(saved: Saver) -> None:
    folder = saved()
    archive = pack(folder, "trees")

    assert describe_package(archive) | {"source": None} == describe_package(folder) | {"source": None}


def test_a_description_is_json_whatever_the_numbers(saved: Saver) -> None:
    endless = Normalization(mean=(0.0,) * 3, std=(1.0,) * 3, minimum=(-math.inf,) * 3, maximum=(math.inf,) * 3)

    json.dumps(describe_package(saved(spec=make_spec(normalization=endless))), allow_nan=False)


def test_a_package_without_its_weights_is_described_but_not_loadable(saved: Saver) -> None:
    folder = saved()
    (folder / "trees.safetensors").unlink()

    described = describe_package(folder)

    assert (described["weights_found"], described["loadable"]) == (False, False)
    assert "missing" in described["note"]


# -- the reference's


def test_a_package_of_the_reference_shows_what_it_knows(tmp_path: Path) -> None:
    described = describe_package(foreign(tmp_path / "palms"))

    assert described["trained_by"] == "ArcGIS"
    assert (described["model_type"], described["backbone"]) == ("UNET", "resnet34")
    assert described["classes"] == [
        {"value": 1, "name": "Palm", "color": [10, 20, 30]},
        {"value": 4, "name": "Rock", "color": None},
    ]
    assert (described["bands"], described["tile_size"]) == ([0, 1, 2], [480, 400])
    assert described["metrics"] == {"accuracy": 0.95434}
    assert described["weights_found"] is True
    assert described["loadable"] is False


def test_its_8_bit_scaling_is_imagenets(tmp_path: Path) -> None:
    scaling = describe_package(foreign(tmp_path))["normalization"]

    assert (scaling["kind"], scaling["mean"]) == ("imagenet", [123.675, 116.28, 103.53])


def test_its_multispectral_scaling_is_told_in_the_units_of_the_files(tmp_path: Path) -> None:
    stats = {
        "band_min_values": [100.0, 0.0],
        "band_max_values": [1100.0, 2000.0],
        "scaled_mean_values": [0.5, 0.25],
        "scaled_std_values": [0.1, 0.2],
    }

    scaling = describe_package(foreign(tmp_path, IsMultispectral=True, NormalizationStats=stats))["normalization"]

    assert scaling["mean"] == pytest.approx([600.0, 500.0])
    assert scaling["std"] == pytest.approx([100.0, 400.0])
    assert (scaling["minimum"], scaling["maximum"]) == ([100.0, 0.0], [1100.0, 2000.0])


def test_opening_it_says_whose_it_is(tmp_path: Path) -> None:
    text = refusal(foreign(tmp_path))

    assert "was trained by ArcGIS (UNET)" in text
    assert "cannot be loaded" in text
    assert "chipwright inspect" in text


@pytest.mark.parametrize(
    ("changes", "keyword"),
    [
        ({"ModelConfiguration": "_maskrcnn_inferencing"}, "MASKRCNN"),
        ({"ModelConfiguration": "_deeplab_infrencing"}, "DEEPLAB"),
        ({"ModelConfiguration": "_model_extension_inferencing", "ModelName": "FasterRCNN"}, "FASTERRCNN"),
    ],
)
def test_types_that_will_load_say_not_yet(tmp_path: Path, changes: dict[str, str], keyword: str) -> None:
    assert f"Weights of its {keyword} cannot be loaded by this version of chipwright yet" in refusal(
        foreign(tmp_path, **changes)
    )


@pytest.mark.parametrize(
    ("name", "keyword"), [("HEDEdgeDetector", "HED_EDGEDETECTOR"), ("MMDetection", "MMDETECTION"), ("Other", None)]
)
def test_extensions_are_told_by_their_name(tmp_path: Path, name: str, keyword: str | None) -> None:
    folder = foreign(tmp_path, ModelConfiguration="_model_extension_inferencing", ModelName=name)

    assert describe_package(folder)["model_type"] == keyword


def test_a_package_of_another_program_is_told_apart(tmp_path: Path) -> None:
    folder = foreign(tmp_path, Framework="TensorFlow", ArcGISLearnVersion=None)
    emd = json.loads((folder / "palms.emd").read_text())
    del emd["ArcGISLearnVersion"]
    (folder / "palms.emd").write_text(json.dumps(emd))

    assert describe_package(folder)["trained_by"] == "unknown"
    assert "not written by chipwright" in refusal(folder)


# -- training data


def test_training_data_is_no_model(data: Path) -> None:
    path = data / "export_tiles_naip" / "esri_model_definition.emd"

    for use in (open_package, describe_package):
        with pytest.raises(PackageError, match="describes training data, not a trained model"):
            use(path)


def test_training_data_without_placeholders_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "esri_model_definition.emd").write_text(json.dumps({"MetaDataMode": "RCNN_Masks", "Classes": []}))

    assert "describes training data" in refusal(tmp_path)


# -- anything at all

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "backbone"]), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(changes=st.dictionaries(st.sampled_from([*UNET, "NormalizationStats", "MinCellSize", "FID"]), junk, max_size=5))
def test_whatever_a_foreign_emd_holds_is_described_as_json_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    folder = foreign(tmp_path_factory.getbasetemp() / "junk", **changes)

    try:
        described = describe_package(folder)
    except PackageError:
        return
    json.dumps(described, allow_nan=False)


def test_of_a_type_with_several_networks_it_is_said_which_one_it_is(saved: Saver, tmp_path: Path) -> None:
    described = describe_package(saved(spec=make_spec(model_type="MMSEGMENTATION", arguments={"model": "cgnet"})))
    assert described["network"] == "cgnet"
    assert describe_package(foreign(tmp_path / "theirs", Kwargs={"model": "upernet"}))["network"] == "upernet"
    assert describe_package(foreign(tmp_path / "odd", Kwargs={"model": ["upernet"]}))["network"] is None
