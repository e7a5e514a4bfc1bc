from __future__ import annotations

from collections.abc import Callable

from chipwright.report.numbers import report_numbers
from chipwright.report.record import DataSummary, RunRecord
from chipwright.report.verdict import advised_threshold, by_importance, kept_epoch, verdict, weakest_class
from chipwright.tasks.base import Evaluation

Maker = Callable[..., RunRecord]


def numbers_of(record: RunRecord) -> dict:
    return report_numbers(record, record.created)


def test_pixel_classification_in_plain_words(pixels: Maker) -> None:
    assert verdict(numbers_of(pixels())) == (
        "On 12 chips held back from training, the model gave 87.1\u00a0% of the pixels the right class and its areas overlap "
        "the true ones by 64.7\u00a0% on average (mean IoU)."
    )


def test_detection_in_plain_words(detection: Maker) -> None:
    text = verdict(numbers_of(detection()))
    assert text.startswith("On 8 chips held back from training, the model found 76.5\u00a0% of what was there (recall), 81.0")
    assert "(AP50" in text


def test_an_evaluation_speaks_of_the_labelled_data(tiles: Maker) -> None:
    text = verdict(numbers_of(tiles()))
    assert text == "On the 210 chips of the labelled data, the model gave 90.5\u00a0% of the chips the right class."


def test_without_known_metrics_the_figures_are_named(pixels: Maker) -> None:
    record = pixels(evaluation=Evaluation({"valid_loss": 0.5, "wobble": 2.25}))
    assert verdict(numbers_of(record)).endswith("the model's wobble was 2.25 and its validation loss was 0.500.")


def test_without_figures_it_says_so(pixels: Maker) -> None:
    assert verdict(numbers_of(pixels(evaluation=Evaluation({"miou": float("nan")})))) == "No figures were measured."


def test_captions_are_told_by_their_sentences_first_and_have_words_not_labels(pixels: Maker) -> None:
    scalars = {"valid_loss": 1.0, "corpus_bleu": 0.25, "accuracy": 0.5, "multi_label_fbeta": 0.4}
    said = verdict(numbers_of(pixels(evaluation=Evaluation(scalars), data=DataSummary(["/data"], 10, 8, 2))))
    assert said.replace("\u00a0", " ") == (
        "On 2 chips held back from training, the model's captions scored 0.250 where 1 is word for word (BLEU), 50.0 % of the "
        "words that come next were right (accuracy) and its words agreed with the true ones by 40.0 % (F-beta score)."
    )


def test_accuracy_of_what_has_no_classes_speaks_of_no_class(pixels: Maker) -> None:
    record = pixels(evaluation=Evaluation({"accuracy": 0.5}), data=DataSummary(["/data"], 10, 8, 2))
    assert verdict(numbers_of(record)).endswith("the model's accuracy was 50.0\u00a0%.")


def test_the_weakest_class_is_named_by_the_most_telling_figure(pixels: Maker) -> None:
    assert weakest_class(numbers_of(pixels())) == "Best class: Water (IoU 90.0\u00a0%); weakest: Road (IoU 32.2\u00a0%)."


def test_classes_without_the_figure_are_not_compared(detection: Maker) -> None:
    assert weakest_class(numbers_of(detection())).startswith("Best class: Palm (recall 80.0")


def test_the_kept_epoch_is_told_with_its_reason(pixels: Maker) -> None:
    record = pixels()
    value = record.history[6]["valid_loss"]
    text = kept_epoch(numbers_of(record))
    assert text.startswith(f"Of 8 epochs the model keeps epoch 7, which had the best validation loss ({value:.3f}).")
    assert "Training took 5 min" in text


def test_an_evaluation_keeps_no_epoch(tiles: Maker) -> None:
    assert kept_epoch(numbers_of(tiles())) == ""


def test_one_metric_under_two_names_is_told_once() -> None:
    assert by_importance({"valid_loss": 1.0, "ap50": 0.4, "average_precision": 0.4}) == ["ap50", "valid_loss"]


def test_the_threshold_of_the_figures_is_advised(pixels: Maker) -> None:
    numbers = numbers_of(pixels(evaluation=Evaluation({"best_threshold": 0.352, "recall": 0.5})))
    assert "a score threshold of 0.352" in advised_threshold(numbers)
    assert advised_threshold(numbers_of(pixels())) == ""
