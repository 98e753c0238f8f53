"""The shipped weights: small files of every model, many rates, better than JPEG, and better with the matching y."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ndic_core as ndic
from ndic_core.catalogue import CATALOGUE, METRICS
from ndic_core.checkpoints.checkpoint import stored_fingerprint
from ndic_core.data.street import Street
from ndic_core.data.street.pairs import FIRST_INDEX
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation.tables import read_table
from ndic_core.files import shipped_weights
from ndic_core.metrics import ms_ssim, ms_ssim_db, psnr

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIDED = [name for name in ndic.MODELS if CATALOGUE[name].side_info]
ALL = [(name, metric) for metric in METRICS for name in ndic.MODELS]


@pytest.fixture(scope="module")
def scenes():
    return [Street().pair(FIRST_INDEX["test"] + i) for i in range(2)]


def quality(x, x_hat, metric="MS-SSIM") -> float:
    """In dB, of what the weights were trained for."""
    x, x_hat = x[None], x_hat[None]
    return (psnr(x, x_hat) if metric == "MSE" else ms_ssim_db(ms_ssim(x, x_hat))).item()


def test_every_file_is_small_and_of_16_bits():
    files = list(shipped_weights("bls17").parent.glob("*.safetensors"))
    assert {file.stem for file in files} == {*ndic.MODELS, *(f"{name}_mse" for name in ndic.MODELS)}
    assert sum(file.stat().st_size for file in files) < 60e6
    for file in files:
        assert file.stat().st_size < 15e6
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_compared_has_one_width_and_one_range_of_rates(metric):
    models = {name: ndic.load_pretrained(name, metric) for name in ("bmshj18_factorized", "bmshj18", *SIDED)}
    assert len({model.config["num_filters"] for model in models.values()}) == 1
    low, high = models.pop("parallax_attention").lambdas  # of a newer recipe, with a wider range
    ((lowest, highest),) = {model.lambdas for model in models.values()}
    assert low < lowest < highest < high


@pytest.mark.parametrize(("name", "metric"), ALL)
def test_larger_lambdas_cost_more_and_look_better(name, metric, scenes):
    model = ndic.load_pretrained(name, metric)
    low, high = model.lambdas
    points = []
    for lmbda in (low, (low * high) ** 0.5, high):
        streams = [ndic.encode(model, scene.x, lmbda) for scene in scenes]
        decoded = [ndic.decode(model, stream, scene.y) for stream, scene in zip(streams, scenes, strict=True)]
        bpp = 8 * sum(map(len, streams)) / (len(scenes) * 128 * 256)
        qualities = [quality(scene.x, x_hat, metric) for scene, x_hat in zip(scenes, decoded, strict=True)]
        points.append((bpp, sum(qualities) / len(scenes)))
    assert points == sorted(points)
    assert points[0][0] < 0.08
    assert points[-1][0] > 0.2
    assert points[-1][1] > points[0][1] + 3


@pytest.mark.parametrize(("name", "metric"), ALL)
def test_a_jpeg_as_large_is_worse(name, metric, scenes):
    """At the highest rate in PSNR: below it, no JPEG is as small. Compared is the smallest JPEG not smaller."""
    model = ndic.load_pretrained(name, metric)
    for scene in scenes:
        jpegs = [classical.encode("JPEG", scene.x, level) for level in range(1, 60)]
        stream = ndic.encode(model, scene.x, model.lambdas[1] if metric == "MSE" else None)
        jpeg = next(file for file in jpegs if len(file) >= len(stream))
        ours, theirs = ndic.decode(model, stream, scene.y), classical.decode(jpeg)
        assert quality(scene.x, ours, metric) > quality(scene.x, theirs, metric) + 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", SIDED)
def test_the_right_y_is_worth_something(name, metric, scenes):
    model = ndic.load_pretrained(name, metric)
    for scene, other in zip(scenes, scenes[1:] + scenes[:1], strict=True):
        stream = ndic.encode(model, scene.x)
        matching, mismatched, none = (
            quality(scene.x, ndic.decode(model, stream, y), metric)
            for y in (scene.y, other.y, torch.full_like(scene.y, 0.5))
        )
        assert matching > mismatched
        assert matching > none


@pytest.mark.parametrize("metric", METRICS)
def test_the_results_were_measured_with_the_shipped_weights(metric, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from results import KITTI, SEQUENCE, STREET, reported

    rows = reported(BENCHMARKS / "results", metric)
    measured = {(row["data"], row["model"], row["fingerprint"]) for row in rows if row["model"] in ndic.MODELS}
    shipped = {name: stored_fingerprint(shipped_weights(name, metric)) for name in ndic.MODELS}
    assert measured == {(data, *item) for data in (KITTI, SEQUENCE, STREET) for item in shipped.items()}


def test_the_replication_is_complete_and_equally_trained(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from replication import LINES, LONGER, SHIPPED, TABLE, seeds_of

    rows = read_table(TABLE)
    wanted = {(line.group, line.label, seed) for line in LINES for seed in seeds_of(line)}
    assert {(row["group"], row["line"], row["seed"]) for row in rows} == wanted
    steps = {name: max(row["steps"] for row in rows if row["group"] == name and "steps" in row) for name, *_ in wanted}
    for name, line, seed in wanted:
        course = [row.get("steps", 0) for row in rows if (row["group"], row["line"], row["seed"]) == (name, line, seed)]
        assert max(course) == steps[name]
    small = {name: count for name, count in steps.items() if name not in (LONGER, SHIPPED)}
    assert max(small.values()) - min(small.values()) <= 0.05 * max(small.values())  # whole epochs, of other lengths
