"""Bars of the accuracy of pseudo-labels, in the first epoch and in the last."""

import pytest

from man_jax.reporting.label_accuracy import draw_label_accuracy, first_and_last
from man_jax.reporting.series import Series


def row(epoch: int, **labels: float) -> dict:
    return {"epoch": epoch, "phase": "adapt"} | {f"labels/{name}": value for name, value in labels.items()}


def test_the_bars_are_the_first_and_the_last_epoch():
    history = [row(each, accuracy_R=0.1 * each, accuracy_F=0.2 * each) for each in (1, 2, 3)]
    [place] = draw_label_accuracy(history).axes
    assert [bar.get_height() for bar in place.patches] == pytest.approx([10, 20, 30, 60])
    assert [text.get_text() for text in place.get_legend().get_texts()] == ["epoch 1", "epoch 3"]
    assert [text.get_text() for text in place.get_xticklabels()] == ["RGB", "fused"]


def test_one_epoch_is_drawn_once():
    assert first_and_last({"fused": Series([4], [0.5])}) == {4: [50.0]}


def test_a_history_without_labels_is_refused():
    with pytest.raises(ValueError, match="no epoch tells how right"):
        draw_label_accuracy([{"epoch": 1, "phase": "pretrain"}])
