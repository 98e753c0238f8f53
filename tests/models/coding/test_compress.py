"""Image → bytes → image: exact, cheap, the same wherever it is computed."""

import copy
import inspect
import math
import pickle
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from fractions import Fraction

import pytest
import torch
from conftest import PATIENCE, SIDE_INFO, lively, senders_reconstruction

import ndic_core as ndic
from ndic_core.models.codec import evaluating
from ndic_core.models.coding.integer import FRACTION_BITS, _integer_deconv
from ndic_core.models.entropy_models import FactorizedPrior


def estimated_bytes(model, x, y, lmbda=None):
    with torch.inference_mode():
        likelihoods = model(x[None], y[None], lmbda=lmbda)["likelihoods"]
    return sum(-likelihoods[key].double().log2().sum().item() for key in model.transmitted) / 8


@pytest.mark.parametrize(
    ("name", "size", "num_filters"),
    [
        *((name, (50, 70), 8) for name in ndic.MODELS),
        ("bls17", (1, 1), 1),  # a single symbol
        ("ndic_bls17", (16, 16), 2),
        ("bmshj18", (64, 64), 1),
        ("bmshj18", (64, 64), 33),
        ("ndic_bmshj18", (65, 129), 8),
        ("cross_attention", (200, 90), 8),
        ("parallax_attention", (16, 16), 8),
    ],
)
def test_decodes_bit_for_bit(name, size, num_filters):
    model = lively(name, num_filters=num_filters)
    x, y = torch.rand(2, 3, *size)
    x_hat = ndic.decode(model, ndic.encode(model, x), y)
    assert x_hat.shape == x.shape
    assert torch.equal(x_hat, senders_reconstruction(model, x, y))


@pytest.mark.parametrize("layout", ["channels_last", "strided"])
@pytest.mark.parametrize("name", ["ndic_bls17", "cross_attention", "parallax_attention"])
def test_memory_layout_of_the_images_does_not_matter(name, layout, pair):
    model = lively(name, num_filters=32, image_size=(128, 256))
    x, y = (view.clone() for view in pair)
    out = senders_reconstruction(model, x.contiguous(), y.contiguous())
    if layout == "channels_last":
        y = y.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    if layout == "strided":
        y = torch.stack([y, y], dim=-1)[..., 0]
    assert torch.equal(ndic.decode(model, ndic.encode(model, x), y), out)
    with torch.inference_mode():
        assert torch.equal(model(x[None], y[None])["x_hat"][0].clamp(0, 1), out)


@pytest.mark.parametrize("name", ndic.MODELS)
def test_overhead(name, real_images):
    """At most 20 bytes + 1 % above the estimate, averaged over real images, at the lowest and highest rate."""
    model = ndic.load_pretrained(name)
    for lmbda in model.lambdas:
        streams = [ndic.encode(model, x, lmbda) for x in real_images[:4]]
        estimates = [estimated_bytes(model, x, x, lmbda) for x in real_images[:4]]
        assert 0 < sum(map(len, streams)) - sum(estimates) <= 4 * 20 + 0.01 * sum(estimates)


@pytest.mark.parametrize("name", SIDE_INFO)
def test_encoding_runs_the_analysis_and_the_prior_alone(name):
    model = lively(name)
    used = set()
    for part, module in model.named_modules():
        module.register_forward_hook(lambda *_, part=part: used.add(part.partition(".")[0]))
    ndic.encode(model, torch.rand(3, 64, 64))
    assert used == {"analysis_x"} | {"prior_x" for key in model.transmitted if key == "z"}


def test_another_process_encodes_without_y(pair, tmp_path):
    x, y = pair
    model = lively("ndic_bmshj18")
    ndic.save_checkpoint(model, tmp_path / "model.safetensors")
    torch.save(x, tmp_path / "x.pt")
    script = """
        import torch, ndic_core as ndic
        open("x.ndic", "wb").write(ndic.encode(ndic.load_checkpoint("model.safetensors"), torch.load("x.pt")))
    """
    run = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    subprocess.run(run, cwd=tmp_path, check=True, timeout=PATIENCE)
    x_hat = ndic.decode(model, (tmp_path / "x.ndic").read_bytes(), y)
    assert torch.equal(x_hat, senders_reconstruction(model, x, y))


@pytest.fixture
def two_threads():
    """A function that calls another with two threads."""

    def call(function, *args):
        torch.set_num_threads(2)
        return function(*args)

    yield call
    torch.set_num_threads(1)


def test_scale_indexes_do_not_depend_on_threads_or_order(two_threads):
    """The path that picks distributions is exact: threads, batch size and summation order cannot change it."""
    model = lively("bmshj18", num_filters=48)
    tables = model.coding().tables
    z_hat = torch.randint(-30, 31, (1, 48, 6, 10)).float()
    indexes = tables.scale_indexes(z_hat)
    assert torch.equal(tables.scale_indexes(z_hat.expand(3, -1, -1, -1))[2:], indexes)
    assert torch.equal(two_threads(tables.scale_indexes, z_hat), indexes)
    assert len(indexes.unique()) > 3  # not a constant that any path would give
    order = torch.randperm(48)
    first = model.prior_x.hyper_synthesis.deconv1
    with torch.no_grad():
        first.weight.copy_(first.weight[order])
    assert torch.equal(model.coding().tables.scale_indexes(z_hat[:, order]), indexes)


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
    """One integer layer at some outputs, against Python's integers."""
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


@pytest.mark.parametrize("name", ["ndic_bmshj18", "cross_attention", "parallax_attention"])
def test_streams_of_one_thread_and_two_decode_alike(name, two_threads):
    x, y = torch.rand(2, 3, 64, 64)
    model = lively(name)
    stream = ndic.encode(model, x)
    assert torch.allclose(two_threads(ndic.decode, model, stream, y), senders_reconstruction(model, x, y), atol=1e-4)


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


def loading(model, _):
    model.load_state_dict(lively("bls17", seed=1).state_dict())


def replacement(model, _):
    model.prior_x.biases[0].data = 1.05 * model.prior_x.biases[0]


@pytest.mark.parametrize("change", [gradient_step, fused_step, data_edit, loading, replacement])
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


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("bmshj18", torch.float64), ("cross_attention", torch.float16), ("parallax_attention", torch.bfloat16)],
)
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


def test_tables_are_computed_in_64_bits_unless_another_precision_is_asked_for():
    torch.manual_seed(0)
    prior, gains = FactorizedPrior(64), [torch.rand(64) + 0.5 for _ in range(8)]
    exact = [prior.tables(gain) for gain in gains]
    assert exact == [prior.tables(gain, torch.float64) for gain in gains]
    assert exact != [prior.tables(gain, torch.float32) for gain in gains]


def test_each_value_owns_its_interval_and_none_the_escape():
    tables = FactorizedPrior(3).tables()
    for shares, cdf, offset in zip(tables.shares(), tables.cdfs, tables.offsets, strict=True):
        assert list(shares) == list(range(offset, offset + len(cdf) - 2))
        assert [start for start, _ in shares.values()] == cdf[:-2]
        assert sum(count for _, count in shares.values()) == cdf[-2] < 2**16


@pytest.mark.parametrize("name", ["ndic_bmshj18", "cross_attention", "parallax_attention"])
def test_autocast_around_the_call_changes_nothing(name):
    model = lively(name)
    x, y = torch.rand(2, 3, 64, 64)
    stream = ndic.encode(model, x)
    x_hat = ndic.decode(model, stream, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert ndic.encode(model, x) == stream
        assert torch.equal(ndic.decode(model, stream, y), x_hat)


def test_models_can_be_copied_after_coding():
    model = lively("bmshj18")
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


def test_the_mode_is_restored_when_the_last_of_several_threads_is_done():
    model = lively("cross_attention", dropout=0.5).train()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(evaluating(model))
        second.enter_context(evaluating(model))
        first.close()
        assert not any(module.training for module in model.modules())
        second.close()
        assert all(module.training for module in model.modules())


def test_coding_leaves_modes_and_gradients_alone():
    model = lively("ndic_bls17").train()
    model.analysis_x.eval()  # a part held fixed in training
    x, y = torch.rand(2, 3, 32, 32)
    image = ndic.decode(model, ndic.encode(model, x), y)
    assert model.training
    assert not model.analysis_x.gdn1.training
    (torch.ones(1, requires_grad=True) * image).sum().backward()  # an ordinary tensor to compute with


def test_fingerprint_covers_what_the_stream_depends_on():
    """Weights trained with another lambda or dropout, or the default written out, read each other's files."""
    options = dict(num_filters=4, embed_dim=16, heads=2)
    first = lively("cross_attention", **options)
    second = lively("cross_attention", **options, lmbda=0.5, dropout=0.0, head_dim=16)
    x, y = torch.rand(2, 3, 64, 64)
    assert ndic.decode(second, ndic.encode(first, x), y).shape == x.shape


def test_a_density_symmetric_about_zero():
    """Where both tails weigh the same the likelihood of 0 is its mass, not nothing."""
    model = lively("bls17", spread=0.5)
    with torch.no_grad():
        for bias in model.prior_x.biases:
            bias.zero_()
    _, (p,) = model.prior_x(torch.zeros(1, 8, 1, 1))
    _, (beside,) = model.prior_x(torch.ones(1, 8, 1, 1))
    assert (p > beside).all()


def test_memory_that_runs_out_is_said(monkeypatch):
    model = lively("bls17")

    def no_memory(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(model, "analyse", no_memory)
    with pytest.raises(ndic.NDICError, match="not enough memory to code an image of 32 × 48"):
        ndic.encode(model, torch.rand(3, 32, 48))


@pytest.mark.parametrize(
    ("part", "factor", "sentence"),
    [
        ("prior_x.matrices.0", float("nan"), "hold NaN or infinity"),
        ("analysis_x.conv3.weight", 1e12, "latents of this image overflow"),
        ("synthesis_x.deconv1.weight", 1e30, "decodes to an image that is not finite"),
    ],
)
def test_unusable_weights_say_so(part, factor, sentence):
    model = lively("bls17")
    with torch.no_grad():
        model.get_parameter(part).mul_(factor)
    with pytest.raises(ndic.NDICError, match=sentence):
        ndic.decode(model, ndic.encode(model, torch.rand(3, 32, 32)))


def test_latents_far_outside_the_tables(pair):
    model = lively("bmshj18_factorized", spread=20_000.0)
    x, _ = pair
    assert model.analyse(x[None]).abs().max() > 10_000
    assert torch.equal(ndic.decode(model, ndic.encode(model, x)), senders_reconstruction(model, x, x))


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.zeros(3, 16, 16, dtype=torch.uint8), "float tensor"),
        (torch.full((3, 16, 16), float("nan")), r"values in \[0, 1\]; divide 8-bit values by 255"),
        (torch.zeros(3, 0, 16), "empty image"),
        ([[0.5]], "got list"),
    ],
)
def test_wrong_images(x, sentence):
    with pytest.raises(ndic.NDICError, match=sentence):
        ndic.encode(lively("bls17"), x)


def test_wrong_lambda_side_image_and_model():
    model = lively("ndic_bls17")
    x, y = torch.rand(2, 3, 32, 32)
    stream = ndic.encode(model, x, lmbda=3e-5)
    with pytest.raises(ndic.NDICError, match="lmbda = high is not offered"):
        ndic.encode(model, x, lmbda="high")
    for decoder, given, side, sentence in (
        (model, "x.ndic", y, "a stream must be bytes as encode returns them; got str"),
        (model, stream, None, "pass y, the correlated image"),
        (model, stream, torch.rand(3, 32, 48), r"size of the image sent, 32 × 32 .* it is 32 × 48"),
        (lively("bls17"), stream, y, "made by ndic_bls17, not bls17"),
        (lively("ndic_bls17", seed=1), stream, y, "other weights of ndic_bls17"),
    ):
        with pytest.raises(ndic.NDICError, match=sentence):
            ndic.decode(decoder, given, side)
