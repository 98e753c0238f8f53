"""Parity with the published outputs, and with a plain reference implementation."""

import numpy as np
import pytest
import torch
from conftest import PUBLISHED, published_file, random_weight
from reference import Reference

import ndic_core as ndic


def assert_same(out, expected):
    """x_hat, y_hat and all bits within 1e-4, relative."""
    for key in ("x_hat", "y_hat"):
        assert (key in out) == (key in expected)
        if key in out:
            assert (out[key] - expected[key]).norm() <= 1e-4 * expected[key].norm()
    bits = {f"bits_{key}": -p.double().log2().sum().item() for key, p in out["likelihoods"].items()}
    assert bits == pytest.approx({key: expected[key] for key in bits}, rel=1e-4)
    assert set(bits) == {key for key in expected if key.startswith("bits")}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_outputs(name, shared, parity_weight, tmp_path):
    parity = np.load(shared / "reference" / "parity.npz")
    published_file(tmp_path / "weights.pt", name, parity_weight, int(parity["num_filters"]), int(parity["seed"]))
    model = ndic.load_checkpoint(tmp_path / "weights.pt")
    x, y = (torch.from_numpy(parity[key]).float()[None] / 255 for key in "xy")
    expected = {key.removeprefix(f"{name}/"): parity[key] for key in parity if key.startswith(f"{name}/")}
    expected = {k: torch.from_numpy(v)[None] if k.endswith("hat") else float(v) for k, v in expected.items()}
    with torch.no_grad():
        assert_same(model(x, y), expected)


@pytest.mark.parametrize(("num_filters", "size", "seed"), [(5, (64, 64), 1), (12, (64, 192), 2)])
@pytest.mark.parametrize("name", PUBLISHED)
def test_other_sizes_filters_and_seeds(name, num_filters, size, seed, tmp_path):
    sizes = {"image_size": size} if name == "cross_attention" else {}
    tensors = published_file(tmp_path / "weights.pt", name, random_weight, num_filters, seed, **sizes)
    model = ndic.load_checkpoint(tmp_path / "weights.pt", image_size=size if sizes else None)
    x, y = torch.rand(2, 1, 3, *size, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        assert_same(model(x, y), Reference(name, tensors)(x, y))
