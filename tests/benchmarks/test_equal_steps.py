"""What is compared at equal training differs in what its line says, and the table tells the difference."""

from pathlib import Path

import pytest
import torch
from conftest import lively


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import equal_steps

    return equal_steps


def changed(bench, change):
    """The model, as it is and changed, on the same pair."""
    model = lively("parallax_attention", robust=True)
    for parameter in model.parameters():  # layers that start at 0 would tell nothing
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    x, y = torch.rand(2, 1, 3, 64, 128)
    before = model(x, y, right=False)["x_hat"]
    change(model)
    return model, x, y, before


def test_parts_that_are_taken_out_are_out(bench):
    for change, parts in (
        (bench.without_volume_convolutions, lambda m: [cam.refine for cam in m.cams]),
        (bench.without_finer_convolutions, lambda m: [cam.refine for cam in m.cams[1:]]),
        (bench.without_retouch, lambda m: [m.retouch.layers]),
    ):
        model, x, y, before = changed(bench, change)
        assert not torch.equal(model(x, y, right=False)["x_hat"], before)
        assert all(isinstance(part, bench.Nothing) for part in parts(model))
        assert model(x, y)["x_hat"].shape == x.shape
    model, x, y, _ = changed(bench, bench.without_finer_convolutions)
    assert not isinstance(model.cams[0].refine, bench.Nothing)


def test_a_search_to_both_sides_reaches_as_far_to_each(bench):
    model, x, y, _ = changed(bench, bench.search_both_sides)
    with model.watched() as met:
        told = [model(x, y, right=side)["x_hat"] for side in (False, True, None)]
    assert all(torch.equal(one, told[0]) for one in told[1:])
    columns = met[0].match.places[0, :, 1, 0, 0]
    assert columns.min() == -columns.max() == -12


def test_the_table_compares_seed_by_seed(bench):
    def curve(variant, seed, factor, lost=1.0):
        for part in bench.PARTS:
            for i in range(4):
                for kind, less in (("matching_y", 0.0), ("mismatched_y", lost)):
                    point = {"bpp": factor * 0.1 * (i + 1), "psnr": 25.0 + 2 * i - less, "lmbda": 10.0**i}
                    yield {"variant": variant, "seed": seed, "part": part, "side_info": kind, **point}

    rows = [*curve(bench.OURS.label, 0, 1.0), *curve(bench.OURS.label, 1, 2.0)]
    rows += [*curve("worse", 0, 1.1, 2.0), *curve("worse", 1, 2.4, 3.0), *curve("alone", 7, 1.0)]
    lines = bench.table(rows).splitlines()
    assert lines[2].startswith(f"| {bench.OURS.label} | 0 | 0 | -1.00 ± 0.00 dB |  | 2 |")
    assert lines[3] == "| worse | +15.0 ± 7.1 % | +15.0 ± 7.1 % | -2.50 ± 0.71 dB |  | 2 |"
    assert lines[4] == "| alone |  |  | -1.00 dB |  | 1 |"
