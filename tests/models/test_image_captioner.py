"""IMAGECAPTIONER as a row of the catalog: arguments, checks, what is fitted, and word vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pair_builders import caption_tiles, captioned_scenes

import chipwright
from chipwright import catalog, console
from chipwright.chips.chipset import ChipSet
from chipwright.chips.folders import read_chips
from chipwright.errors import DataError, OptionError
from chipwright.models.image_captioner import IMAGECAPTIONER, ImageCaptionerArguments
from chipwright.models.parsing import parse_arguments
from chipwright.networks.captioner import Captioner
from chipwright.spec import ModelSpec, Normalization
from chipwright.tasks.words import SPECIAL


@pytest.fixture(autouse=True)
def _silence() -> Any:
    with console.quiet():
        yield


def arguments(raw: Any = "") -> ImageCaptionerArguments:
    return parse_arguments(raw, ImageCaptionerArguments, "IMAGECAPTIONER", IMAGECAPTIONER.monitors)


def spec_of(chips: ChipSet, given: ImageCaptionerArguments) -> ModelSpec:
    return ModelSpec(
        model_type="IMAGECAPTIONER",
        arguments=given.model_dump(),
        backbone="timm:test_resnet",
        bands=chips.bands,
        dtype=chips.dtype,
        chip_size=IMAGECAPTIONER.chip_size(chips, given),
        normalization=Normalization(mean=chips.statistics.mean, std=chips.statistics.std),
        statistics=chips.statistics,
        metadata_format=chips.format,
        fitted=IMAGECAPTIONER.fit(chips, given),
    )


def vectors(path: Path, width: int, *words: str) -> Path:
    lines = [f"{len(words)} {width}", *(" ".join([word, *["0.25"] * width]) for word in words)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_defaults_are_the_references() -> None:
    given = arguments()
    assert given.chip_size == 224
    assert given.decode_params.model_dump() == {
        "embed_size": 100, "hidden_size": 100, "attention_size": 100,
        "teacher_forcing": 1, "dropout": 0.1, "pretrained_emb": False,
    }  # fmt: skip
    assert catalog.pick("ImageCaptioning") == "IMAGECAPTIONER"


def test_the_dictionary_is_read_as_users_write_it() -> None:
    text = "decoder_params {'embed_size': 50, 'teacher_forcing': 0.5, 'pretrained_emb': 'False'};monitor corpus_bleu"
    given = arguments(text)
    assert given.decode_params.embed_size == 50
    assert given.decode_params.hidden_size == 100
    assert given.decode_params.teacher_forcing == 0.5
    assert given.decode_params.pretrained_emb is False


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"teacher_forcing": 1.5}, r"decode_params.teacher_forcing of IMAGECAPTIONER is 1.5; expected a number from 0 to 1"),
        ({"dropout": -1}, r"decode_params.dropout of IMAGECAPTIONER is -1; expected a number from 0 to 1"),
        ({"embed_size": 0}, r"decode_params.embed_size of IMAGECAPTIONER is 0; expected a whole number"),
        ({"hidden": 3}, "no entry 'hidden'"),
    ],
)
def test_entries_that_do_not_fit_are_named(params: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        arguments({"decode_params": params})


def test_tiles_smaller_than_the_chip_size_keep_their_size(tmp_path: Path) -> None:
    chips = read_chips([captioned_scenes(tmp_path / "chips", count=4, size=48)])
    assert IMAGECAPTIONER.chip_size(chips, arguments()) == (48, 48)
    assert IMAGECAPTIONER.chip_size(chips, arguments("chip_size 32")) == (32, 32)


def test_captions_without_a_word_are_refused(tmp_path: Path) -> None:
    chips = read_chips([caption_tiles(tmp_path / "chips", [["a road"], ["..."]])])
    with pytest.raises(DataError, match=r"captions without a word .* of 000000000001; expected a sentence"):
        IMAGECAPTIONER.check(chips, arguments())


def test_chips_without_captions_are_refused(tmp_path: Path) -> None:
    folder = caption_tiles(tmp_path / "chips", [["  "], ["  "]])
    with pytest.raises(DataError, match=r"None of the 2 chips .* has a caption"):
        chipwright.train(folder, tmp_path / "out", model_type="IMAGECAPTIONER")
    assert not (tmp_path / "out").exists()


def test_words_and_lengths_are_fitted_and_kept_when_fine_tuned(tmp_path: Path) -> None:
    chips = read_chips([captioned_scenes(tmp_path / "chips", count=6)])
    fitted = IMAGECAPTIONER.fit(chips, arguments())
    assert fitted["vocabulary"][: len(SPECIAL)] == list(SPECIAL)
    assert {"chip", "full", "middle"} <= set(fitted["vocabulary"])
    assert fitted["longest"] == 20
    other = replace(chips, chips=tuple(replace(chip, texts=("word " * 30 + "chip",)) for chip in chips.chips))
    again = IMAGECAPTIONER.fit(other, arguments(), fitted)
    assert again["vocabulary"] == fitted["vocabulary"]
    assert again["longest"] == 31
    assert "1 of the captions' 2" in again["notes"][0]


def test_word_vectors_fill_the_embedding(tmp_path: Path) -> None:
    chips = read_chips([captioned_scenes(tmp_path / "chips", count=6)])
    path = vectors(tmp_path / "words.vec", 12, "chip", "middle", "nowhere")
    given = arguments({"decode_params": {"embed_size": 12, "pretrained_emb": str(path)}})
    IMAGECAPTIONER.check(chips, given)
    spec = spec_of(chips, given)
    network = IMAGECAPTIONER.build(spec, None)
    assert isinstance(network, Captioner)
    notes = IMAGECAPTIONER.initialize(network, spec)
    table, words = network.decoder.embedding.weight, spec.fitted["vocabulary"]
    for number, word in enumerate(words):
        assert torch.equal(table[number], torch.full((12,), 0.25)) == (word in ("chip", "middle"))
    assert notes == [f"Word vectors: 2 of {len(words) - len(SPECIAL)} words are in words.vec."]
    assert IMAGECAPTIONER.emd_keys(spec)["decoder_params"]["pretrained_emb"] is True


def test_vectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    chips = read_chips([captioned_scenes(tmp_path / "chips", count=4)])
    path = str(vectors(tmp_path / "words.vec", 12, "chip"))
    with pytest.raises(OptionError, match=r"words\.vec have 12 values each, but embed_size of decode_params is 100. Set"):
        IMAGECAPTIONER.check(chips, arguments({"decode_params": {"pretrained_emb": path}}))
    with pytest.raises(OptionError, match=r"pretrained_emb is True, but .* Give the path of a fastText \.vec file"):
        IMAGECAPTIONER.check(chips, arguments({"decode_params": {"pretrained_emb": True}}))
    foreign = str(vectors(tmp_path / "foreign.vec", 100, "strasse"))
    spec = spec_of(chips, arguments({"decode_params": {"pretrained_emb": foreign}}))
    with pytest.raises(OptionError, match="hold none of the captions' words"):
        IMAGECAPTIONER.initialize(IMAGECAPTIONER.build(spec, None), spec)


@pytest.mark.slow
def test_a_trained_model_names_what_it_sees_without_the_file_of_vectors(tmp_path: Path) -> None:
    chips = captioned_scenes(tmp_path / "chips", count=24, size=64)
    path = vectors(tmp_path / "words.vec", 32, "chip", "middle")
    result = chipwright.train(
        chips, tmp_path / "model", model_type="IMAGECAPTIONER", backbone_model="timm:test_resnet", backbone_weights="none",
        max_epochs=25, batch_size=6, learning_rate=1e-2, validation_percentage=25, stop_training=False, processor_type="CPU",
        arguments={"decode_params": {"embed_size": 32, "hidden_size": 32, "pretrained_emb": str(path)}},
    )  # fmt: skip
    assert result.metrics["corpus_bleu"] > 0.9
    assert result.metrics["cider"] > 1
    path.unlink()
    loaded = chipwright.load(tmp_path / "model", processor_type="CPU")
    said = loaded.predict([np.full((3, 64, 64), 120, np.uint8)])[0]
    assert said.text
    assert 0 < said.score <= 1
