"""Figures of speed, memory and hours show what was measured and nothing beyond."""

import pytest

from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import read_table, write_table
from ndic_core.plots.training_cost import speed_and_memory, training_hours
from ndic_core.training.throughput import throughput_table


def row(batch, precision="bf16", filters=64, **changes):
    setting = dict(model="ndic_bls17", num_filters=filters, batch=batch, precision=precision, compile=False)
    speed = dict(device="CPU, threads: 2", images_per_second=10.0 + batch, step_ms=100.0 * batch)
    memory = dict(state_mb=40.0, activation_mb=10.0 + 30.0 * batch, peak_mb=None)
    return setting | speed | memory | changes


def lines(figure):
    return [[(line.get_label(), line.get_xydata().tolist()) for line in axis.lines] for axis in figure.axes]


def test_a_line_for_each_width_and_precision():
    rows = [row(batch, p, n) for n in (64, 192) for p in ("float32", "bf16") for batch in (8, 1, 4)]
    rows.append(row(4, compile=True, activation_mb=None))
    images, memory = speed_and_memory(rows).axes
    labels = [f"{width} filters, {precision}" for width in (64, 192) for precision in ("float32", "bf16")]
    assert [line.get_label() for line in images.lines] == [*labels, "64 filters, bf16, compiled"]
    assert images.lines[0].get_xydata().tolist() == [[1, 11], [4, 14], [8, 18]]
    assert memory.lines[0].get_ydata().tolist() == [80, 170, 290]  # state and activations
    assert len(memory.lines) == 4
    assert memory.get_title() == "memory, state and activations (MB)\nCPU, threads: 2"
    on_gpu = speed_and_memory([row(1, peak_mb=500.0)]).axes[1]
    assert on_gpu.get_title() == "memory, peak (MB)\nCPU, threads: 2"
    assert on_gpu.lines[0].get_ydata().tolist() == [500]


def test_nothing_is_drawn_beyond_the_measured_batches():
    for axis in speed_and_memory([row(1), row(8)], [row(64, device="GPU", at_once=1)]).axes[:2]:
        assert max(max(line.get_xdata()) for line in axis.lines) == 8
        assert axis.get_xlim()[1] < 10


def test_stored_rates_that_shared_the_gpu_are_hollow_and_not_connected():
    stored = [row(batch, device="GPU", at_once=at_once) for batch, at_once in ((16, 1), (4, 1), (64, 2))]
    stored += [row(4, "float32", device="GPU", at_once=1), row(4, compile=True, device="GPU", at_once=1)]
    stored.append(row(32, device="another GPU", at_once=1))
    alone, shared = speed_and_memory([row(1)], stored).axes[2].lines
    assert alone.get_xdata().tolist() == [4, 16]
    assert (shared.get_xdata().tolist(), shared.get_markerfacecolor(), shared.get_linestyle()) == (
        [64],
        "white",
        "None",
    )


def test_several_models_are_rejected():
    with pytest.raises(NDICError, match="rows of ndic_bls17, bls17: draw one model at a time"):
        speed_and_memory([row(1), row(8), row(8, model="bls17")])


def test_rows_that_were_saved_give_the_same_figure(tmp_path):
    rows = [row(1), row(8), row(4, compile=True, activation_mb=None)]
    write_table(rows, tmp_path / "rows.csv")
    again = read_table(tmp_path / "rows.csv")
    assert throughput_table(again) == throughput_table(rows)
    assert lines(speed_and_memory(again)) == lines(speed_and_memory(rows))


def test_hours_and_their_price():
    measured = dict(label="H100, 64 filters", low=100, high=100, gpu=True)
    estimated = dict(label="H100, 192 filters", low=20, high=100, gpu=True)
    here = dict(label="CPU", low=1, high=1, gpu=False)
    (axis,) = training_hours([measured, estimated, here], 720_000, 3.0, "EUR", "1 May").axes
    words = [text.get_text() for text in axis.texts]
    assert words == ["2 h, 6 EUR", "2 to 10 h, 6 to 30 EUR", "200 h"]  # a CPU has no price
    (bar,) = axis.patches
    assert (bar.get_x(), bar.get_width()) == (2, 8)
    assert "3 EUR for an hour on a GPU (1 May)" in axis.get_title()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["H100, 64 filters", "H100, 192 filters", "CPU"]
    with pytest.raises(NDICError, match="a rate is above 0"):
        training_hours([{**measured, "low": 0}], 1, 1, "EUR", "")
    with pytest.raises(NDICError, match="there is no estimate"):
        training_hours([], 1, 1, "EUR", "")
