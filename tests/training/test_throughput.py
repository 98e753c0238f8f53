"""Speed and memory of the training loop: what is counted is what was done."""

from pathlib import Path

import pytest
import throughput as benchmark
import torch

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import read_table
from ndic_core.training import throughput as module
from ndic_core.training.throughput import activation_per_image, stored_rates, throughput
from ndic_core.training.train import train_step

SMALL = dict(model="bls17", num_filters=4, resize=[32, 64], street_pairs=[6, 1, 1], alpha=0, precision="float32")


def configure(tmp_path, **changes):
    return ndic.load_config("teaching", **{**SMALL, "save_output_path": str(tmp_path), **changes})


def test_steps_and_images_are_counted(tmp_path, monkeypatch):
    """Six pairs in batches of four: every other step has but two."""
    clock = iter(range(1000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    seen = []

    def noted(setup, batch):
        seen.append(len(batch.x))
        return train_step(setup, batch)

    monkeypatch.setattr(module, "train_step", noted)
    before = torch.get_rng_state()
    row = throughput(configure(tmp_path, train_batch_size=4), seconds=5.0)
    assert torch.equal(torch.get_rng_state(), before)
    assert seen == [4, 2] * (len(seen) // 2) + [4] * (len(seen) % 2)
    timed = seen[3:]  # three steps of warm-up
    assert len(timed) > 2
    assert row["images_per_second"] * row["step_ms"] / 1000 == pytest.approx(sum(timed) / len(timed))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("alpha", [0, 1])
def test_weights_that_are_not_trained_have_no_gradient_and_nothing_of_adams(tmp_path, alpha):
    """Without alpha and beta nobody rebuilds y: its own coder and the prior of w learn nothing."""
    row = throughput(configure(tmp_path, model="ndic_bls17", alpha=alpha, beta=alpha), seconds=0.0)
    model = ndic.build_model("ndic_bls17", num_filters=4)
    idle = () if alpha else (model.analysis_y, model.synthesis_y, model.prior_y, model.prior_w)
    idle = [p for part in idle for p in part.parameters()]
    weights, untrained = (sum(p.numel() for p in some) for some in (model.parameters(), idle))
    counters = len(list(model.parameters())) - len(idle)  # Adam counts the steps of each tensor
    assert row["state_mb"] == pytest.approx(4 * (5 * weights - 4 * untrained + counters) / 1e6)
    assert alpha or untrained > 0.4 * weights


def test_the_state_of_soap_and_of_an_average_counts(tmp_path):
    """SOAP: two moments and for each side of a tensor two square matrices; the average is another set of weights."""
    plain, averaged = (
        throughput(configure(tmp_path, optimizer="soap", cuda=False, ema_decay=decay), seconds=0.0)["state_mb"]
        for decay in (0, 0.9)
    )
    parameters = list(ndic.build_model(**configure(tmp_path).model_arguments()).parameters())
    weights = sum(p.numel() for p in parameters)
    squares = sum(side**2 for p in parameters if p.ndim > 1 for side in p.shape)
    assert plain == pytest.approx(4 * (4 * weights + 2 * squares) / 1e6)  # weights, gradients, moments
    assert averaged - plain == pytest.approx(4 * weights / 1e6)


def test_what_is_kept_grows_with_the_batch_and_the_state_does_not(tmp_path):
    rows = [throughput(configure(tmp_path, train_batch_size=batch), seconds=0.0) for batch in (1, 2, 4)]
    assert len({row["state_mb"] for row in rows}) == 1
    kept = [row["activation_mb"] for row in rows]
    assert kept[2] - kept[1] == pytest.approx(2 * (kept[1] - kept[0]), rel=0.01)
    activation = 4 * 4 * 16 * 32 / 1e6  # of the first of three layers, which GDN keeps
    assert kept[1] - kept[0] > activation
    if torch.cuda.is_available():
        assert all(row["peak_mb"] > 0 for row in rows)
    else:
        assert all(row["peak_mb"] is None for row in rows)


def test_less_than_a_batch_is_refused(tmp_path):
    with pytest.raises(ndic.NDICError, match="train_batch_size: got 8; there are only 6 pairs"):
        throughput(configure(tmp_path, train_batch_size=8))


@pytest.mark.parametrize("error", [ndic.NDICError("this GPU has no bf16"), torch.cuda.OutOfMemoryError("no room")])
def test_the_benchmark_saves_what_it_has_and_goes_on(tmp_path, monkeypatch, capsys, error):
    saved = []

    def measured(config, seconds):
        saved.append(len(read_table(tmp_path / "t.csv")) if saved else 0)
        if config.train_batch_size == 4:
            raise error
        assert config.street_pairs[0] == 32
        row = dict(model=config.model, num_filters=64, batch=config.train_batch_size, precision="float32")
        return row | dict(compile=False, device="CPU", images_per_second=1.0, step_ms=1.0, state_mb=1.0)

    monkeypatch.setattr(benchmark, "throughput", measured)
    out = ["--threads", "1", "--out", str(tmp_path / "t.csv")]
    monkeypatch.setattr("sys.argv", ["throughput.py", "--batch", "1", "4", "8", "--precision", "float32", *out])
    benchmark.main()
    assert saved == [0, 1, 1]
    assert [row["batch"] for row in read_table(tmp_path / "t.csv")] == [1, 8]
    assert f"batch 4, float32: {error}" in capsys.readouterr().out


def test_stored_rates_are_those_of_the_tables_that_exist(tmp_path):
    assert stored_rates(tmp_path) == []
    table = "# one comment\n# another\nmodel,num_filters,batch,at_once,images_per_second\n"
    table += "bls17,64,16,1,231\nall seven,64,16,7,1354\n"
    (tmp_path / "training_h100.csv").write_text(table, encoding="utf-8")
    (row,) = stored_rates(tmp_path)
    assert (row["model"], row["device"], row["precision"], row["images_per_second"]) == (
        "bls17",
        "NVIDIA H100",
        "bf16",
        231,
    )
    more = "model,num_filters,batch,precision,compile,device,images_per_second\nbls17,192,16,bf16,False,A GPU,50\n"
    (tmp_path / "gpu_throughput.csv").write_text(more, encoding="utf-8")
    added = stored_rates(tmp_path)[1]
    assert (added["device"], added["num_filters"], added["at_once"], added["compile"]) == ("A GPU", 192, 1, False)


def test_the_tables_of_the_repository_have_rates_of_a_gpu():
    rows = stored_rates(Path(ndic.__file__).parents[1] / "benchmarks" / "results")
    assert {("NVIDIA H100", 64)} <= {(row["device"], row["num_filters"]) for row in rows}


def test_activations_of_one_image_are_a_slope():
    rows = [dict(batch=batch, activation_mb=10.0 + 30.0 * batch) for batch in (8, 1, 4)]
    assert activation_per_image([*rows, dict(batch=16, activation_mb=None)]) == 30
    with pytest.raises(NDICError, match="two batch sizes"):
        activation_per_image(rows[:1])
