"""Image → bytes → image: exact, cheap, the same wherever it is computed."""

import copy
import dataclasses
import inspect
import math
import pickle
import re
import subprocess
import sys
import textwrap
from fractions import Fraction

import pytest
import torch
from conftest import PATIENCE, PUBLISHED, SIDE_INFO, lively, published_file, senders_reconstruction

import ndic_core as ndic
from ndic_core.catalogue import DOWNSAMPLING
from ndic_core.models.coding.container import pack, unpack
from ndic_core.models.coding.integer import FRACTION_BITS, _integer_deconv
from ndic_core.models.entropy_models import FactorizedPrior


def estimated_bytes(model, x, y):
    with torch.inference_mode():
        likelihoods = model(x[None], y[None])["likelihoods"]
    return sum(-likelihoods[key].double().log2().sum().item() for key in model.transmitted) / 8


@pytest.mark.parametrize("size", [(64, 64), (128, 256), (1, 1), (16, 16), (50, 70), (65, 129), (200, 90)])
@pytest.mark.parametrize("name", ndic.MODELS)
def test_decodes_bit_for_bit(name, size):
    model = lively(name)
    x, y = torch.rand(2, 3, *size)
    stream = ndic.encode(model, x)
    x_hat = ndic.decode(model, stream, y)
    assert x_hat.shape == x.shape
    assert torch.equal(x_hat, senders_reconstruction(model, x, y))


@pytest.mark.parametrize("num_filters", [1, 2, 3, 33])
@pytest.mark.parametrize("name", ["bls17", "bmshj18", "ndic_bls17"])
def test_any_number_of_filters(name, num_filters):
    """A single symbol codes as well as thousands."""
    model = lively(name, num_filters=num_filters)
    x, y = torch.rand(2, 3, 16, 16)
    assert torch.equal(ndic.decode(model, ndic.encode(model, x), y), senders_reconstruction(model, x, y))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("name", ["ndic_bls17", "cross_attention", "parallax_attention"])
def test_memory_layout_of_the_images_does_not_matter(name, tiling, pair):
    model = lively(name, num_filters=32, image_size=(128, 256))
    x, y = (view.clone() for view in pair)
    out = senders_reconstruction(model, x.contiguous(), y.contiguous())
    if tiling == "channels_last":
        y = y.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    if tiling == "strided":
        y = torch.stack([y, y], dim=-1)[..., 0]
    assert torch.equal(ndic.decode(model, ndic.encode(model, x), y), out)
    with torch.inference_mode():
        assert torch.equal(model(x[None], y[None])["x_hat"][0].clamp(0, 1), out)


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("name", ndic.MODELS)
def test_overhead(name, spread, real_images):
    """At most 20 bytes + 1 % above the estimate, averaged over real images, at low and high rates."""
    model = lively(name, num_filters=16, image_size=(128, 256), spread=spread)
    fit_prior(model, real_images[6:])
    excess = [len(ndic.encode(model, x)) - 1.01 * estimated_bytes(model, x, x) for x in real_images[:6]]
    assert sum(excess) / len(excess) <= 20


def fit_prior(model, images):
    """A few steps of training on the rate alone, so that the prior suits the latents as a trained one does."""
    with torch.no_grad():
        latents = model.analyse(images)
    densities = [p for key, p in model.prior_x.named_parameters() if re.search("matrices|biases|factors", key)]
    networks = [p for key, p in model.prior_x.named_parameters() if "hyper" in key]
    optimizer = torch.optim.Adam([{"params": densities, "lr": 0.02}, {"params": networks, "lr": 0.001}])
    model.train()
    for _ in range(150):
        optimizer.zero_grad()
        _, likelihoods = model.prior_x(latents)
        sum(-p.log2().sum() for p in likelihoods).backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_overhead_with_reference_weights(name, parity_weight, pair, tmp_path):
    published_file(tmp_path / "weights.pt", name, parity_weight)
    model = ndic.load_checkpoint(tmp_path / "weights.pt")
    assert len(ndic.encode(model, pair[0])) <= 20 + 1.01 * estimated_bytes(model, *pair)


RECEIVERS = (
    *("analysis_y", "analysis_w", "synthesis_x", "synthesis_y", "prior_y", "prior_w"),
    *("cams", "pyramid_y", "retouch"),
)


@pytest.mark.parametrize("name", SIDE_INFO)
def test_encoder_runs_in_a_process_that_has_no_y(name, pair, tmp_path):
    x, y = pair
    model = lively(name, image_size=(128, 256))
    ndic.save_checkpoint(model, tmp_path / "model.safetensors")
    torch.save(x, tmp_path / "x.pt")
    script = f"""
        import torch, ndic_core as ndic
        model = ndic.load_checkpoint("model.safetensors")
        touched = []
        for part in {RECEIVERS!r}:
            for module in getattr(model, part, torch.nn.Identity()).modules():
                module.register_forward_hook(lambda *_: touched.append(part))
        open("x.ndic", "wb").write(ndic.encode(model, torch.load("x.pt")))
        assert touched == [], touched
        print({name!r}, "encoded")
    """
    run = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == f"{name} encoded\n", done.stderr
    x_hat = ndic.decode(model, (tmp_path / "x.ndic").read_bytes(), y)
    assert torch.equal(x_hat, senders_reconstruction(model, x, y))


@pytest.mark.parametrize("name", ["bmshj18", "ndic_bmshj18"])
def test_scale_indexes_do_not_depend_on_threads_or_order(name):
    """The path that picks distributions is exact: threads, batch size and summation order cannot change it."""
    model = lively(name, num_filters=48)
    tables = model.coding().tables
    z_hat = torch.randint(-30, 31, (1, 48, 6, 10)).float()
    one_thread = tables.scale_indexes(z_hat)
    torch.set_num_threads(2)
    try:
        two_threads = tables.scale_indexes(z_hat)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one_thread, two_threads)
    assert torch.equal(tables.scale_indexes(z_hat.expand(3, -1, -1, -1))[2:], one_thread)
    assert len(one_thread.unique()) > 3  # not a constant that any path would give

    order = torch.randperm(48)
    first = model.prior_x.hyper_synthesis.deconv1
    with torch.no_grad():
        first.weight.copy_(first.weight[order])
    assert torch.equal(model.coding().tables.scale_indexes(z_hat[:, order]), one_thread)


def test_float_path_would_have_depended_on_order():
    """Why the integers: the same sums in float32, in another order, are other numbers."""
    model = lively("bmshj18", num_filters=48)
    synthesis = model.prior_x.hyper_synthesis
    z_hat = torch.randint(-30, 31, (1, 48, 6, 10)).float()
    with torch.no_grad():
        sigma = synthesis(z_hat)
        order = torch.randperm(48)
        synthesis.deconv1.weight.copy_(synthesis.deconv1.weight[order])
        assert not torch.equal(synthesis(z_hat[:, order]), sigma)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4, 1e12])
def test_integer_path_never_leaves_exact_integers(scale):
    model = lively("bmshj18", num_filters=8)
    with torch.no_grad():
        for parameter in model.prior_x.hyper_synthesis.parameters():
            parameter.mul_(scale)
    for layer in model.prior_x.hyper_synthesis:
        if isinstance(layer, torch.nn.ReLU):
            continue
        for sign in (1, -1):  # the largest activations there can be, with the signs that make sums largest
            values = sign * 2.0**26 * layer.weight.detach().double().flip(2, 3).sign()[:, :1].movedim(1, 0)
            assert_exact(layer, values)
            assert_exact(layer, torch.full_like(values, sign * 2.0**26))
    x = torch.rand(3, 64, 64)
    assert torch.equal(ndic.decode(model, ndic.encode(model, x)), senders_reconstruction(model, x, x))


def assert_exact(layer, values):
    """One integer layer at one output, against Python's integers, which know no rounding."""
    step = _integer_deconv(layer, FRACTION_BITS)
    weight, bias, rescale = (inspect.getclosurevars(step).nonlocals[key] for key in ("weight", "bias", "rescale"))
    assert torch.equal(weight, weight.round())
    assert torch.equal(bias, bias.round())
    out = step(values)
    rows, columns = out.shape[-2:]
    for channel, row, column in ((0, 0, 0), (1, rows // 2, columns // 2), (7, rows - 1, columns - 1)):
        total = int(bias[channel])
        for i in range(values.shape[2]):
            for j in range(values.shape[3]):
                a = row + layer.padding[0] - i * layer.stride[0]
                b = column + layer.padding[1] - j * layer.stride[1]
                if 0 <= a < weight.shape[2] and 0 <= b < weight.shape[3]:
                    taps = zip(values[0, :, i, j].tolist(), weight[:, channel, a, b].tolist(), strict=True)
                    total += sum(int(value) * int(tap) for value, tap in taps)
        assert abs(total) < 2**53
        exact = math.floor(Fraction(total) * Fraction(rescale) + Fraction(1, 2))
        assert out[0, channel, row, column] == max(-(2**26), min(2**26, exact))


def test_streams_of_one_thread_and_two_decode_alike(pair):
    x, y = pair
    for name in ndic.MODELS:
        model = lively(name, image_size=(128, 256))
        stream = ndic.encode(model, x)
        torch.set_num_threads(2)
        try:
            assert torch.allclose(ndic.decode(model, stream, y), senders_reconstruction(model, x, y), atol=1e-4)
        finally:
            torch.set_num_threads(1)


def fused_step(model, x):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model(x[None])["x_hat"].square().mean().backward()
    optimizer.step()


def data_edit(model, _):
    model.prior_x.biases[0].data.mul_(1.05)


def gradient_step(model, x):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    out = model(x[None])
    (out["x_hat"].square().mean() - out["likelihoods"]["x"].log2().mean()).backward()
    optimizer.step()


@pytest.mark.parametrize("change", [gradient_step, fused_step, data_edit])
def test_changed_weights_are_noticed(change):
    """No stale tables: weights that changed since the last stream, in whatever way, make other streams."""
    model = lively("bls17")
    x = torch.rand(3, 32, 32)
    before = ndic.encode(model, x)
    assert ndic.encode(model, x) == before
    change(model.train(), x)
    with pytest.raises(ndic.NDICError, match="other weights of bls17"):
        ndic.decode(model, before)
    after = ndic.encode(model, x)
    assert model.training  # encode and decode evaluate, and leave the mode as it was
    assert torch.equal(ndic.decode(model, after), senders_reconstruction(model.eval(), x, x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["bmshj18", "cross_attention", "parallax_attention"])
def test_other_precisions(name, dtype):
    """A model in another precision codes float32 images, and float32 models images of another precision."""
    model = lively(name, num_filters=4).to(dtype)
    x, y = torch.rand(2, 3, 64, 64)
    x_hat = ndic.decode(model, ndic.encode(model, x), y)
    assert x_hat.dtype == torch.float32
    assert ndic.decode(model.float(), ndic.encode(model, x.to(dtype)), y.to(dtype)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_the_same_densities_in_another_precision_give_the_same_tables(dtype):
    """Where the precision holds all weights, nothing else in the model may make a difference."""
    prior = FactorizedPrior(64)
    with torch.no_grad():
        prior.matrices[0].sub_(torch.rand_like(prior.matrices[0]))  # wide tables, whose ends are easily moved
        for parameter in prior.parameters():
            parameter.copy_(parameter.half())
    ours, theirs = prior.tables(), copy.deepcopy(prior).to(dtype).tables()
    assert theirs.cdfs == ours.cdfs
    assert theirs.offsets == ours.offsets


@pytest.mark.parametrize("name", ndic.MODELS)
def test_autocast_around_the_call_changes_nothing(name):
    model = lively(name)
    x, y = torch.rand(2, 3, 64, 64)
    stream = ndic.encode(model, x)
    x_hat = ndic.decode(model, stream, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert ndic.encode(model, x) == stream
        assert torch.equal(ndic.decode(model, stream, y), x_hat)


@pytest.mark.parametrize("name", ["bls17", "bmshj18"])
def test_models_can_be_copied_after_coding(name):
    model = lively(name)
    x = torch.rand(3, 64, 64)
    stream = ndic.encode(model, x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert ndic.encode(twin, x) == stream
        with torch.no_grad():
            twin.analysis_x[0].weight.mul_(2)
        assert ndic.encode(model, x) == stream
        assert ndic.encode(twin, x) != stream


def test_weights_moved_to_another_precision_are_noticed():
    """The same numbers, the same fingerprint; but gains must be of the precision, and on the device, of the weights."""
    model = lively("bls17", lmbda=(1e-4, 1e-2))
    before = model.coding(7)
    moved = model.double().coding(7)
    assert (before.gain.dtype, moved.gain.dtype) == (torch.float32, torch.float64)
    assert moved.fingerprint == before.fingerprint
    assert model.coding(7) is moved


def test_coding_leaves_modes_and_gradients_alone():
    model = lively("ndic_bls17").train()
    model.analysis_x.eval()  # a part held fixed in training
    x, y = torch.rand(2, 3, 32, 32)
    picture = ndic.decode(model, ndic.encode(model, x), y)
    assert model.training
    assert not model.analysis_x.gdn1.training
    (torch.ones(1, requires_grad=True) * picture).sum().backward()  # an ordinary tensor to compute with


def test_fingerprint_covers_what_the_stream_depends_on():
    """Weights trained with another lambda or dropout, or the default written out, read each other's files."""
    options = dict(num_filters=4, embed_dim=16, heads=2)
    first = lively("cross_attention", **options)
    second = lively("cross_attention", **options, lmbda=0.5, dropout=0.0, head_dim=16)
    x, y = torch.rand(2, 3, 64, 64)
    assert ndic.decode(second, ndic.encode(first, x), y).shape == x.shape


def test_a_density_symmetric_about_zero(pair):
    """Where both tails weigh the same the likelihood of 0 is its mass, not nothing."""
    model = lively("bls17", spread=0.5)
    with torch.no_grad():
        for bias in model.prior_x.biases:
            bias.zero_()
    _, (p,) = model.prior_x(torch.zeros(1, 8, 1, 1))
    _, (beside,) = model.prior_x(torch.ones(1, 8, 1, 1))
    assert (p > beside).all()
    assert len(ndic.encode(model, pair[0])) <= 20 + 1.01 * estimated_bytes(model, *pair)


def test_memory_that_runs_out_is_said(monkeypatch):
    model = lively("bls17")

    def no_memory(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(model, "analyse", no_memory)
    with pytest.raises(ndic.NDICError, match="not enough memory to code an image of 32 × 48"):
        ndic.encode(model, torch.rand(3, 32, 48))


def test_unusable_weights_say_so():
    model = lively("bls17")
    with torch.no_grad():
        model.prior_x.matrices[0][0] = float("nan")
    with pytest.raises(ndic.NDICError, match="hold NaN or infinity"):
        ndic.encode(model, torch.rand(3, 16, 16))
    model = lively("bls17")
    with torch.no_grad():
        model.analysis_x[-1].weight.mul_(1e12)
    with pytest.raises(ndic.NDICError, match="latents of this image overflow"):
        ndic.encode(model, torch.rand(3, 16, 16))


def test_latents_far_outside_the_tables(pair):
    model = lively("bmshj18_factorized", spread=20_000.0)
    x, _ = pair
    assert model.analyse(x[None]).abs().max() > 10_000
    assert torch.equal(ndic.decode(model, ndic.encode(model, x)), senders_reconstruction(model, x, x))


def test_downsampling_is_what_the_transforms_do():
    for name in ndic.MODELS:
        assert lively(name).analyse(torch.rand(1, 3, 64, 64)).shape[-1] == 64 // DOWNSAMPLING


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.rand(1, 3, 16, 16), r"shape \(3, H, W\)"),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), "float tensor"),
        (torch.full((3, 16, 16), 255.0), "divide 8-bit values by 255"),
        (torch.full((3, 16, 16), float("nan")), r"values in \[0, 1\]"),
        (torch.zeros(3, 0, 16), "empty image"),
        ([[0.5]], "got list"),
    ],
)
def test_wrong_images(x, sentence):
    with pytest.raises(ndic.NDICError, match=sentence):
        ndic.encode(lively("bls17"), x)


def test_streams_of_variable_rate_weights_are_refused_by_others():
    model = lively("bls17")
    header, payload = unpack(ndic.encode(model, torch.rand(3, 16, 16)))
    with pytest.raises(ndic.NDICError, match="made by variable-rate weights, these are weights of one rate"):
        ndic.decode(model, pack(dataclasses.replace(header, level=9), payload))


def test_pictures_that_are_not_finite_are_refused():
    model = lively("bls17")
    with torch.no_grad():
        model.synthesis_x.deconv1.weight.mul_(1e30)
    with pytest.raises(ndic.NDICError, match="decodes to a picture that is not finite"):
        ndic.decode(model, ndic.encode(model, torch.rand(3, 32, 32)))


def test_wrong_lambda_side_image_and_model():
    model = lively("ndic_bls17")
    x, y = torch.rand(2, 3, 32, 32)
    stream = ndic.encode(model, x, lmbda=3e-5)
    with pytest.raises(ndic.NDICError, match="have one rate, lambda = 3e-05"):
        ndic.encode(model, x, lmbda=0.01)
    with pytest.raises(ndic.NDICError, match="lmbda = high is not offered"):
        ndic.encode(model, x, lmbda="high")
    with pytest.raises(ndic.NDICError, match="a stream is bytes, as encode returns them; got str"):
        ndic.decode(model, "x.ndic", y)
    with pytest.raises(ndic.NDICError, match="pass y, the correlated picture"):
        ndic.decode(model, stream)
    with pytest.raises(ndic.NDICError, match=r"size of the image sent, 32 × 32 .* it is 32 × 48"):
        ndic.decode(model, stream, torch.rand(3, 32, 48))
    with pytest.raises(ndic.NDICError, match="made by ndic_bls17, not bls17"):
        ndic.decode(lively("bls17"), stream, y)
    with pytest.raises(ndic.NDICError, match="other weights of ndic_bls17"):
        ndic.decode(lively("ndic_bls17", seed=1), stream, y)


def test_likelihoods_of_a_hyperprior_are_those_of_rounded_gaussians():
    prior = lively("bmshj18").prior_x
    values, sigma = torch.arange(-40.0, 41).reshape(1, 1, 9, 9), torch.full((1, 1, 9, 9), 3.0)
    normal = torch.distributions.Normal(0.0, 3.0)
    expected = (normal.cdf(values + 0.5) - normal.cdf(values - 0.5)).clamp(min=1e-9)
    torch.testing.assert_close(prior.likelihood(values, sigma), expected, rtol=1e-3, atol=1e-7)
    assert prior.likelihood(values, sigma).min().item() == pytest.approx(1e-9)
