"""A backbone whose map is looked at word by word: Show, Attend and Tell (Xu et al. 2015, arXiv:1502.03044), soft attention.

    network = Captioner(create_backbone("RESNET34", bands=3), vocabulary=500)
    logits = network(images, words)                 # (batch, length, 500): what follows each word
    tokens, scores, lengths = network.decoder.search(network.encode(images), start=1, end=2, longest=20)

The cells of the backbone's deepest map, brought to the width of a word, are what attention (Bahdanau et al. 2015,
arXiv:1409.0473) weighs. An LSTM cell takes the last word and what was looked at, and the next word is told from both and
from the cell's state (the paper's equation 7). The paper's penalty on cells that are never looked at is not part of it, nor
is its gate on what was looked at; the reference has neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from chipwright.networks.beam_search import State, beam_search

if TYPE_CHECKING:
    from chipwright.networks.backbones import Backbone

BEAM_WIDTH = 5


class Captioner(nn.Module):
    """Words for normalised images (batch, bands, height, width) of any size.

    Args:
        backbone: its deepest map is described.
        vocabulary: number of tokens.
        embed_size: width of a word, and of a cell of the map.
        hidden_size: width of the LSTM cell's state.
        attention_size: width in which state and cells are compared.
        dropout: share left out of words and of what they are told from, in training.
    """

    def __init__(
        self,
        backbone: Backbone,
        vocabulary: int,
        *,
        embed_size: int = 100,
        hidden_size: int = 100,
        attention_size: int = 100,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.project = nn.Linear(backbone.channels[-1], embed_size)
        self.decoder = AttentionDecoder(vocabulary, embed_size, hidden_size, attention_size, dropout)

    def encode(self, images: Tensor) -> Tensor:
        """Return what there is to look at: (batch, cells, embed_size), row by row of the backbone's deepest map."""
        features: Tensor = self.project(self.backbone(images)[-1].flatten(2).transpose(1, 2))
        return features

    def forward(self, images: Tensor, words: Tensor, teacher_forcing: float = 1.0) -> Tensor:
        """Return the logits of the words that follow; see `AttentionDecoder.forward`."""
        logits: Tensor = self.decoder(self.encode(images), words, teacher_forcing)
        return logits


class AttentionDecoder(nn.Module):
    """Says a caption word by word, looking at the cells of a map. Arguments as of `Captioner`."""

    def __init__(self, vocabulary: int, embed_size: int, hidden_size: int, attention_size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embed_size)
        self.first_hidden = nn.Linear(embed_size, hidden_size)
        self.first_memory = nn.Linear(embed_size, hidden_size)
        self.keys = nn.Linear(embed_size, attention_size)
        self.query = nn.Linear(hidden_size, attention_size)
        self.energy = nn.Linear(attention_size, 1)
        self.cell = nn.LSTMCell(2 * embed_size, hidden_size)
        self.from_hidden = nn.Linear(hidden_size, embed_size)
        self.from_context = nn.Linear(embed_size, embed_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(embed_size, vocabulary)

    def forward(self, features: Tensor, words: Tensor, teacher_forcing: float = 1.0) -> Tensor:
        """Return the logits of the next word after each of `words`: (batch, length, vocabulary).

        Args:
            features: (batch, cells, embed_size).
            words: int64 (batch, length), the true captions from their start on.
            teacher_forcing: chance that a word is the true one; else it is what the network itself held likeliest, drawn word
                by word (Bengio et al. 2015, arXiv:1506.03099).
        """
        keys, state = self.keys(features), self.start(features)
        told: list[Tensor] = []
        for said in words.unbind(1):
            if told and teacher_forcing < 1:
                # drawn on the CPU, so that a seed means the same on every device
                own = (torch.rand(len(words)) >= teacher_forcing).to(words.device)
                said = torch.where(own, told[-1].detach().argmax(1), said)
            logits, state, _ = self.step(said, state, features, keys)
            told.append(logits)
        return torch.stack(told, 1)

    def start(self, features: Tensor) -> State:
        """Return the first state, told from the mean of all cells."""
        mean = features.mean(1)
        return torch.tanh(self.first_hidden(mean)), torch.tanh(self.first_memory(mean))

    def step(self, words: Tensor, state: State, features: Tensor, keys: Tensor) -> tuple[Tensor, State, Tensor]:
        """Return (logits (rows, vocabulary), state, weights (rows, cells) of what was looked at) after `words` (rows,)."""
        energies = self.energy(torch.tanh(keys + self.query(state[0])[:, None]))
        weights = energies.float().softmax(1)
        context = (weights * features).sum(1).to(features.dtype)
        said = self.dropout(self.embedding(words)).to(features.dtype)
        hidden, memory = self.cell(torch.cat([said, context], 1), (state[0], state[1]))
        told = said + self.from_hidden(hidden) + self.from_context(context)
        return self.output(self.dropout(told)), (hidden, memory), weights[..., 0]

    def search(
        self, features: Tensor, *, start: int, end: int, longest: int, width: int = BEAM_WIDTH, never: tuple[int, ...] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the likeliest captions, of a word at least, of `features` (batch, cells, embed_size); see `beam_search`."""
        state = self.start(features)
        features = features.repeat_interleave(width, 0)
        keys = self.keys(features)

        def step(words: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state, _ = self.step(words, state, features, keys)
            return logits.float().log_softmax(1), state

        return beam_search(step, state, start=start, end=end, width=width, longest=longest, shortest=1, never=never)
