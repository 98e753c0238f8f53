"""Figures of the preparation show the crop that is made, the batch, and the frames of each split."""

from pathlib import Path

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
    def pairs(part, *frames):
        images = [Path(f"data_scene_flow_multiview/{part}/image_2/00000{i}_{f}.png") for i in range(4) for f in frames]
        return [(image, image) for image in images]

    axis = frames_of_splits({"train": pairs("training", 10, 11), "test": pairs("testing", 10)}).axes[0]
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["train: 4 scenes", "test: 4 scenes"]
    coloured = [(int(patch.get_x()), int(patch.get_y())) for patch in axis.patches[2 * 21 :]]
    assert coloured == [(10, 0), (11, 0), (10, 1)]
    with pytest.raises(NDICError, match="split"):
        frames_of_splits({"all": pairs("training", 10)})
    with pytest.raises(NDICError, match="no pair of train"):
        frames_of_splits({"train": []})
