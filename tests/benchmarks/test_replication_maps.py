"""Maps and accuracies of trained variants are stored for notebook 06."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import replication_maps as rm
import torch
from safetensors.torch import save_file

from ndic_core.data.street import Street
from ndic_core.models.factory import build_model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The variants with random weights, loaded from files as `replication.py` writes them."""
    args = Namespace(data=Path(), native=Path(), out=tmp_path_factory.mktemp("weights"))
    for line in rm.lines():
        torch.manual_seed(1)
        model = build_model(**rm.configuration(line, rm.SEED, args).model_arguments())
        line.change(model)
        save_file({key: value.clone() for key, value in model.state_dict().items()}, rm.weights_path(line, 0, args))
    return [rm.trained(line, args) for line in rm.lines()]


def test_maps_are_distributions_over_y(models):
    found = rm.arrays(models, [Street(size=(64, 128)).pair(i) for i in range(rm.DRAWN + 1)])
    *patches, row = (torch.from_numpy(found[f"maps_{i}"]).float() for i in range(len(models)))
    assert [tuple(maps.shape[2:]) for maps in patches] == [(4,) * 4, (4,) * 4, (16,) * 4]
    assert row.shape[2:5] == (16, 32, 1)
    for maps in patches:
        assert torch.allclose(maps.sum((-1, -2)), torch.ones(()), atol=0.01)
    assert row.sum((-1, -2)).max() <= 1.01  # the rest is the weight of no match
    diagonal = patches[-1].sum(-1).diagonal(dim1=2, dim2=4)  # all weight is in the patch's own row
    assert torch.allclose(diagonal, torch.ones(()), atol=0.01)
    assert np.all(found["accuracy"] <= found["upper_bound"] + 1e-9)
    assert found["accuracy"].shape == (len(models), 3)
    assert np.all(found["constant_shift"] == found["constant_shift"][0])


def test_the_small_models_are_shown():
    assert [line.group for line in rm.lines()] == ["variants", "variants", "combined", "variants"]
