"""Figures of the common information: its channels, reconstructions from parts, the effect of the loss weights."""

import numpy as np
import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.plots.common_information import channel_maps, image_table, loss_weights

IMAGE = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0))


def shown(axis):
    return np.asarray(axis.images[0].get_array())


def words(figure):
    return [text.get_text() for text in figure.texts]


def test_images_are_in_their_cells_each_pixel_as_equal_dots():
    figure = image_table([[IMAGE, None], [1 - IMAGE, IMAGE]], ["a", "b"], ["c", "d"], [[], ["e", "f"]])
    assert sorted(words(figure)) == ["a", "b", "c", "d", "e", "f"]
    first, below, right = figure.axes
    assert shown(first) == pytest.approx(IMAGE.permute(1, 2, 0).numpy())
    assert shown(below) == pytest.approx(1 - shown(first))
    assert below.get_position().y1 < first.get_position().y0
    assert right.get_position().x0 > below.get_position().x1
    for axis in figure.axes:
        box = axis.get_window_extent()
        assert (box.width / 32, box.height / 16) == pytest.approx((8, 8))


def test_wide_tables_have_larger_cells_and_letters():
    narrow, wide = (image_table([[IMAGE] * 2], ["a", "b"], cell_width=width) for width in (32, 900))
    for figure, dots in ((narrow, 1), (wide, 28)):
        assert figure.axes[0].get_window_extent().width == pytest.approx(32 * dots)
    assert wide.texts[0].get_fontsize() > 1.5 * narrow.texts[0].get_fontsize()
    with pytest.raises(NDICError, match="cell_width=0"):
        image_table([[IMAGE]], ["a"], cell_width=0)


def test_the_rows_of_a_table_have_the_length_of_its_labels():
    with pytest.raises(NDICError, match="images must have 2 rows of 2, one for each column label, not 2 rows of 2, 1"):
        image_table([[IMAGE, IMAGE], [IMAGE]], ["a", "b"])
    with pytest.raises(NDICError, match="notes must have 1 rows of 1"):
        image_table([[IMAGE]], ["a"], notes=[["b", "c"]])
    with pytest.raises(NDICError, match="each row has a label: give 1 rows, not 2"):
        image_table([[IMAGE]], ["a"], ["b", "c"])
    with pytest.raises(NDICError, match="there is no image in this table"):
        image_table([[None]], ["a"])


def test_channels_are_centred_on_their_means_above_the_changes():
    w = torch.stack([torch.full((2, 4), 3.0), torch.arange(8.0).reshape(2, 4)])
    without = IMAGE.clone()
    without[0, 0, 0] = IMAGE[0, 0, 0] - 0.125
    figure = channel_maps(w, IMAGE, {1: without, 0: IMAGE})
    assert sorted(words(figure)) == ["change × 4", "channel 0", "channel 1", "w"]
    ramp, flat, change, none = map(shown, figure.axes)
    assert ramp[0, 0, 2] > ramp[0, 0, 0]  # blue at the lowest value
    assert ramp[-1, -1, 0] > ramp[-1, -1, 2]  # red at the highest
    assert (ramp[:8, :8] == ramp[0, 0]).all()  # one position is 8 × 8 pixels
    assert flat == pytest.approx(np.broadcast_to(flat[0, 0], flat.shape))
    assert flat.min() > 0.95  # white at the mean
    assert change[0, 0, 0] == pytest.approx(1.0)
    assert (change[1:] == 0.5).all()
    assert (none == 0.5).all()
    with pytest.raises(NDICError, match="channel=2 must be a whole number from 0 to 1"):
        channel_maps(w, IMAGE, {2: IMAGE})


def test_every_row_is_marked_above_its_weights():
    keys = ("psnr_matching_y", "psnr_mismatched_y", "psnr_rounded_w", "psnr_zero_w", "w_capacity", "bpp_w")
    weights = [(1, 1), (0, 0), (1, 1)]
    rows = [
        dict(alpha=a, beta=b) | {key: i * (n + 1) for i, key in enumerate(keys)} for n, (a, b) in enumerate(weights)
    ]
    figure = loss_weights(rows)
    drop, rate, gain = figure.axes
    assert drop.lines[0].get_xydata().tolist() == [[1, -1], [0, -2], [1, -3]]
    assert [text.get_text() for text in drop.get_xticklabels()] == ["0, 0", "1, 1"]
    capacity, in_loss = rate.lines
    assert capacity.get_ydata().tolist() == [4, 8, 12]
    assert in_loss.get_xydata().tolist() == [[1, 5], [1, 15]]  # of beta above 0: elsewhere its prior is not trained
    as_it_is, rounded = gain.lines
    assert as_it_is.get_ydata().tolist() == [-3, -6, -9]
    assert rounded.get_ydata().tolist() == [-1, -2, -3]
    for axis, lowest, highest in ((drop, -3, 0), (rate, 0, 15), (gain, -9, 0)):
        low, high = axis.get_ylim()
        assert low <= lowest
        assert high >= highest
    with pytest.raises(NDICError, match="leave out the rows of other models"):
        loss_weights([*rows, rows[0] | dict(model="bmshj18_factorized")])


def test_without_beta_no_rate_of_w_is_drawn():
    keys = ("psnr_matching_y", "psnr_mismatched_y", "psnr_rounded_w", "psnr_zero_w", "w_capacity", "bpp_w")
    assert len(loss_weights([dict.fromkeys(keys, 1.0) | dict(alpha=0, beta=0)]).axes[1].lines) == 1
