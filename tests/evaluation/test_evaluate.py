"""Evaluation on real bytes: rows, averages, curves and their files."""

import re

import numpy as np
import pytest
import torch
from conftest import lively, teaching

import ndic_core as ndic
from ndic_core import compare
from ndic_core.compare import bd_rates, classical_curves, draw_curves
from ndic_core.data.pairs import Pairs
from ndic_core.data.photographs import embedded_pair
from ndic_core.errors import NDICError
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation.evaluate import SIDE_INFO, averages, curve, evaluate, lambdas, write_published_table
from ndic_core.evaluation.roundtrip import roundtrips
from ndic_core.evaluation.tables import read_table
from ndic_core.io import read_image
from ndic_core.plots.panels import rate_distortion


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Four pairs of 128 × 256: two scenes (the real pair and its mirror image), in both orders."""
    views = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in embedded_pair()]
    images = np.stack([*views, *(view[:, ::-1] for view in views)])
    return Pairs(images, np.array([[0, 1], [1, 0], [2, 3], [3, 2]]), ["a", "b", "c", "d"])


@pytest.fixture(scope="module")
def rows(pairs) -> list[dict]:
    return evaluate(lively("ndic_bls17"), pairs, progress=False)


def test_each_image_is_decoded_with_matching_mismatched_and_no_y(pairs, rows):
    found = [(row["image"], row["name"], row["side_info"]) for row in rows]
    assert found == [(i, name, kind) for i, name in enumerate("abcd") for kind in SIDE_INFO]
    x, y = pairs[1]
    ys = {"matching_y": y, "mismatched_y": pairs[3][1], "no_y": torch.full_like(y, 0.5)}
    expected = roundtrips(lively("ndic_bls17"), x, ys)
    for row, other in zip(rows[3:6], expected, strict=True):
        assert all(row[key] == other[key] for key in other if "seconds" not in key and key != "x_hat")


def test_mismatched_y_never_shows_the_same_scene(pairs):
    same_name = Pairs(pairs.images, np.array([[0, 1], [2, 3]]), ["a", "b"], ["street", "street"])
    for scenes in (pairs.first(2), same_name):  # the first two hold the same images
        rows = evaluate(lively("ndic_bls17"), scenes, progress=False)
        assert {row["side_info"] for row in rows} == {"matching_y", "no_y"}


def test_models_without_side_information_decode_once(pairs):
    rows = evaluate(lively("bls17"), pairs.first(2), progress=False)
    assert [row["side_info"] for row in rows] == ["matching_y", "matching_y"]


@pytest.mark.parametrize("name", ["bls17", "ndic_bls17"])
@pytest.mark.parametrize("kinds", ["no_y", "matching_y", ["mismatch"], [1], [["no_y"]], [], None, {"no_y"}])
def test_other_side_information_is_refused(name, kinds, pairs):
    model = ndic.build_model(name, num_filters=2)
    with pytest.raises(NDICError, match="side_info is a list of one or more of matching_y, mismatched_y, no_y; got"):
        evaluate(model, pairs, side_info=kinds, progress=False)


def test_nothing_to_decode_is_refused(pairs):
    model = lively("ndic_bls17")
    with pytest.raises(NDICError, match="nothing to decode with mismatched_y: give pairs, of more than one scene"):
        evaluate(model, pairs.first(1), side_info=["mismatched_y"], progress=False)
    with pytest.raises(NDICError, match="nothing to decode with matching_y, mismatched_y, no_y"):
        evaluate(model, pairs.first(0), progress=False)


@pytest.mark.parametrize("points", [1, 0, -1, "3", 2.5, None])
def test_a_curve_needs_two_points(points, pairs):
    with pytest.raises(NDICError, match="number of lambdas of a curve, 2 or more, not"):
        curve(lively("bls17", lmbda=(0.001, 0.1)), pairs, points, progress=False)


def test_averages_need_numbers():
    row = dict(model="bls17", lmbda=0.1, side_info="no_y", bpp=0.5, psnr=30.0)
    (point,) = averages([row, row | dict(psnr=None)])
    assert (point["bpp"], point["psnr"]) == (0.5, None)
    for other, sentence in ((row | dict(psnr="30.0"), "psnr must be .* one has '30.0'"), ({}, "a row has no model")):
        with pytest.raises(NDICError, match=sentence):
            averages([row, other])
    without = {key: value for key, value in row.items() if key != "bpp"}
    for rows in ([row, without], [without, row]):
        with pytest.raises(NDICError, match="bpp must be a number in every row; one has 'no value'"):
            averages(rows)
    with pytest.raises(NDICError, match=r"by is a list of keys; got 'model': give \['model'\]"):
        averages([row], by="model")


@pytest.mark.parametrize("name", ["bmshj18", "cross_attention"])
def test_images_of_any_size(name):
    rng = np.random.default_rng(0)
    pairs = Pairs(rng.integers(0, 256, (2, 100, 150, 3), dtype=np.uint8), np.array([[0, 1]]), ["a"])
    rows = evaluate(lively(name, spread=1.0), pairs, progress=False)
    assert rows[0]["bpp"] == pytest.approx(rows[0]["bpp_estimated"], rel=0.2)


def test_averages_and_curves(pairs):
    model = lively("bmshj18_factorized", lmbda=(0.001, 0.1))
    points = curve(model, pairs.first(2), points=4, progress=False)
    assert [point["images"] for point in points] == [2] * 4
    rates = [point["bpp"] for point in points]
    assert rates == sorted(rates)
    rows = evaluate(model, pairs.first(2), lmbda=points[1]["lmbda"], progress=False)
    for name in ("bytes", "bpp", "psnr", "ms_ssim_db"):
        assert averages(rows)[0][name] == pytest.approx(sum(row[name] for row in rows) / 2)
    assert lambdas(model, 3) == pytest.approx([0.001, 0.01, 0.1])
    assert lambdas(lively("bls17", lmbda=0.5), 3) == [0.5]


def test_the_published_table(rows, tmp_path):
    write_published_table(rows, tmp_path / "table.csv")
    lines = read_table(tmp_path / "table.csv")
    assert list(lines[0])[:4] == ["image number", "BPP", "PSNR", "MS-SSIM"]
    for line, row, mismatched in zip(lines, rows[::3], rows[1::3], strict=True):
        keys = {"image number": "image", "BPP": "bpp_estimated", "bytes": "bytes", "measured BPP": "bpp"}
        assert all(line[key] == row[name] for key, name in keys.items())
        assert line["PSNR mismatched y"] == mismatched["psnr"]


def test_small_images_have_no_ms_ssim(tmp_path):
    pairs = Pairs(np.zeros((2, 64, 64, 3), np.uint8), np.array([[0, 1]]), ["a"])
    rows = evaluate(lively("bls17"), pairs, progress=False)
    assert rows[0]["ms_ssim"] is None
    assert averages(rows)[0]["ms_ssim_db"] is None
    write_published_table(rows, tmp_path / "t.csv")
    assert "MS-SSIM" not in read_table(tmp_path / "t.csv")[0]


def test_each_image_counts_once_for_classical_codecs(pairs):
    repeated = Pairs(pairs.images, np.array([[0, 1], [0, 2]]), ["a", "b"])
    assert {(row["model"], row["images"]) for row in classical_curves(repeated)} == {
        (name, 1) for name in classical.available()
    }


def test_curves_of_shipped_weights_are_drawn_once(tmp_path, own_folder):
    config = teaching(own_folder, tmp_path, model="bls17")
    options = dict(points=2, count=1, report=lambda line: None)
    for metric, ends in (("MS-SSIM", [4e-6, 6e-4]), ("MSE", [1e-4, 5e-3])):
        shipped = [("bls17", metric)]
        rows = draw_curves(config, tmp_path / "c.csv", [], shipped, **options)
        assert [row["lmbda"] for row in rows] == pytest.approx(ends)
    with pytest.raises(NDICError, match="bls17 for MSE: the table has a bls17 of the same rates already"):
        draw_curves(config, tmp_path / "c.csv", [], shipped * 2, **options)
    file = tmp_path / "a.safetensors"
    ndic.save_checkpoint(lively("bls17"), file)  # of one rate
    with pytest.raises(NDICError, match="the table has a bls17 of the same rates already"):
        draw_curves(config, tmp_path / "c.csv", [file, file], [], **options)


def test_curves_of_several_models_in_one_table(tmp_path, own_folder, monkeypatch):
    shown = []

    def drawn(rows, metric, published):
        shown.append((metric, published))
        return rate_distortion(rows, metric, published=published)

    monkeypatch.setattr(compare, "rate_distortion", drawn)
    weights = [tmp_path / f"{name}.safetensors" for name in ("bmshj18_factorized", "ndic_bls17")]
    for file in weights:
        ndic.save_checkpoint(lively(file.stem, lmbda=(0.001, 0.1)), file)
    config = teaching(own_folder, tmp_path, resize=[128, 256])
    lines, out = [], tmp_path / "curve.csv"
    rows = draw_curves(config, out, weights, [], True, True, points=4, count=1, report=lines.append)
    table = read_table(out)
    assert len(table) == len(rows)
    assert {line["model"] for line in table} >= {"ndic_bls17", "bmshj18_factorized", "AVIF"}
    assert shown == [("psnr", True), ("ms_ssim_db", True)]  # published points in both
    for metric in ("psnr", "ms_ssim_db"):
        assert read_image(tmp_path / f"curve_{metric}.png").shape[2] > 500
    assert any(re.match(r"ndic_bls17: (BD-rate in|no BD-rate in) PSNR .*against bmshj18_factorized", x) for x in lines)


def test_bd_rates_against_the_matched_baseline():
    rows = []
    for model, factor in (("bmshj18_factorized", 1.0), ("ndic_bls17", 0.5)):
        for i in range(5):
            point = dict(bpp=factor * 0.1 * 2**i, psnr=25.0 + 2 * i, ms_ssim_db=9.0 + 2 * i)
            rows.append(dict(model=model, side_info="matching_y", **point))
            rows.append(dict(model=model, side_info="mismatched_y", bpp=1.0, psnr=1.0, ms_ssim_db=1.0))
    assert bd_rates(rows) == [
        "ndic_bls17: BD-rate in PSNR -50.0 % against bmshj18_factorized",
        "ndic_bls17: BD-rate in MS-SSIM -50.0 % against bmshj18_factorized",
    ]


def test_the_embedded_pair_comes_in_any_width(pair):
    for wide, usual in zip(embedded_pair(512), pair, strict=True):
        assert wide.shape == (3, 256, 512)
        assert (torch.nn.functional.avg_pool2d(wide[None], 2)[0] - usual).abs().mean() < 0.02
    for wrong in (0, 255):
        with pytest.raises(NDICError, match=f"even width of 2 or more, not {wrong}"):
            embedded_pair(wrong)
