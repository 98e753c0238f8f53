"""Figures of the preparation show the crop that is made, the batch, and the frames of each split."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.data_preparation import crop_and_resize, frames_of_splits, training_batch

IMAGE = torch.rand(3, 50, 75, generator=torch.Generator().manual_seed(0))


def test_the_crop_is_the_centre():
    figure = crop_and_resize(IMAGE, (36, 72), IMAGE[:, :16, :32])
    box = figure.axes[0].patches[-1]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (1.5, 6.5, 72, 36)
    assert (figure.axes[1].images[0].get_array() == IMAGE[:, 7:43, 2:74].permute(1, 2, 0).numpy()).all()
    with pytest.raises(NDICError, match="make it smaller"):
        crop_and_resize(IMAGE, (60, 60), IMAGE)


def test_a_batch_has_x_above_y():
    x, y = torch.rand(2, 3, 3, 16, 32)
    axes = training_batch(x, y, ["a", "b", "c"]).axes
    assert [axis.get_title() for axis in axes[:3]] == ["a", "b", "c"]
    assert (axes[4].images[0].get_array() == y[1].permute(1, 2, 0).numpy()).all()
    with pytest.raises(NDICError, match="not 3, 3 and 1"):
        training_batch(x, y, ["a"])


def test_every_split_has_its_frames():
    splits = {"train": {"training 1": 5}, "test": {"testing 0": 6}}
    figure = frames_of_splits(3, splits, ["training", "testing"])
    coloured = [patch for patch in figure.axes[0].patches if patch.get_label().endswith("scenes")]
    assert [(int(patch.get_x()), int(patch.get_y())) for patch in coloured] == [(1, 0), (0, 1)]
    with pytest.raises(NDICError, match="train: training 3 is no frame"):
        frames_of_splits(3, {"train": {"training 3": 5}}, ["training", "testing"])
