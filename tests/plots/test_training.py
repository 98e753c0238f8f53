"""Figures of a training show the values that they are given."""

import pytest
import torch

from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import read_table, write_table
from ndic_core.plots.training import learning_curves, loss_terms, memory_needed, throughput_curves, training_cost
from ndic_core.training.throughput import throughput_table

HISTORY = [dict(epoch=i, loss=3 / i, val_loss=2 / i, bpp=0.1 * i, psnr=15.0 + i) for i in (1, 2, 4)]


def row(batch, precision="bf16", filters=64, **changes):
    setting = dict(model="ndic_bls17", num_filters=filters, batch=batch, precision=precision, compile=False)
    speed = dict(device="CPU, threads: 2", images_per_second=10.0, step_ms=100.0 * batch)
    memory = dict(state_mb=40.0, activation_mb=10.0 + 30.0 * batch, peak_mb=None)
    return setting | speed | memory | changes


def test_curves_and_images_of_an_epoch():
    images = {"x": torch.rand(3, 16, 32), "x_hat": torch.rand(3, 16, 32)}
    figure = learning_curves(HISTORY, images, epoch=2)
    loss, rate, quality, x, x_hat = figure.axes
    assert loss.lines[1].get_xydata().tolist() == [[1, 2], [2, 1], [4, 0.5]]
    assert rate.lines[0].get_ydata().tolist() == [row["bpp"] for row in HISTORY]
    assert all(axis.lines[-1].get_xdata() == [2, 2] for axis in (loss, rate, quality))
    assert [x.get_title(), x_hat.get_title()] == ["x", "x_hat"]
    assert torch.equal(torch.as_tensor(x.images[0].get_array()), images["x"].permute(1, 2, 0))
    with pytest.raises(NDICError, match="history is empty"):
        learning_curves([])


def test_loss_terms_are_weighted_and_smoothed():
    rates, distortions = torch.linspace(1, 0, 50).tolist(), [0.01] * 50
    rate, distortion = loss_terms(rates, distortions, lmbda=0.002, window=5).axes
    assert distortion.lines[0].get_ydata().tolist() == pytest.approx([255**2 * 0.002 * 0.01] * 50)
    steps, mean = rate.lines[1].get_data()
    assert mean.tolist() == pytest.approx([rates[int(step)] for step in steps], abs=1e-6)
    assert steps.tolist() == list(range(2, 48))


def test_a_line_for_each_width_and_precision():
    rows = [row(batch, p, n) for n in (64, 192) for p in ("float32", "bf16") for batch in (8, 1, 4)]
    rows.append(row(4, compile=True, activation_mb=None))
    images, step, memory = throughput_curves(rows).axes
    labels = [f"{width} filters, {precision}" for width in (64, 192) for precision in ("float32", "bf16")]
    assert [line.get_label() for line in images.lines] == [*labels, "64 filters, bf16, compiled"]
    assert step.lines[0].get_xydata().tolist() == [[1, 100], [4, 400], [8, 800]]
    assert memory.lines[0].get_ydata().tolist() == [80, 170, 290]  # state and activations
    assert len(memory.lines) == 4
    assert memory.get_title() == "memory, state and activations (MB)"
    on_gpu = throughput_curves([row(1, peak_mb=500.0)]).axes[2]
    assert on_gpu.get_title() == "memory, peak (MB)"
    assert on_gpu.lines[0].get_ydata().tolist() == [500]


def test_the_largest_batch_that_fits():
    figure = memory_needed([row(1), row(8), row(4, compile=True, activation_mb=None)], 1.0)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["64 filters, bf16: 30.0 MB per image, about 31 fit", "1 GB"]  # (1000 - 50) / 30
    assert figure.axes[0].lines[0].get_ydata()[3] == pytest.approx(0.29)
    with pytest.raises(NDICError, match="without compile"):
        memory_needed([row(4, compile=True, activation_mb=None)], 1.0)


@pytest.mark.parametrize("draw", [throughput_curves, lambda rows: memory_needed(rows, 1.0)])
def test_several_models_are_rejected(draw):
    with pytest.raises(NDICError, match="rows of ndic_bls17, bls17: draw one model at a time"):
        draw([row(1), row(8), row(8, model="bls17")])


def test_rows_that_were_saved_give_the_same_figure(tmp_path):
    rows = [row(1), row(8), row(4, compile=True, activation_mb=None)]
    write_table(rows, tmp_path / "rows.csv")
    again = read_table(tmp_path / "rows.csv")
    assert throughput_table(again) == throughput_table(rows)
    for draw in (throughput_curves, lambda rows: memory_needed(rows, 1.0)):
        lines = [
            [(line.get_label(), line.get_xydata().tolist()) for axis in draw(some).axes for line in axis.lines]
            for some in (rows, again)
        ]
        assert lines[0] == lines[1]


def test_hours_and_their_price():
    measured = [dict(model="bls17", num_filters=64, batch=16, device="NVIDIA H100", images_per_second=100)]
    figure = training_cost([*measured, row(8)], "bls17", 720_000, 3.0)
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts][:2] == ["2 h, for 6", "2 to 6.3 h, for 6 to 19"]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[0] == "NVIDIA H100, batch 16, 64 filters"
    assert all("not measured: an estimate" in name for name in names[1:])
    (here,) = training_cost([row(8)], "ndic_bls17", 720_000, 3.0).axes[0].texts
    assert here.get_text() == "20 h"  # no price and no estimates for a CPU
    with pytest.raises(NDICError, match="no rate of 'bmshj18' was measured"):
        training_cost(measured, "bmshj18", 1, 1)
