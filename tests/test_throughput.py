"""Speed and memory of the training loop: what is counted is what was done."""

import pytest
import torch

import ndic_core as ndic
from ndic_core import throughput as module
from ndic_core.throughput import throughput

SMALL = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[6, 1, 1], alpha=0, precision="float32")


def configure(tmp_path, **changes):
    return ndic.load_config("teaching", **{**SMALL, "save_output_path": str(tmp_path), **changes})


def test_steps_and_images_are_counted(tmp_path, monkeypatch):
    """Six pairs in batches of four: every other step has but two."""
    clock = iter(range(1000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    seen = []
    step = module.Training._step

    def noted(self, batch):
        seen.append(len(batch.x))
        return step(self, batch)

    monkeypatch.setattr(module.Training, "_step", noted)
    monkeypatch.setattr("ndic_core.training_loop.LOOK_EVERY", 0)
    row = throughput(configure(tmp_path, train_batch_size=4), seconds=5.0)
    assert seen == [4, 2] * (len(seen) // 2) + [4] * (len(seen) % 2)
    timed = seen[3:]  # three steps of warm-up
    assert len(timed) > 2
    assert row["images_per_second"] * row["step_ms"] / 1000 == pytest.approx(sum(timed) / len(timed))
    assert not list(tmp_path.iterdir())


def test_the_state_is_five_numbers_a_weight_and_what_is_kept_grows_with_the_batch(tmp_path):
    rows = [throughput(configure(tmp_path, train_batch_size=batch), seconds=0.0) for batch in (1, 2, 4)]
    model = ndic.build_model("bls17", num_filters=4)
    assert {row["state_mb"] for row in rows} == {5 * 4 * sum(p.numel() for p in model.parameters()) / 1e6}
    kept = [row["kept_mb"] for row in rows]
    assert kept[2] - kept[1] == pytest.approx(2 * (kept[1] - kept[0]), rel=0.01)
    activation = 4 * 4 * 16 * 32 / 1e6  # of the first of three layers, which GDN keeps
    assert kept[1] - kept[0] > activation
    assert all(row["peak_mb"] is None for row in rows) or torch.cuda.is_available()


def test_bf16_keeps_less(tmp_path):
    kept = {
        precision: throughput(configure(tmp_path, precision=precision, num_filters=16), seconds=0.0)["kept_mb"]
        for precision in ("float32", "bf16")
    }
    assert kept["bf16"] < 0.8 * kept["float32"]


def test_random_numbers_go_on_as_if_nothing_had_been_measured(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    throughput(configure(tmp_path), seconds=0.0)
    assert torch.equal(torch.rand(1), expected)


def test_less_than_a_batch_is_refused(tmp_path):
    with pytest.raises(ndic.NDICError, match="train_batch_size: got 8; there are only 6 pairs"):
        throughput(configure(tmp_path, train_batch_size=8))
