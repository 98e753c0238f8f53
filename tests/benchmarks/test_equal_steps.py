"""Each variant differs in its part only, and the table compares the variants seed by seed."""

import equal_steps
import torch
from conftest import lively


def changed(change):
    """The changed model, a pair, and the output before the change."""
    model = lively("parallax_attention", robust=True)
    for parameter in model.parameters():  # some layers start at 0
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    x, y = torch.rand(2, 1, 3, 64, 128)
    before = model(x, y, right=False)["x_hat"]
    change(model)
    return model, x, y, before


def test_parts_are_removed():
    for change, parts in (
        (equal_steps.without_volume_convolutions, lambda m: [cam.refine for cam in m.cams]),
        (equal_steps.without_finer_convolutions, lambda m: [cam.refine for cam in m.cams[1:]]),
        (equal_steps.without_retouch, lambda m: [m.retouch.layers]),
    ):
        model, x, y, before = changed(change)
        assert not torch.equal(model(x, y, right=False)["x_hat"], before)
        assert all(isinstance(part, equal_steps.Nothing) for part in parts(model))
        assert model(x, y)["x_hat"].shape == x.shape
    model, x, y, _ = changed(equal_steps.without_finer_convolutions)
    assert not isinstance(model.cams[0].refine, equal_steps.Nothing)


def test_a_search_to_both_sides_is_symmetric():
    model, x, y, _ = changed(equal_steps.search_both_sides)
    with model.watched() as met:
        outputs = [model(x, y, right=side)["x_hat"] for side in (False, True, None)]
    assert all(torch.equal(output, outputs[0]) for output in outputs[1:])
    columns = met[0].match.places[0, :, 1, 0, 0]
    assert columns.min() == -columns.max() == -12


def test_the_table_compares_seed_by_seed():
    def curve(variant, seed, factor, lost=1.0):
        for part in equal_steps.PARTS:
            for i in range(4):
                for kind, less in (("matching_y", 0.0), ("mismatched_y", lost)):
                    point = {"bpp": factor * 0.1 * (i + 1), "psnr": 25.0 + 2 * i - less, "lmbda": 10.0**i}
                    yield {"variant": variant, "seed": seed, "part": part, "side_info": kind, **point}

    rows = [*curve(equal_steps.OURS.label, 0, 1.0), *curve(equal_steps.OURS.label, 1, 2.0)]
    rows += [*curve("worse", 0, 1.1, 2.0), *curve("worse", 1, 2.4, 3.0), *curve("alone", 7, 1.0)]
    lines = equal_steps.table(rows).splitlines()
    assert lines[2].startswith(f"| {equal_steps.OURS.label} | 0 | 0 | -1.00 ± 0.00 dB |  | 2 |")
    assert lines[3] == "| worse | +15.0 ± 7.1 % | +15.0 ± 7.1 % | -2.50 ± 0.71 dB |  | 2 |"
    assert lines[4] == "| alone |  |  | -1.00 dB |  | 1 |"
