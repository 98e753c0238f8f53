"""The benchmark that tells where a training step's time goes."""

from pathlib import Path

import pytest

from ndic_core.evaluation.tables import read_table


@pytest.fixture
def bench(monkeypatch):
    root = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(root))
    import where_time_goes

    return where_time_goes


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::mkldnn_convolution", "convolutions"),
        ("aten::convolution_backward", "convolutions"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::_softmax_backward_data", "attention"),
        ("aten::bmm", "attention"),
        ("aten::addmm", "other matrix products"),
        ("aten::_fused_adam_", "the optimizer"),
        ("aten::copy_", "moving data"),
        ("aten::cat", "moving data"),
        ("aten::mul", "all else"),
        ("aten::sum", "all else"),
    ],
)
def test_kinds_of_work(bench, operation, kind):
    assert bench.kind_of(operation).startswith(kind)


def test_the_parts_add_up_to_the_step(bench, monkeypatch, tmp_path, capsys):
    """Of a real, small training: most of it is found, and none of it twice."""
    import sys
    import time

    spans, epoch = [], bench.epoch

    def timed(training):
        start = time.perf_counter()
        epoch(training)
        spans.append(1000 * (time.perf_counter() - start) / bench.STEPS)

    monkeypatch.setattr(bench, "epoch", timed)
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    sizes = ["--filters", "8", "--batch", "1", "--models", "bls17", "--precision", "float32"]
    monkeypatch.setattr(sys, "argv", ["where_time_goes", *sizes, "--out", str(tmp_path)])
    bench.main()
    (row,) = read_table(tmp_path / "where_time_goes_cpu.csv")
    total = sum(row[kind] for kind in bench.KINDS)
    assert 0.2 * spans[-1] < total < 1.2 * spans[-1]
    assert row["convolutions"] > 0
    assert 100 < row["optimizer_operations"] < row["operations"] < 5000
    assert (tmp_path / "where_time_goes_cpu.png").stat().st_size > 10_000
    assert "bls17" in capsys.readouterr().out
