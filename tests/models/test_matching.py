"""Matching along the row against its definition, position by position."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ndic_core.models import matching
from ndic_core.models.matching import FAR, REACH, SHARE, Match, RowRefinement, RowSearch
from ndic_core.models.warping import read_at, shifted


def filled(module: nn.Module, std: float = 0.4) -> nn.Module:
    """The module with random weights everywhere, also where training starts from 0."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module.eval()


def projected(features, norm, to):
    return to(norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def cost_volume(q, k, offsets):
    """Products in two groups of three channels, 0 outside y."""
    b, _, h, w = q.shape
    volume = torch.zeros(b, 2, len(offsets), h, w)
    for n, (down, right) in enumerate(offsets):
        for i in range(max(0, -down), min(h, h - down)):
            for j in range(max(0, -right), min(w, w - right)):
                product = (q[:, :, i, j] * k[:, :, i + down, j + right]).unflatten(1, (2, 3)).sum(-1)
                volume[:, :, n, i, j] = product / math.sqrt(3)
    return volume


def weighted(logits, values):
    """Weights, and values summed by them, those of the no-match token last."""
    weights = torch.stack(logits, 1).softmax(1)
    return weights, sum(weight[:, None] * value for weight, value in zip(weights.T, values, strict=True))


def grid_of(rows: int, left: int, right: int) -> list[tuple[int, int]]:
    return [(a, b) for a in range(-rows, rows + 1) for b in range(-left, right + 1)]


def test_reading_between_positions_is_bilinear_and_its_gradient_too():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 7, 3, dtype=torch.float64, requires_grad=True)
    offset = (4 * torch.rand(2, 2, 5, 7, dtype=torch.float64) - 2).requires_grad_()
    column = (torch.arange(7) + offset[:, 1] + 0.5) / 7 * 2 - 1
    row = (torch.arange(5)[:, None] + offset[:, 0] + 0.5) / 5 * 2 - 1
    grid = torch.stack([column, row], -1)
    expected = F.grid_sample(features.permute(0, 3, 1, 2), grid, "bilinear", "border", align_corners=False)
    read = read_at(features, offset.float(), vertical=True)
    assert torch.allclose(read.double(), expected.permute(0, 2, 3, 1), atol=1e-5)
    weights = torch.randn_like(read)
    ours = torch.autograd.grad((read * weights).sum(), (features, offset))
    theirs = torch.autograd.grad((expected.permute(0, 2, 3, 1) * weights).sum(), (features, offset))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


def test_reading_in_the_row_ignores_the_rows_offset():
    features, offset = torch.randn(2, 5, 7, 3), torch.randn(2, 2, 5, 7)
    in_row = read_at(features, offset, vertical=False)
    assert torch.equal(in_row, read_at(features, offset * torch.tensor([9.0, 1.0])[:, None, None], vertical=False))
    flat = offset * torch.tensor([0.0, 1.0])[:, None, None]
    assert torch.allclose(in_row, read_at(features, flat, vertical=True), atol=1e-6)
    assert torch.equal(read_at(features, torch.zeros_like(offset), vertical=False), features)


def test_shifted_shows_what_lies_at_each_offset():
    features = torch.randn(1, 4, 6, 2)
    for moved, (a, b) in zip(shifted(features, 1, 2, 3, FAR), grid_of(1, 2, 3), strict=True):
        for i in range(4):
            for j in range(6):
                inside = 0 <= i + a < 4 and 0 <= j + b < 6
                expected = features[0, i + a, j + b] if inside else torch.full((2,), FAR)
                assert torch.equal(moved[0, i, j], expected)


@pytest.mark.parametrize("reach", [(0, 0), (0, 3), (1, 2)])
def test_search_computes_what_it_says(reach):
    m = filled(RowSearch((6, 6), reach, out=5, groups=2, group_width=3))
    t, u = torch.randn(2, 2, 6, 4, 9)
    aligned, match = m(t, u)
    q, k, v = projected(t, m.norm_x, m.to_q), projected(u, m.norm_y, m.to_k), projected(u, m.norm_y, m.to_v)
    rows, left = reach[0], max(reach[1], math.ceil(SHARE * 9))
    right = math.ceil(left / 3)
    offsets = grid_of(rows, left, right)
    volume = cost_volume(q, k, offsets)
    refined = torch.cat(
        [m.refine(volume[:, :, n : n + left + right + 1])[:, 0] for n in range(0, len(offsets), left + right + 1)], 1
    )
    for i, j in ((0, 0), (1, 8), (3, 4), (2, 5)):
        logits, values = [], []
        for n, (a, b) in enumerate(offsets):
            if 0 <= i + a < 4 and 0 <= j + b < 9:
                bias = m.bias[a + rows, min(max(b, -reach[1]), math.ceil(reach[1] / 3)) + reach[1]]
                logits.append(volume[:, :, n, i, j].sum(1) + refined[:, n, i, j] + bias)
                values.append(v[:, :, i + a, j + b])
        no_match = m.no_match(m.norm_x(t[:, :, i, j]))[:, 0]
        weights, expected = weighted([*logits, no_match], [*values, m.no_match_value.expand(2, -1)])
        assert torch.allclose(aligned[:, :, i, j], expected, atol=1e-5)
        assert torch.allclose(match.confidence[:, i, j], 1 - weights[:, -1], atol=1e-6)
    assert torch.allclose(match.weights.sum(1), torch.ones(2, 4, 9))


def coarse(b: int, h: int, w: int, offset: float, confidence: float = 0.5) -> Match:
    """A match that is the same everywhere."""
    places = torch.tensor([0.0, offset]).reshape(1, 1, 2, 1, 1).expand(b, 1, 2, h, w)
    weights = torch.tensor([confidence, 1 - confidence])[:, None, None].expand(b, 2, h, w)
    return Match(places[:, 0], places, weights)


@pytest.mark.parametrize(("rows", "kernel"), [(0, 1), (1, 3)])
def test_refinement_computes_what_it_says(rows, kernel):
    m = filled(RowRefinement((6, 6), rows, out=5, kernel=kernel, groups=2, group_width=3))
    t, u = torch.randn(2, 2, 6, 4, 12)
    aligned, match = m(t, u, coarse(2, 2, 6, -0.75, confidence=0.8))
    offset = torch.tensor([0.0, -1.5]).reshape(1, 2, 1, 1).expand(2, 2, 4, 12)
    belief = torch.full((2, 4, 12), math.log(4))  # the logit of 0.8
    q, kv = projected(t, m.norm_x, m.to_q), projected(u, m.norm_y, m.to_kv)
    kv = read_at(kv.permute(0, 2, 3, 1), offset, vertical=True).permute(0, 3, 1, 2)
    k, v = kv[:, :6], kv[:, 6:]
    offsets = grid_of(rows, REACH, REACH)
    volume = cost_volume(q, k, offsets)
    refined = m.refine(torch.cat([volume.transpose(1, 2).flatten(1, 2), belief[:, None]], 1))
    for i, j in ((0, 3), (1, 11), (3, 4), (2, 7), (0, 0)):
        logits, values, places = [], [], []
        for n, (a, b) in enumerate(offsets):
            column = j + b - 1.5  # where the neighbour reads
            if 0 <= i + a < 4 and 0 <= j + b < 12 and -0.5 <= column <= 11.5:
                logits.append(volume[:, :, n, i, j].sum(1) + refined[:, n, i, j] + m.bias[n])
                values.append(v[:, :, i + a, j + b])
                places.append(b - 1.5)
        no_match = m.no_match(m.norm_x(t[:, :, i, j]))[:, 0] + refined[:, -1, i, j] - m.belief * belief[:, i, j]
        no_match = no_match + math.log(len(offsets))
        _, expected = weighted([*logits, no_match], [*values, m.no_match_value.expand(2, -1)])
        assert torch.allclose(aligned[:, :, i, j], expected, atol=1e-5)
        mean = torch.full((2,), -1.5)  # where no place is left, the offset stays
        if places:
            mean = (torch.stack(logits, 1).softmax(1) * torch.tensor(places)).sum(1)
        assert torch.allclose(match.offset[:, 1, i, j], mean, atol=1e-5)


def test_what_lies_outside_y_has_no_weight_and_all_of_it_no_match():
    m = filled(RowRefinement((6, 6), 0, out=5, groups=2, group_width=3))
    _, match = m(*torch.randn(2, 1, 6, 2, 12), coarse(1, 1, 6, -20.0))
    assert torch.equal(match.weights[:, -1], torch.ones(1, 2, 12))
    assert torch.equal(match.offset[:, 1], torch.full((1, 2, 12), -40.0))
    _, match = filled(RowSearch((6, 6), (0, 4), out=5))(*torch.randn(2, 1, 6, 2, 12))
    assert (match.weights[0, :4, :, 0] == 0).all()  # left of the border
    assert (match.weights[0, 4:7, :, 5] > 0).all()


def test_the_window_keeps_every_weight_at_its_place():
    torch.manual_seed(0)
    weights = torch.rand(2, 5, 3, 4).softmax(1)
    places = torch.stack([torch.zeros(2, 4, 3, 4), 6 * torch.rand(2, 4, 3, 4) - 3], 2)
    match = Match(torch.zeros(2, 2, 3, 4), places, weights)
    window = match.window(1, 3)
    assert window.shape == (2, 1, 3, 4, 3, 7)
    assert torch.allclose(window.sum((-2, -1))[:, 0], match.confidence)
    assert (window[..., 0, :] == 0).all()
    assert (window[..., 2, :] == 0).all()
    mean = (window[:, 0, :, :, 1] * torch.arange(-3.0, 4)).sum(-1)
    assert torch.allclose(mean, (weights[:, :-1] * places[:, :, 1]).sum(1), atol=1e-5)
    narrow = match.window(0, 1)[:, 0, :, :, 0]
    assert torch.allclose(narrow, window[:, 0, :, :, 1, 2:5])  # what lies beyond is left out, nothing else changes


def test_the_offset_is_that_of_one_match_not_between_two():
    logits = torch.full((1, 19, 1, 20), -5.0)
    logits[:, 2], logits[:, 15], logits[:, 16] = 3.0, 4.0, 4.0
    peak = matching._peak(logits, matching._grid(0, 9, 9, logits.device))
    assert torch.allclose(peak[0, 1], torch.full((1, 20), 15.5 - 9), atol=1e-3)


def test_a_shifted_image_is_found_to_a_fraction_of_a_position():
    """With keys that are queries, from coarse to fine: what has moved by 5.5 fine positions is found there."""
    torch.manual_seed(0)
    search = RowSearch((16, 16), (0, 8), out=4, groups=1, group_width=16)
    refinement = RowRefinement((16, 16), 0, out=4, groups=1, group_width=16)
    with torch.no_grad():
        for to in (search.to_q, search.to_k):
            to.weight.zero_()[:, :, 1, 1] = 6 * torch.eye(16)
            to.bias.zero_()
        for to in (refinement.to_q, refinement.to_kv):
            to.weight[:16] = 6 * torch.eye(16)[..., None, None]
            to.bias.zero_()
    fine = F.interpolate(torch.randn(1, 16, 8, 24), size=(8, 96), mode="bicubic")  # smooth enough to read between
    moved = read_at(fine.permute(0, 2, 3, 1), torch.tensor([0.0, 5.5]).reshape(1, 2, 1, 1).expand(1, 2, 8, 96), False)
    moved = moved.permute(0, 3, 1, 2)
    _, match = search(F.avg_pool2d(fine, 2), F.avg_pool2d(moved, 2))
    assert (match.offset[0, 1, :, 12:-12] + 2.75).abs().mean() < 0.5
    _, match = refinement(fine, moved, match)
    assert (match.offset[0, 1, :, 24:-24] + 5.5).abs().mean() < 0.35


def test_the_search_follows_the_width_and_only_that():
    m = RowSearch((6, 6), (0, 4), out=5)
    assert [m.window(width)[1:] for width in (3, 16, 22, 64, 320)] == [(2, 1), (4, 2), (5, 2), (12, 4), (60, 20)]
    with torch.no_grad():
        m.bias.copy_(torch.arange(7.0)[None])
    assert m._bias(6, 4).tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6]
    assert m._bias(2, 1).tolist() == [2, 3, 4, 5]


def test_a_mirrored_match_is_that_of_mirrored_images():
    m = filled(RowRefinement((6, 6), 1, out=5))
    _, match = m(*torch.randn(2, 3, 6, 4, 12), coarse(3, 2, 6, -0.75))
    turned = match.mirrored(torch.tensor([True, False, True]))
    assert turned.mirrored(torch.tensor([True, False, True])).offset.equal(match.offset)
    for part, whole in zip(turned, match, strict=True):
        assert torch.equal(part[1], whole[1])
    assert torch.equal(turned.window(2, 9)[0], match.window(2, 9)[0].flip(2, 4))
    assert torch.equal(turned.of(torch.tensor([2])).offset[0, 1], -match.offset[2, 1].flip(-1))
