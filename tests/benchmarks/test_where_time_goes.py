"""Profile of a training step."""

import pytest
import torch
import where_time_goes

from ndic_core.evaluation.tables import read_table


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::mkldnn_convolution", "convolutions"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::bmm", "attention"),
        ("aten::addmm", "other matrix products"),
        ("aten::_fused_adam_", "the optimizer"),
        ("aten::copy_", "moving data"),
        ("aten::mul", "all else"),
    ],
)
def test_kinds_of_operations(operation, kind):
    assert where_time_goes.kind_of(operation).startswith(kind)


@pytest.mark.slow
def test_a_step_is_profiled_and_drawn(monkeypatch, tmp_path):
    threads = str(torch.get_num_threads())
    sizes = ["--filters", "8", "--batch", "1", "--models", "bls17", "--precision", "float32", "--threads", threads]
    monkeypatch.setattr("sys.argv", ["where_time_goes", *sizes, "--out", str(tmp_path)])
    where_time_goes.main()
    (row,) = read_table(tmp_path / "where_time_goes_cpu.csv")
    assert row["convolutions"] > 0
    assert row["the optimizer"] > 0
    assert 100 < row["optimizer_operations"] < row["operations"] < 5000
    assert (tmp_path / "where_time_goes_cpu.png").stat().st_size > 10_000
