"""BLEU, CIDEr-D and word overlap against cases computed by hand from the published definitions."""

from __future__ import annotations

import math

import pytest

from chipwright.tasks.caption_scores import best_overlap, cider, corpus_bleu, fbeta
from chipwright.tasks.words import words_of


def test_repeated_words_count_as_often_as_a_true_caption_has_them() -> None:
    # the paper's own example: seven "the", of which the truth has two
    said = ["the"] * 7
    true = [words_of("the cat is on the mat"), words_of("there is a cat on the mat")]
    assert corpus_bleu([said], [true])[0] == pytest.approx(2 / 7)


def test_sequences_of_two_to_four_words_by_hand() -> None:
    # right are 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples; the lengths are equal
    bleu = corpus_bleu([words_of("a road crosses the field")], [[words_of("a road crosses the desert")]])
    expected = [4 / 5, 4 / 5 * 3 / 4, 4 / 5 * 3 / 4 * 2 / 3, 4 / 5 * 3 / 4 * 2 / 3 * 1 / 2]
    assert bleu == pytest.approx([value ** (1 / order) for order, value in enumerate(expected, 1)])


def test_short_captions_are_penalised_once_over_the_corpus() -> None:
    said = [words_of("a b"), words_of("a b c d e f")]
    true = [[words_of("a b c d")], [words_of("a b c d e f")]]
    assert corpus_bleu(said, true)[0] == pytest.approx(math.exp(1 - 10 / 8))
    longer = [words_of("a b c d"), words_of("a b c d e f g h")]
    assert corpus_bleu(longer, true)[0] == pytest.approx(10 / 12), "what is too long pays by its precision alone"


def test_the_length_to_reach_is_the_nearest_true_one_the_shorter_of_two_as_near() -> None:
    near = [[words_of("a b"), words_of("a b c d e f g")]]
    assert corpus_bleu([words_of("a b c")], near)[0] == pytest.approx(1.0)
    as_near = [[words_of("a b c d"), words_of("a b")]]
    assert corpus_bleu([words_of("a b c")], as_near)[0] == pytest.approx(1.0)


def test_matches_are_taken_from_all_true_captions_of_a_chip() -> None:
    assert corpus_bleu([words_of("red roof")], [[words_of("red house"), words_of("grey roof")]])[0] == 1.0


def test_without_a_match_bleu_is_0_and_without_a_chip_unknown() -> None:
    assert corpus_bleu([["a"]], [[["b"]]]) == [0.0] * 4
    assert corpus_bleu([[]], [[["b"]]]) == [0.0] * 4
    assert all(math.isnan(value) for value in corpus_bleu([], []))


def test_cider_weighs_words_by_how_few_images_have_them() -> None:
    # "a" is in both images and weighs nothing; "pool" and "road" are in one and weigh log 2
    true = [[words_of("a pool")], [words_of("a road")]]
    perfect = cider([words_of("a pool"), words_of("a road")], true)
    assert perfect == pytest.approx(10 * 2 / 4), "words and pairs agree; triples and quadruples there are none"
    assert cider([words_of("a road"), words_of("a pool")], true) == 0.0


def test_cider_by_hand() -> None:
    # one image's caption is right, the other's has one of two words, and all words are as rare: cosine 1/2 for single words
    true = [[words_of("green field")], [words_of("wide road")]]
    found = cider([words_of("green field"), words_of("wide pool")], true)
    assert found == pytest.approx(10 / 4 * ((1 + 1 / 2) / 2 + (1 + 0) / 2))


def test_cider_clips_what_is_said_too_often_and_takes_off_for_length() -> None:
    true = [["pool"]], [["road"]]
    # "pool pool": min(2, 1) * 1 over |2| * |1|, a word too long
    expected = 10 / 4 * (math.exp(-1 / 72) * (1 * 1) / (2 * 1)) / 2
    assert cider([["pool", "pool"], ["house"]], list(true)) == pytest.approx(expected)


def test_cider_counts_an_image_once_and_takes_the_mean_over_its_true_captions() -> None:
    true = [[["pool"], ["pool"]], [["road"], ["street"]]]
    # each word is of one image, log 2; the second image's caption fits one of two true ones
    assert cider([["pool"], ["road"]], true) == pytest.approx(10 / 4 * (1 + 1 / 2) / 2)


def test_cider_of_one_image_is_unknown() -> None:
    assert math.isnan(cider([["a"]], [[["a"]]]))


def test_the_overlap_of_words_is_taken_with_the_true_caption_that_fits_best() -> None:
    true = [words_of("a wide road"), words_of("a pool and a road")]
    assert best_overlap(words_of("a pool"), true, 2.0) == (2, 2, 4)
    assert best_overlap(words_of("a road a road"), true, 2.0) == (2, 2, 3)


def test_fbeta_by_hand() -> None:
    # precision 2/2, recall 2/4: 5 * P * R / (4 * P + R)
    assert fbeta(2, 2, 4, 2.0) == pytest.approx(5 * 0.5 / 4.5)
    assert fbeta(0, 0, 0, 2.0) == 0.0
