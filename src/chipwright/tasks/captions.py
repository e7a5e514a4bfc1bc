"""Captions of whole chips: samples, losses, captions found by beam search, and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from chipwright.chips.augmentation.pixels import fill_invalid
from chipwright.chips.augmentation.scene import Scene, apply
from chipwright.chips.chipset import Chip
from chipwright.chips.display import Panel, to_rgb
from chipwright.networks.captioner import Captioner
from chipwright.spec import ModelSpec
from chipwright.tasks.base import Batch, Networks, Phase, Reader, Sample, Task
from chipwright.tasks.caption_metrics import Caption, CaptionMetrics
from chipwright.tasks.words import END, LENGTHS, PAD, START, UNKNOWN, Vocabulary


class CaptionTask(Task):
    """Draws chips with all their captions, and trains, applies and measures a `Captioner`.

    Reads from `ModelSpec.arguments`: decode_params.teacher_forcing; and from `ModelSpec.fitted`: vocabulary, longest.

    A sample holds "image" (bands, height, width) in the file's dtype, "captions", int64 (captions, longest) numbers of words
    from `START` to `END`, filled with `PAD`, and "references", the captions as they were written. A prediction is a `Caption`.

    Of several captions of a chip a training step takes one at random; measuring takes all.
    """

    augmentation = "captions"
    default_learning_rate = 2e-3
    gradient_clip = 5.0
    listed_keys = frozenset({"captions"})
    higher_is_better = frozenset({"accuracy", "corpus_bleu", "bleu_1", "bleu_2", "bleu_3", "cider", "multi_label_fbeta"})

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.vocabulary = Vocabulary(spec.fitted["vocabulary"])
        self.longest = min(int(spec.fitted["longest"]), LENGTHS[1])
        self.teacher_forcing = float(spec.arguments.get("decode_params", {}).get("teacher_forcing", 1))

    # -- samples

    def draw(self, unit: Chip, reader: Reader, rng: np.random.Generator, augment: bool) -> Sample:
        """Return the chip's image, changed at random if `augment`, and all its captions. Pixels without data get the mean."""
        recipe = self.recipes[augment]
        image = fill_invalid(reader.image(unit), reader.valid(unit), recipe.tones[0].fill)
        captions = [torch.tensor(self.vocabulary.encode(text)) for text in unit.texts]
        return {
            "image": apply(Scene([image]), recipe, rng).images[0],
            "captions": pad_sequence(captions, batch_first=True, padding_value=PAD),
            "references": unit.texts,
        }

    # -- learning

    def losses(self, networks: Networks, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """Return the cross-entropy of the next words of one caption a chip."""
        # drawn here and not with the sample, so that chips without other random changes show all their captions, too
        chosen = [captions[int(torch.randint(len(captions), ()))] for captions in batch["captions"]]
        words = _trimmed(pad_sequence(chosen, batch_first=True, padding_value=PAD))
        logits = networks["network"](batch["image"], words[:, :-1], self.teacher_forcing)
        return {"caption": self._loss(logits, words[:, 1:])}

    def _loss(self, logits: Tensor, following: Tensor) -> Tensor:
        return F.cross_entropy(logits.float().flatten(0, 1), following.flatten(), ignore_index=PAD)

    # -- measuring

    def validate(self, network: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Sequence[Caption]]:
        """Return the loss over all captions and what the network says itself; each image is looked at once."""
        captioner = cast(Captioner, network)
        features = captioner.encode(batch["image"])
        counts = torch.tensor([len(captions) for captions in batch["captions"]])
        rows = [row for captions in batch["captions"] for row in captions]
        words = _trimmed(pad_sequence(rows, batch_first=True, padding_value=PAD))
        owners = torch.repeat_interleave(counts).to(features.device)
        following = words[:, 1:]
        logits = captioner.decoder(features[owners], words[:, :-1])
        known = following != PAD
        right = ((logits.argmax(2) == following) & known).sum(1)
        found = []
        for number, (text, score) in enumerate(self._said(captioner, features)):
            mine = owners == number
            found.append(Caption(text, score, int(right[mine].sum()), int(known[mine].sum())))
        return {"caption": self._loss(logits, following)}, found

    def predict(self, network: nn.Module, batch: Batch) -> Sequence[Caption]:
        """Return a caption for each image; they may differ in size."""
        captioner, images = cast(Captioner, network), batch["image"]
        groups = [image[None] for image in images] if isinstance(images, list) else [images]
        return [Caption(text, score) for group in groups for text, score in self._said(captioner, captioner.encode(group))]

    def _said(self, network: Captioner, features: Tensor) -> list[tuple[str, float]]:
        """Return caption and score for each row of features, by beam search."""
        tokens, scores, lengths = network.decoder.search(
            features, start=START, end=END, longest=self.longest, never=(PAD, START, UNKNOWN)
        )
        means = [math.exp(score / length) for score, length in zip(scores.tolist(), lengths.tolist(), strict=True)]
        return [(self.vocabulary.decode(row), mean) for row, mean in zip(tokens.tolist(), means, strict=True)]

    def metrics(self) -> CaptionMetrics:
        """Return a fresh accumulator."""
        return CaptionMetrics()

    # -- showing

    def panels(self, sample: Sample, prediction: Caption) -> list[Panel]:
        """Return the chip over its first caption and the predicted one."""
        image = to_rgb(np.asarray(sample["image"]), self.spec.statistics, self.spec.bands)
        text = f"True: {sample['references'][0]}\nPredicted: {prediction.text} ({prediction.score:.0%})"
        return [Panel("Image", image, text=text)]


def _trimmed(words: Tensor) -> Tensor:
    """Return captions (rows, length) without columns at the end that are filling alone."""
    return words[:, : int((words != PAD).sum(1).max())]
