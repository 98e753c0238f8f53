"""The matching loss: against its definition, the disparity that it needs, and its effect on training."""

import math

import numpy as np
import pytest
import torch
from conftest import lively, quiet, teaching, wrap_step
from lightning_fabric import Fabric

from ndic_core.data.datasets import load_split
from ndic_core.data.street import Street
from ndic_core.data.street.pairs import FIRST_INDEX
from ndic_core.models.matching import Match
from ndic_core.training import train as training
from ndic_core.training.loader import PairLoader
from ndic_core.training.matching_loss import FLOOR, matching_loss

FAR = dict(baseline=2.0, noise=0.0, exposure=0.0)  # disparities that are large for a small image


def with_matching_loss(own_folder, tmp_path, **changes):
    """A configuration with a matching loss on a small street: 4 steps an epoch."""
    street = dict(dataset_name="Street", street_pairs=[16, 2, 2], street=FAR)
    model = dict(model="parallax_attention", search_range=32, alpha=0, beta=0, matching_loss_weight=1.0)
    return teaching(own_folder, tmp_path, **{**street, **model, "save_weights": False, **changes})


def match_of(weights, columns=None, rows=0):
    """A match whose places are the whole offsets of a window, or these columns (B, K, h, w)."""
    b, k, h, w = weights.shape[0], weights.shape[1] - 1, *weights.shape[2:]
    if columns is None:
        reach = k // (2 * rows + 1) // 2
        places = [(float(i), float(j)) for i in range(-rows, rows + 1) for j in range(-reach, reach + 1)]
        places = torch.tensor(places)[None, :, :, None, None]
    else:
        places = torch.stack([torch.zeros_like(columns), columns], 2)
    spread = places.expand(b, k, 2, h, w)
    return Match((weights[:, :-1, None] * spread).sum(1), places, weights)


@pytest.fixture
def matches():
    """Of three scales for two pairs of 16 × 32 pixels: whole offsets at first, then any."""
    torch.manual_seed(0)
    weights = [torch.randn(2, k + 1, *size).softmax(1) for k, size in ((7, (2, 4)), (5, (4, 8)), (5, (8, 16)))]
    columns = [None, *(4 * torch.randn(2, 5, *size) for size in ((4, 8), (8, 16)))]
    return [match_of(*both) for both in zip(weights, columns, strict=True)]


@pytest.fixture
def disparity():
    """Two pairs, one of them mirrored: visible, hidden, in part hidden, further than the search."""
    values = 12 * torch.rand(2, 16, 32)
    values[:, :8, :12] = math.nan
    values[:, 5, 27] = math.nan
    values[0, 9:, 20:] = 30
    values[1] *= -1
    return values


def by_definition(match, disparity, coarsest: bool, furthest: float = 24.0) -> float:
    """One scale's loss, position by position."""
    terms, errors, (_, _, height, width) = [], [], match.weights.shape
    stride = disparity.shape[-1] // width
    for b, i, j in np.ndindex(len(match.weights), height, width):
        truth = disparity[b, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
        token = match.weights[b, -1, i, j].item()
        if truth.isnan().all():
            terms.append(math.log(token + FLOOR))
        elif not truth.isnan().any() and abs(truth.mean().item()) <= furthest:
            target = -truth.mean().item() / stride
            weights = match.weights[b, :-1, i, j].tolist()
            if coarsest:
                terms.append(math.log(np.interp(target, match.places[0, :, 1, 0, 0].numpy(), weights) + FLOOR))
            else:
                terms.append(math.log(1 - token + FLOOR))
                error = abs(match.offset[b, 1, i, j].item() - target)
                errors.append(error - 0.5 if error > 1 else error**2 / 2)
    return -np.mean(terms) if coarsest else 0.5 * np.mean(errors) - 0.5 * np.mean(terms)


def test_loss_is_what_it_says(matches, disparity):
    each = [by_definition(match, disparity, coarsest=not i) for i, match in enumerate(matches)]
    assert matching_loss(matches, disparity).item() == pytest.approx(np.mean(each), rel=1e-4)
    assert matching_loss(matches[:1], disparity).item() == pytest.approx(each[0], rel=1e-4)


def test_rows_beside_the_own_one_are_no_match(disparity):
    torch.manual_seed(0)
    weights = torch.randn(2, 22, 2, 4).softmax(1)
    own_row = torch.cat([weights[:, 7:14], weights[:, -1:]], 1)
    assert torch.allclose(
        matching_loss([match_of(weights, rows=1)], disparity), matching_loss([match_of(own_row)], disparity)
    )


def test_nothing_that_counts_is_no_loss():
    weights = torch.full((1, 4, 2, 4), 0.25, requires_grad=True)
    loss = matching_loss([match_of(weights)], torch.full((1, 16, 32), 99.0))
    loss.backward()
    assert loss == 0
    assert (weights.grad == 0).all()


def test_a_mirrored_pair_has_the_loss_of_the_mirrored_match(matches, disparity):
    def mirror(match):
        """What the same attention finds in mirrored images."""
        turned = match.places * torch.tensor([1.0, -1.0])[:, None, None]
        return Match(
            match.offset.flip(3) * torch.tensor([1.0, -1.0])[:, None, None], turned.flip(4), match.weights.flip(3)
        )

    mirrored = [mirror(match) for match in matches]
    assert torch.allclose(matching_loss(mirrored, -disparity.flip(-1)), matching_loss(matches, disparity))
    assert not torch.allclose(matching_loss(mirrored, disparity.flip(-1)), matching_loss(matches, disparity))


def test_gradients_reach_the_matching_and_only_what_leads_to_it(disparity):
    model = lively("parallax_attention", search_range=8).train()
    with model.watched() as met:
        model(*torch.rand(2, 2, 3, 16, 32), right=torch.tensor([False, True]))
    matching_loss([one.match for one in met], disparity).backward()
    for cam in model.cams:
        for name in ("to_q.weight", "to_k.weight" if cam is model.cams[0] else "to_kv.weight", "bias", "no_match.bias"):
            gradient = cam.get_parameter(name).grad
            assert gradient.isfinite().all()
            assert gradient.abs().sum() > 0
    assert model.synthesis_x.stage4.weight.grad is None


def test_the_truth_is_the_streets_and_rendered_once(own_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NDIC_CACHE", str(tmp_path / "cache"))
    config = with_matching_loss(own_folder, tmp_path)
    rendered = []
    pair = Street.pair
    monkeypatch.setattr(Street, "pair", lambda self, i: rendered.append(i) or pair(self, i))
    pairs = load_split(config, "train", progress=False)
    assert sorted(rendered) == list(range(16))  # images and disparity in one pass
    assert load_split(config, "val", progress=False).disparity is None
    del rendered[:]
    again = load_split(config, "train", progress=False)
    plain = load_split(config.model_copy(update={"matching_loss_weight": 0}), "train", progress=False)
    assert rendered == []
    assert np.array_equal(plain.images, pairs.images)
    assert plain.disparity is None
    for i in (3, 14):
        scene = pair(Street(size=(32, 64), **FAR), FIRST_INDEX["train"] + i)
        truth = again.ground_truth([i])[0]
        assert torch.equal(truth.isnan(), scene.occluded)
        assert torch.allclose(truth, scene.disparity.masked_fill(scene.occluded, math.nan), atol=0.01, equal_nan=True)
    assert torch.equal(again.first(3).ground_truth([2]).nan_to_num(), again.ground_truth([2]).nan_to_num())


def test_the_disparity_is_added_to_cached_images(own_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NDIC_CACHE", str(tmp_path / "cache"))
    config = with_matching_loss(own_folder, tmp_path, street_pairs=[2, 1, 1])
    load_split(config.model_copy(update={"matching_loss_weight": 0}), "train", progress=False)
    (images,) = (tmp_path / "cache").glob("*.npy")
    before = images.stat().st_mtime_ns
    assert load_split(config, "train", progress=False).ground_truth([0, 1]).shape == (2, 32, 64)
    assert images.stat().st_mtime_ns == before
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


def test_batches_have_the_disparity_of_mirrored_images(own_folder, tmp_path):
    """x, read in y where the batch's disparity says, is x; the other sign would be far off."""
    config = with_matching_loss(own_folder, tmp_path)
    pairs = load_split(config, "train", progress=False)
    batches = PairLoader(pairs, Fabric(accelerator="cpu", devices=1), 4, epochs=3, matching_loss_weight=1.0)
    whole = list(batches.epoch(0))
    assert len(batches) == len(whole) == 4
    assert torch.equal(next(batches.epoch(0, start=2)).x, whole[2].x)
    x, y, disparity = (torch.cat([getattr(batch, part) for batch in whole]) for part in ("x", "y", "disparity"))
    mirrored = {not any(torch.equal(image, pairs[i][0]) for i in range(16)) for image in x}
    assert mirrored == {False, True}
    for i in range(16):
        right, wrong = (_difference(x[i], y[i], sign * disparity[i]) for sign in (1, -1))
        assert right < 0.03
        assert right < 0.5 * wrong


def _difference(x, y, disparity) -> float:
    """Mean difference between x and y read where `disparity` says, of what is near."""
    place = torch.arange(x.shape[-1]) - disparity
    near = (disparity.abs() > 2) & (place >= 0) & (place <= x.shape[-1] - 1)
    place = place.where(near, 0)
    left = place.floor().long()
    ends = (y.gather(-1, i.clamp(max=x.shape[-1] - 1).expand(3, -1, -1)) for i in (left, left + 1))
    return (torch.lerp(*ends, place - left) - x).abs()[:, near].mean().item()


def test_the_matching_loss_fades_out_and_then_costs_nothing(own_folder, tmp_path, monkeypatch):
    weights, computed = [], []

    def watched(step, setup, batch):
        weights.append(batch.matching_loss_weight)
        return step(setup, batch)

    wrap_step(watched, monkeypatch)
    monkeypatch.setattr(training, "matching_loss", lambda *given: computed.append(1) or matching_loss(*given))
    quiet(with_matching_loss(own_folder, tmp_path, epochs=2, matching_loss_weight=2.0))
    assert weights == [2.0, 1.5, 1.0, 0.5, 0, 0, 0, 0]
    assert len(computed) == 4


def test_reported_losses_are_those_of_rate_and_distortion(own_folder, tmp_path):
    """With a learning rate near 0, the matching loss changes no reported value."""
    plain, helped = (
        quiet(with_matching_loss(own_folder, tmp_path, epochs=1, lr=1e-12, matching_loss_weight=weight)).history[0]
        for weight in (0, 50.0)
    )
    assert helped["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert helped["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-5)
