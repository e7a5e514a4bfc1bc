from __future__ import annotations

import json
import shutil
from pathlib import Path

import builders
import numpy as np
import pair_builders
import pytest

from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.chips.reading import ChipReader
from chipwright.chips.split import split_chips
from chipwright.errors import DataError


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as found:
        read_chips(folder)
    return str(found.value)


def domains(chips: ChipSet, indices: tuple[int, ...]) -> list[int]:
    return np.bincount([chips.chips[index].domain for index in indices]).tolist()


def test_chips_of_both_domains_stand_in_one_set(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.cyclegan(tmp_path, (2, 3)))
    assert (chips.format, chips.classes, chips.folders) == ("CycleGAN", (), (tmp_path,))
    assert [(chip.name, chip.domain) for chip in chips.chips] == [
        ("A/000000000000", 0),
        ("A/000000000001", 0),
        ("B/000000000000", 1),
        ("B/000000000001", 1),
        ("B/000000000002", 1),
    ]
    assert (chips.account.kept, chips.account.warnings) == (5, [])


def test_each_domain_has_its_own_bands_and_statistics(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.cyclegan(tmp_path, bands=(3, 2)))
    assert chips.second is not None
    assert (len(chips.bands), len(chips.second.bands)) == (3, 2)
    assert max(chips.statistics.mean) < 100 < min(chips.second.statistics.mean)


def test_domains_may_differ_in_size(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path / "A", size=32, mode="CycleGAN")
    pair_builders.export_tiles(tmp_path / "B", size=48, mode="CycleGAN")
    chips = read_chips(tmp_path)
    assert chips.second is not None
    assert (chips.tile_size, chips.second.tile_size) == ((32, 32), (48, 48))


def test_nodata_of_b_is_that_of_its_chips(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path / "A", mode="CycleGAN")
    pair_builders.export_tiles(tmp_path / "B", mode="CycleGAN", nodata=(7, None))
    chips = read_chips(tmp_path)
    reader = ChipReader.of(chips)
    assert reader.valid(chips.chips[0]) is None
    valid = reader.valid(chips.chips[-1])
    assert valid is not None
    assert not valid[:8, :8].any()


def test_the_layout_of_old_is_read(tmp_path: Path) -> None:
    for name, count in (("train_a", 2), ("train_b", 3)):
        for index in range(count):
            image = pair_builders.noise(3, 32, "uint8", np.random.default_rng(index))
            builders.write_raster(tmp_path / "Images" / name / f"{index}.png", image)
    chips = read_chips(tmp_path)
    assert (chips.format, domains(chips, tuple(range(5)))) == ("CycleGAN", [2, 3])
    assert chips.statistics.source == "computed"


def test_sentences_say_which_domain(tmp_path: Path) -> None:
    pair_builders.cyclegan(tmp_path, (8, 8))
    (tmp_path / "B" / "map.txt").unlink()
    (tmp_path / "B" / "images" / "000000000001.tif").write_bytes(b"II*\0")
    account = read_chips(tmp_path).account
    assert account.dropped == {"cannot be read": ["B/000000000001.tif"]}
    assert account.warnings[0].startswith("There is no map.txt in") and str(tmp_path / "B") in account.warnings[0]
    assert account.warnings[1] == "B: Dropped 1 of 8 chips (cannot be read): 000000000001.tif."


def test_an_empty_domain_is_refused(tmp_path: Path) -> None:
    pair_builders.cyclegan(tmp_path)
    for path in (tmp_path / "A" / "images").iterdir():
        path.unlink()
    assert f"{tmp_path / 'A' / 'images'} holds no chips: it is empty" in refusal(tmp_path)
    (tmp_path / "A" / "images").rmdir()
    assert f"{tmp_path / 'A'} holds no chips: it holds" in refusal(tmp_path)


def test_a_missing_domain_is_refused(tmp_path: Path) -> None:
    pair_builders.cyclegan(tmp_path)
    shutil.rmtree(tmp_path / "B")
    assert f"no export of the other beside it: expected both A and B in {tmp_path}" in refusal(tmp_path)


def test_metadata_without_either_domain_are_refused(tmp_path: Path) -> None:
    pair_builders.export_tiles(tmp_path, mode="CycleGAN")
    assert "has not both folders A and B" in refusal(tmp_path)


def test_one_domain_given_alone_points_to_the_folder_above(tmp_path: Path) -> None:
    pair_builders.cyclegan(tmp_path)
    assert f"give the folder above it, {tmp_path}" in refusal(tmp_path / "B")


def test_exports_of_other_formats_named_a_and_b_are_told(tmp_path: Path) -> None:
    for name in "AB":
        builders.voc(tmp_path / name, count=2)
    assert "A is an export of its own in the format 'PASCAL_VOC_rectangles'" in refusal(tmp_path)


def test_chips_of_one_domain_must_be_alike(tmp_path: Path) -> None:
    pair_builders.cyclegan(tmp_path)
    builders.write_raster(tmp_path / "B" / "images" / "000000000001.tif", np.zeros((3, 16, 32), "uint8"))
    assert f"The chips in {tmp_path / 'B'} differ in size" in refusal(tmp_path)


@pytest.mark.parametrize("percentage", [1, 10, 25, 90])
def test_each_domain_is_split_in_proportion(tmp_path: Path, percentage: float) -> None:
    chips = read_chips(pair_builders.cyclegan(tmp_path, (4, 12)))
    for seed in range(5):
        split = split_chips(chips, percentage, None, seed)
        training, validation = domains(chips, split.training), domains(chips, split.validation)
        assert [a + b for a, b in zip(training, validation, strict=True)] == [4, 12]
        share = [min(max(round(count * percentage / 100), 1), count - 1) for count in (4, 12)]
        assert validation == share
    assert "at random within each domain" in split.sentence


def test_a_single_chip_in_a_domain_cannot_be_split(tmp_path: Path) -> None:
    chips = read_chips(pair_builders.cyclegan(tmp_path, (1, 12)))
    with pytest.raises(DataError, match="There is 1 chip in A, so no sample is left for validation"):
        split_chips(chips, 10, None, 0)


def test_metadata_without_a_format_are_taken_for_a_domain_s(tmp_path: Path) -> None:
    pair_builders.cyclegan(tmp_path)
    for name in ("esri_model_definition.emd", "esri_accumulated_stats.json"):
        path = tmp_path / "A" / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"MetaDataMode": "e.g. x"}))
    assert len(read_chips(tmp_path)) == 10


def test_real_domains(data: Path) -> None:
    chips = read_chips(data / "cyclegan_naip")
    assert (chips.format, len(chips), chips.tile_size) == ("CycleGAN", 120, (128, 128))
    assert domains(chips, tuple(range(120))) == [60, 60]
    assert (chips.account.dropped, chips.account.warnings) == ({}, [])
    assert chips.second is not None
    assert chips.second.statistics.source == "export"
    split = split_chips(chips, 10, "block", 42)
    assert len(domains(chips, split.validation)) == len(domains(chips, split.training)) == 2
