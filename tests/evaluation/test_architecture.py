"""The facts of the block figures are those of the modules, and of the loss that trains them."""

from functools import lru_cache

import pytest
import torch
from conftest import SIDE_INFO

import ndic_core as ndic
from ndic_core.evaluation.architecture import TERMS, describe, layer_table
from ndic_core.evaluation.tables import format_table
from ndic_core.training.losses import rate_distortion_loss
from ndic_core.training.matching_loss import matching_loss

SIZES = [(64, 64), (64, 128)]


@lru_cache
def model(name, size=(64, 64), **options):
    torch.manual_seed(0)
    if name == "cross_attention":
        options = dict(embed_dim=16, heads=2) | options
    return ndic.build_model(name, num_filters=8, image_size=size, **options)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ndic.MODELS)
def test_sizes_are_those_of_real_tensors(name, size):
    """Of blocks and of layers, from hooks on the CPU."""
    this = model(name, size).eval()
    blocks = describe(this, size).blocks
    sizes, hooks = {}, []
    for part, module in this.named_modules():

        def keep(_, given, out, part=part):
            out = out[0] if isinstance(out, (tuple, list)) else out
            sizes[part] = tuple(given[0].shape[1:]), tuple(out.shape[1:])

        hooks.append(module.register_forward_hook(keep) if part else None)
    with torch.no_grad():
        this(*torch.rand(2, 2, 3, *size), **({"right": False} if this.takes_camera else {}))
    for hook in filter(None, hooks):
        hook.remove()
    for block in blocks.values():
        assert sizes[block.name] == (block.inputs[0], block.output), block.name
        for layer in block.layers:
            if layer.parameters:
                assert sizes[f"{block.name}.{layer.name}".rstrip(".")][1] == layer.output


@pytest.mark.parametrize("name", ndic.MODELS)
def test_layers_are_those_of_the_modules(name):
    this = model(name)
    for block in describe(this).blocks.values():
        module = this.get_submodule(block.name)
        assert block.parameters == sum(p.numel() for p in module.parameters())
        for layer in block.layers:
            if layer.kernel:
                part = module.get_submodule(layer.name)
                assert (layer.kernel, layer.stride) == (part.kernel_size, max(part.stride))
                assert layer.features == (part.in_channels, part.out_channels)
                assert layer.kind == ("deconv" if part.transposed else "conv")


def losses(this, size):
    """Each term of the loss that `training` minimises, of random images."""
    x, y = torch.rand(2, 2, 3, *size)
    if this.takes_camera:
        disparity = torch.full((2, *size), 8.0)
        disparity[:, :16] = torch.nan
        with this.watched() as scales:
            out = this(x, y, right=False)
        found = {"matching": matching_loss([scale.match for scale in scales], disparity)}
    else:
        out, found = this(x, y), {}

    def loss(lmbda, alpha=0.0, beta=0.0):
        return rate_distortion_loss(out, x, y, lmbda, alpha, beta, metric="MSE")["loss"]

    found |= {"R_x": loss(0), "D_x": loss(1) - loss(0)}
    if "y_hat" in out:
        found |= {"alpha": loss(1, alpha=1) - loss(1), "beta": loss(0, beta=1) - loss(0)}
    return found


@pytest.mark.parametrize("name", ndic.MODELS)
def test_terms_are_those_with_a_gradient(name):
    """The graph on the meta device agrees with gradients of real numbers that are not 0."""
    this = model(name, lmbda=(1e-4, 1e-2)).train()
    for prior in (this.prior_x, getattr(this, "prior_y", None)):
        if hasattr(prior, "hyper_synthesis"):  # scales above their bound, below which there is no gradient
            torch.nn.init.ones_(prior.hyper_synthesis.deconv3.bias)
    found = describe(this)
    parameters = dict(this.named_parameters())
    wanted = {block: set() for block in found.blocks}
    terms = losses(this, (64, 64))
    for term, loss in terms.items():
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        reached = {name for name, grad in zip(parameters, gradients, strict=True) if grad is not None and grad.any()}
        for block in wanted:
            if any(parameter.startswith(f"{block}.") for parameter in reached):
                wanted[block].add(term)
    assert {block.name: set(block.terms) for block in found.blocks.values()} == wanted
    assert set(found.terms) == set(terms)
    assert set(found.terms) <= set(TERMS)


@pytest.mark.parametrize("name", SIDE_INFO)
def test_blocks_that_decode_are_those_that_run(name, pair):
    this = model(name).eval()
    image, ran = torch.rand(3, 64, 64), set()
    blocks = describe(this).blocks
    hooks = [
        this.get_submodule(block).register_forward_hook(lambda *_, block=block: ran.add(block)) for block in blocks
    ]
    ndic.decode(this, ndic.encode(this, image), image)
    for hook in hooks:
        hook.remove()
    for block in blocks.values():  # coding uses tables in place of these
        if not block.name.startswith("prior_x"):
            assert block.codes == (block.name in ran), block.name


def test_without_alpha_and_beta_only_what_decodes_is_trained():
    for name in SIDE_INFO:
        for block in describe(model(name)).blocks.values():
            assert block.codes == bool(set(block.terms) - {"alpha", "beta"}), (name, block.name)


def test_functions_are_layers_too():
    pyramid = describe(model("parallax_attention")).blocks["pyramid_y.conv2"]
    assert [layer.words for layer in pyramid.layers] == ["conv 3×3, 8, ↓2", "leaky ReLU"]
    cam = describe(model("cross_attention")).blocks["cams.1"]
    assert [layer.kind for layer in cam.layers].count("attention") == 1
    assert cam.facts == {"heads": 2, "patch_grid": 4, "patch_size": (4, 4)}


def test_the_number_of_offsets_follows_the_width():
    this = model("parallax_attention", search_range=16)
    for width, offsets in ((64, 2 + 1 + 1), (256, 6 + 2 + 1)):  # 3/16 of the width at 1/8, a third of it backwards
        assert describe(this, (64, width)).blocks["cams.0"].facts == {"offsets": offsets}


@pytest.mark.parametrize("name", ndic.MODELS)
def test_the_table_has_every_parameter_once(name):
    this = model(name, lmbda=(1e-4, 1e-2))
    rows = layer_table(this, (64, 64))
    assert sum(row["parameters"] for row in rows) == sum(p.numel() for p in this.parameters())
    assert len({(row["block"], row["layer"]) for row in rows}) == len(rows)
    assert len(format_table(rows, rows[0]).splitlines()) == len(rows) + 1


def test_the_model_is_not_changed():
    this = model("ndic_bls17").eval()
    this.requires_grad_(False)
    before = {name: value.clone() for name, value in this.state_dict().items()}
    with torch.inference_mode():
        terms = describe(this).blocks["analysis_w"].terms
    assert terms == ("D_x", "alpha", "beta")
    assert not this.training
    assert not any(p.requires_grad for p in this.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in this.modules())
    assert all(torch.equal(value, before[name]) for name, value in this.state_dict().items())
    this.requires_grad_(True)


def test_default_sizes():
    assert describe(model("bls17")).size == (128, 256)
    assert describe(model("cross_attention")).size == (64, 64)


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("bmshj18", (64, 96), r"bmshj18 accepts no images of size=\(64, 96\): choose size=\(64, 128\)"),
        ("cross_attention", (64, 128), r"choose size=\(64, 64\)"),
        ("bls17", 64, "size=64 must be"),
        ("bls17", (0, 64), r"size=\(0, 64\) must be"),
        ("bls17", (1024, 2048), "has more than 1048576 pixels: choose a smaller one"),
    ],
)
def test_sizes_that_are_not_accepted(name, size, sentence):
    with pytest.raises(ndic.NDICError, match=sentence):
        describe(model(name), size)


def test_what_is_no_model():
    with pytest.raises(ndic.NDICError, match="model must be one that build_model or load_checkpoint returns; got str"):
        describe("bls17")
