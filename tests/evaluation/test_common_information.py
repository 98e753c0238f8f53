"""Common information: loss terms, capacity, reconstructions from parts."""

import importlib
import math
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import lively

import ndic_core as ndic
from ndic_core.errors import NDICError
from ndic_core.evaluation.common_information import (
    channel_effects,
    from_parts,
    levelled,
    loss_terms,
    noise_capacity,
    sent_latent,
)
from ndic_core.evaluation.tables import read_table
from ndic_core.metrics import psnr
from ndic_core.training.losses import rate_distortion_loss

NAMES = ["ndic_bls17", "ndic_bmshj18"]


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return lively(request.param, num_filters=6)


@pytest.fixture(scope="module")
def views(pair):
    return tuple(view[None, :, :64, :128] for view in pair)


def test_the_terms_add_up_to_the_loss(model, views):
    x, y = views
    terms = loss_terms(model, x, y)
    with torch.no_grad():
        out = model(x, y)
        loss = rate_distortion_loss(out, x, y, 0.01, alpha=0.7, beta=0.3, metric="MSE")["loss"].item()
    errors = [(image - hat).square().mean().item() for image, hat in ((x, out["x_hat"]), (y, out["y_hat"]))]
    rates = terms["bpp_x"] + 0.7 * terms["bpp_y"] + 0.3 * terms["bpp_w"]
    assert loss == pytest.approx(rates.item() + 255**2 * 0.01 * (errors[0] + 0.7 * errors[1]), rel=1e-5)
    assert terms["psnr_y"].item() == pytest.approx(psnr(y, out["y_hat"].clamp(0, 1)).item(), abs=1e-4)


@pytest.mark.parametrize("lmbda", [None, 0.0042])  # between two levels
@pytest.mark.parametrize("name", NAMES)
def test_both_parts_draw_what_a_file_decodes_to(name, lmbda, views):
    model, (x, y) = lively(name, num_filters=6, lmbda=(1e-3, 1e-2)), views
    with torch.no_grad():
        w = model.common_information(y)
    decoded = ndic.decode(model, ndic.encode(model, x[0], lmbda), y[0])
    assert torch.allclose(from_parts(model, sent_latent(model, x, lmbda), w)[0], decoded, atol=1e-5)


def test_parts_left_out_are_zero(model, views):
    h, w = torch.randn(2, 1, 6, 4, 8)
    zero = torch.zeros_like(h)
    assert torch.equal(from_parts(model, h, None), from_parts(model, h, zero))
    assert torch.equal(from_parts(model, None, w), from_parts(model, zero, w))
    with pytest.raises(NDICError, match="nothing to reconstruct from"):
        from_parts(model, None, None)
    for wrong in ((h, w[..., :4]), (None, w[:, :4])):
        with pytest.raises(NDICError, match=r"must have one shape, \(B, 6, H/16, W/16\), not \("):
            from_parts(model, *wrong)


def test_what_the_model_cannot_code_is_refused(model, views):
    with pytest.raises(NDICError, match="is not offered"):
        sent_latent(model, views[0], 99)
    with pytest.raises(NDICError, match="images whose sides are multiples"):
        sent_latent(model, views[0][..., :50])
    with pytest.raises(NDICError, match="float tensor of shape"):
        sent_latent(model, views[0][0])


def test_weights_of_half_precision_have_a_latent_too(views):
    model = lively("ndic_bls17", num_filters=6)
    latent = sent_latent(model, views[0])
    model = model.bfloat16()
    assert (sent_latent(model, views[0]) - latent).abs().mean() < 0.1
    assert from_parts(model, latent, None).dtype == torch.bfloat16


def test_what_is_measured_needs_w_alone(views):
    for name in ("bls17", "parallax_attention"):
        with pytest.raises(NDICError, match=f"not in {name}"):
            loss_terms(ndic.build_model(name, num_filters=4), *views)
    with pytest.raises(NDICError, match="not in Linear"):
        from_parts(torch.nn.Linear(2, 2), views[0], None)


def test_a_channel_that_the_decoder_ignores_has_no_effect(model):
    h, w = torch.randn(2, 1, 6, 4, 8)
    first = next(layer for layer in model.synthesis_x.modules() if isinstance(layer, torch.nn.ConvTranspose2d))
    kept = first.weight.detach().clone()
    first.weight.data[6 + 2] = 0  # inputs come first in a transposed convolution; w follows the latent
    effects = channel_effects(model, h, w)
    first.weight.data.copy_(kept)
    assert effects[2] == 0
    assert (effects[[0, 1, 3, 4, 5]] > 0).all()
    with pytest.raises(NDICError, match="requires one image, not 2"):
        channel_effects(model, *torch.randn(2, 2, 6, 4, 8))
    for channel in (-1, 6):
        with pytest.raises(NDICError, match=f"channels of w are 0 to 5, not {channel}"):
            levelled(w, channel)


def test_capacity_is_that_of_gaussian_channels():
    noise = 0.1
    scales = torch.tensor([0.0, 1.0, 2.0])[:, None, None]
    w = scales * torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = sum(0.5 * math.log2(1 + (scale / noise) ** 2) for scale in (1.0, 2.0)) / 256
    assert noise_capacity(w, noise).item() == pytest.approx(expected, rel=0.01)
    with pytest.raises(NDICError, match="above 0"):
        noise_capacity(w, 0.0)


class TestBenchmark:
    """`benchmarks/common_information.py` keeps what it has measured before."""

    root = Path(__file__).parents[2] / "benchmarks"

    @pytest.fixture
    def run(self, monkeypatch, tmp_path):
        monkeypatch.syspath_prepend(str(self.root))
        bench = importlib.import_module("common_information")
        monkeypatch.setattr(bench, "TABLE", tmp_path / "kept" / "common_information.csv")
        monkeypatch.setattr(bench, "measure", lambda model, config: {"bytes": 1.5})
        monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
        shutil.copytree(self.root / "results", tmp_path / "kept")

        def run(*options, trained=100):
            ends = iter(["epochs"] * trained + ["interrupted"])
            monkeypatch.setattr(bench, "train", lambda *_, **__: SimpleNamespace(model=None, stopped=next(ends)))
            monkeypatch.setattr(sys, "argv", ["bench", "--out", str(tmp_path / "out"), *options])
            bench.main()

        run.table, run.beside = bench.TABLE, tmp_path / "out" / bench.TABLE.name
        return run

    def test_other_seeds_are_added(self, run):
        before = read_table(run.table)
        run("--seeds", "2")
        assert read_table(run.table)[: len(before)] == before
        assert [row["seed"] for row in read_table(run.table)[len(before) :]] == [2] * 7

    def test_a_stopped_run_replaces_what_it_measured(self, run):
        before = read_table(run.table)
        with pytest.raises(SystemExit, match="interrupted"):
            run(trained=2)
        after = read_table(run.table)
        assert after[2:] == before[2:]
        assert [row["bytes"] for row in after[:2]] == [1.5, 1.5]

    def test_another_length_does_not_mix(self, run):
        before = run.table.read_bytes()
        run("--epochs", "1", "--seeds", "0")
        assert run.table.read_bytes() == before
        assert [row["epochs"] for row in read_table(run.beside)] == [1] * 7
        run("--epochs", "1", "--seeds", "0", "--table", str(run.table))
        assert len(read_table(run.table)) == 14 + 7

    def test_what_cannot_be_written_is_told_before_the_first_training(self, run, tmp_path, capsys):
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(NDICError, match="cannot be made or written to"):
            run("--table", str(tmp_path / "file" / "table.csv"))
        with pytest.raises(SystemExit):
            run("--table", str(self.root / "results" / "results.csv"))
        assert "is another table" in capsys.readouterr().err
