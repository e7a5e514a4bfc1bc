"""IMAGECAPTIONER: a sentence that says what a chip shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from chipwright.chips.chipset import ChipSet
from chipwright.errors import DataError, OptionError, listed
from chipwright.models.base import Arguments, BackboneArguments, BackboneRule, ModelType, Tiny
from chipwright.spec import ModelSpec
from chipwright.tasks.words import LENGTHS, SPECIAL, Vocabulary, words_of

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights
    from chipwright.tasks.base import Task


class DecodeParams(BaseModel):
    """How captions are made."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    embed_size: int = Field(100, ge=1, le=4096)
    hidden_size: int = Field(100, ge=1, le=4096)
    attention_size: int = Field(100, ge=1, le=4096)
    teacher_forcing: float = Field(1, ge=0, le=1)
    dropout: float = Field(0.1, ge=0, le=1)
    pretrained_emb: bool | str = False

    @field_validator("pretrained_emb", mode="before")
    @classmethod
    def _truth_or_path(cls, value: Any) -> Any:
        """Take True and False also as text; any other text is the path of a file."""
        if isinstance(value, Path):
            return str(value)
        return {"true": True, "false": False, "": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


class ImageCaptionerArguments(BackboneArguments):
    """Arguments of IMAGECAPTIONER."""

    chip_size: int | None = Field(
        224, ge=16, description="Side in pixels of the crop that is trained on; tiles that are smaller keep their size."
    )
    decode_params: DecodeParams = Field(
        DecodeParams.model_validate({}),
        description="Dictionary of embed_size, hidden_size and attention_size (widths of words, memory and attention), "
        "teacher_forcing (chance of the true word before, 0 to 1), dropout (0 to 1) and pretrained_emb (False, or the path "
        "of a fastText .vec file of embed_size values a word).",
    )


class ImageCaptionerModel(ModelType):
    """Show, Attend and Tell with soft attention."""

    keyword = "IMAGECAPTIONER"
    title = "Image captioner (image to text)"
    paper = (
        "Xu et al.: Show, Attend and Tell: Neural Image Caption Generation with Visual Attention. ICML 2015, arXiv:1502.03044"
    )
    formats = ("ImageCaptioning",)
    data_hint = "Captions are Multi-labeled Tiles whose label field is Caption, or images beside a JSON file as RSICD has it."
    arguments: ClassVar[type[Arguments]] = ImageCaptionerArguments
    monitors = ("valid_loss", "accuracy", "corpus_bleu", "multi_label_fbeta")
    backbones = BackboneRule("RESNET34")
    smallest_batch = 2
    tiny = Tiny(arguments={"decode_params": {"embed_size": 32, "hidden_size": 32, "attention_size": 16}}, learning_rate=1e-2)
    no_onnx = "captions come out of a search word by word, not of one pass through a network."
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_image_captioner_inference",
        "ModelType": "ImageCaptioner",
        "ModelName": "ImageCaptioner",
        "SupportsVariableTileSize": False,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` for captions without a word, `OptionError` for word vectors that do not fit."""
        assert isinstance(arguments, ImageCaptionerArguments)
        wordless = [chip.name for chip in chips.chips if not all(words_of(text) for text in chip.texts)]
        if wordless:
            raise DataError(
                f"{listed(chips.folders)}: captions without a word (signs alone) of {listed(wordless)}; expected a sentence. "
                "Write captions, or take these chips out."
            )
        path = vectors_file(arguments.decode_params)
        if path is None:
            return
        from chipwright.networks.word_vectors import vector_width

        width, size = vector_width(path), arguments.decode_params.embed_size
        if width != size:
            raise OptionError(
                f"The word vectors {path} have {width} values each, but embed_size of decode_params is {size}. "
                f"Set embed_size to {width}, or give vectors of {size} values."
            )

    def chip_size(self, chips: ChipSet, arguments: Arguments) -> tuple[int, int]:
        """Return the size asked for, or the tile's where that is smaller."""
        width, height = super().chip_size(chips, arguments)
        return min(width, chips.tile_size[0]), min(height, chips.tile_size[1])

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `vocabulary`, the words by number, `longest`, the most words said, and `notes`.

        A fine-tuned model keeps its words.
        """
        captions = [text for chip in chips.chips for text in chip.texts]
        vocabulary = Vocabulary(earlier["vocabulary"]) if earlier else Vocabulary.fit(captions)
        words = {word for text in captions for word in words_of(text)}
        unknown = sum(word not in vocabulary for word in words)
        least, most = LENGTHS
        longest = min(max(least, *(len(words_of(text)) for text in captions)), most)
        source = "the pretrained model" if earlier else f"{len(captions)} captions"
        note = f"Vocabulary: {len(vocabulary) - len(SPECIAL)} words of {source}"
        note += f"; {unknown} of the captions' {len(words)} are too rare for it or new, and are never said." if unknown else "."
        return {"vocabulary": list(vocabulary.tokens), "longest": longest, "notes": [note]}

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network."""
        from chipwright.networks.captioner import Captioner

        params = DecodeParams.model_validate(spec.arguments["decode_params"])
        return Captioner(
            self.backbone(spec, weights),
            len(spec.fitted["vocabulary"]),
            embed_size=params.embed_size,
            hidden_size=params.hidden_size,
            attention_size=params.attention_size,
            dropout=params.dropout,
        )

    def initialize(self, network: nn.Module, spec: ModelSpec) -> list[str]:
        """Give words the vectors of `pretrained_emb`, and those that it has not a random start of the same spread."""
        path = vectors_file(DecodeParams.model_validate(spec.arguments["decode_params"]))
        if path is None:
            return []
        import numpy as np
        import torch

        from chipwright.networks.captioner import Captioner
        from chipwright.networks.word_vectors import read_vectors

        assert isinstance(network, Captioner)
        words = spec.fitted["vocabulary"]
        vectors = read_vectors(path, words)
        if not vectors:
            raise OptionError(f"The word vectors {path} hold none of the captions' words. Give vectors of their language.")
        table = network.decoder.embedding.weight
        with torch.no_grad():
            table.mul_(float(np.std(list(vectors.values()))))
            for number, word in enumerate(words):
                if word in vectors:
                    table[number] = torch.from_numpy(vectors[word])
        return [f"Word vectors: {len(vectors)} of {len(words) - len(SPECIAL)} words are in {path.name}."]

    def task(self, spec: ModelSpec) -> Task:
        """Return captioning."""
        from chipwright.tasks.captions import CaptionTask

        return CaptionTask(spec)

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys: how captions are made, how bands are scaled, and how chips are cut."""
        params = dict(spec.arguments["decode_params"])
        scaling = spec.normalization
        return super().emd_keys(spec) | {
            "decoder_params": params | {"pretrained_emb": bool(params["pretrained_emb"])},
            "DataAttributes": {"norm_stats": [list(scaling.mean), list(scaling.std)]},
            "CropSizeFixed": 1,
            "SingleLabelFieldFound": "Caption",
        }


def vectors_file(params: DecodeParams) -> Path | None:
    """Return the file of word vectors, if any.

    Raises:
        OptionError: for True, which names none.
    """
    if params.pretrained_emb is True:
        raise OptionError(
            "pretrained_emb is True, but no vectors come with chipwright, nor are any downloaded. Give the path of a fastText "
            ".vec file, such as {'pretrained_emb': 'cc.en.300.vec', 'embed_size': 300}."
        )
    return Path(params.pretrained_emb) if params.pretrained_emb else None


IMAGECAPTIONER = ImageCaptionerModel()
