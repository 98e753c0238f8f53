"""Evaluation on real bytes: rows, averages, tables, curves."""

import math
import re

import numpy as np
import pytest
import torch
from conftest import lively, read_table, teaching

import ndic_core as ndic
from ndic_core.compare import bd_rates, classical_curves, draw_curves
from ndic_core.data.pairs import Pairs
from ndic_core.data.photographs import embedded_pair
from ndic_core.errors import NDICError
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation import evaluate as evaluation
from ndic_core.evaluation.evaluate import averages, curve, evaluate, lambdas, write_published_table, write_table
from ndic_core.io import read_image
from ndic_core.metrics import ms_ssim, psnr
from ndic_core.models.coding.container import unpack


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    """Four pairs of 128 × 256: two scenes (the real pair and its mirror image), in both orders."""
    views = [(image.permute(1, 2, 0) * 255).byte().numpy() for image in embedded_pair()]
    images = np.stack([*views, *(view[:, ::-1] for view in views)])
    return Pairs(images, np.array([[0, 1], [1, 0], [2, 3], [3, 2]]), ["a", "b", "c", "d"])


def test_rows_hold_what_was_measured(pairs):
    model = lively("ndic_bls17")
    rows = evaluate(model, pairs, progress=False)
    assert [(row["image"], row["side_info"]) for row in rows[:4]] == [
        (0, "matching_y"),
        (0, "mismatched_y"),
        (0, "no_y"),
        (1, "matching_y"),
    ]
    x, y = pairs[1]
    stream = ndic.encode(model, x)
    sides = {"matching_y": y, "mismatched_y": pairs[3][1], "no_y": torch.full_like(y, 0.5)}
    for row in rows[3:6]:
        assert row["bytes"] == len(stream)
        assert row["bpp"] == 8 * len(stream) / (128 * 256)
        x_hat = ndic.decode(model, stream, sides[row["side_info"]])
        assert row["psnr"] == pytest.approx(psnr(x[None], x_hat[None]).item(), rel=1e-6)
        assert row["ms_ssim"] == pytest.approx(ms_ssim(x[None], x_hat[None]).item(), rel=1e-6)
        assert row["ms_ssim_db"] == pytest.approx(-10 * math.log10(1 - row["ms_ssim"]), rel=1e-4)
        assert row["encode_seconds"] > 0
        assert row["decode_seconds"] > 0
    with torch.no_grad():
        likelihoods = model(x[None], y[None])["likelihoods"]["x"]
    assert rows[3]["bpp_estimated"] == pytest.approx(-likelihoods.log2().sum().item() / (128 * 256), rel=1e-5)


def test_swapped_y_never_shows_a_picture_of_the_pair(pairs):
    model = lively("ndic_bls17")
    one_scene = Pairs(pairs.images, pairs.index[:2], pairs.names[:2])
    kinds = {row["side_info"] for row in evaluate(model, one_scene, progress=False)}
    assert kinds == {"matching_y", "no_y"}  # the only other pair holds the very picture that was sent


def test_swapped_y_never_shows_the_same_scene(pairs):
    scenes = Pairs(pairs.images, np.array([[0, 1], [2, 3]]), ["a", "b"], ["street", "street"])
    rows = evaluate(lively("ndic_bls17"), scenes, progress=False)
    assert {row["side_info"] for row in rows} == {"matching_y", "no_y"}


def test_models_without_side_information_decode_once(pairs):
    rows = evaluate(lively("bls17"), pairs.first(2), progress=False)
    assert [row["side_info"] for row in rows] == ["matching_y", "matching_y"]


@pytest.mark.parametrize("name", ["bmshj18", "cross_attention"])
def test_images_of_any_size(name):
    rng = np.random.default_rng(0)
    pairs = Pairs(rng.integers(0, 256, (2, 100, 150, 3), dtype=np.uint8), np.array([[0, 1]]), ["a"])
    rows = evaluate(lively(name, spread=1.0), pairs, progress=False)
    assert rows[0]["bpp"] == pytest.approx(rows[0]["bpp_estimated"], rel=0.2)


def test_variable_rate_is_evaluated_at_the_lambda_the_file_names(pairs):
    model = lively("bmshj18_factorized", lmbda=(0.001, 0.1))
    (row,) = evaluate(model, pairs.first(1), lmbda=0.0123, progress=False)
    level = unpack(ndic.encode(model, pairs[0][0], lmbda=0.0123))[0].level
    assert row["lmbda"] == 0.001 * 100 ** (level / 255)
    assert row["bpp"] == pytest.approx(row["bpp_estimated"], abs=0.01)
    with pytest.raises(ndic.NDICError, match="lmbda = 5 is not offered"):
        evaluate(model, pairs, lmbda=5)


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


def test_small_images_have_no_ms_ssim(tmp_path):
    pairs = Pairs(np.zeros((2, 64, 64, 3), np.uint8), np.array([[0, 1]]), ["a"])
    rows = evaluate(lively("bls17"), pairs, progress=False)
    assert rows[0]["ms_ssim"] is None
    assert averages(rows)[0]["ms_ssim_db"] is None
    write_published_table(rows, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv")[0]["MS-SSIM"] == ""


def test_the_published_table(pairs, tmp_path):
    rows = evaluate(lively("ndic_bls17"), pairs, progress=False)
    write_published_table(rows, tmp_path / "table.csv")
    lines = read_table(tmp_path / "table.csv")
    assert list(lines[0])[:4] == ["image number", "BPP", "PSNR", "MS-SSIM"]
    assert [line["image number"] for line in lines] == ["0", "1", "2", "3"]
    true = [row for row in rows if row["side_info"] == "matching_y"]
    for line, row in zip(lines, true, strict=True):
        assert float(line["BPP"]) == row["bpp_estimated"]
        assert int(line["bytes"]) == row["bytes"]
        assert float(line["measured BPP"]) == row["bpp"]
    swapped = [row["psnr"] for row in rows if row["side_info"] == "mismatched_y"]
    assert [float(line["PSNR mismatched y"]) for line in lines] == swapped


def test_tables_are_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(ndic.NDICError, match="cannot be written"):
        write_table([{"a": 1}], tmp_path / "nowhere" / "t.csv")
    write_table([{"a": 1, "b": "ü, x"}, {"a": None}], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == 'a,b\n1,"ü, x"\n,\n'


def test_each_image_counts_once_for_classical_codecs(pairs):
    repeated = Pairs(pairs.images, np.array([[0, 1], [0, 2]]), ["a", "b"])
    rows = classical_curves(repeated)
    assert {row["images"] for row in rows} == {1}
    assert {row["model"] for row in rows} == set(classical.available())


def test_curves_of_shipped_weights(tmp_path, own_folder):
    """Of either metric; two of one model would be one curve in the picture."""
    config = teaching(own_folder, tmp_path, model="bls17")
    for metric, ends in (("MS-SSIM", [4e-6, 6e-4]), ("MSE", [1e-4, 5e-3])):
        shipped = [("bls17", metric)]
        rows = draw_curves(config, tmp_path / "c.csv", [], shipped, points=2, count=1, report=lambda line: None)
        assert [row["lmbda"] for row in rows] == pytest.approx(ends)
    with pytest.raises(ndic.NDICError, match="bls17 for MSE: a bls17 of the same rates is among them already"):
        draw_curves(config, tmp_path / "c.csv", [], shipped * 2, points=2, count=1, report=lambda line: None)


def test_curves_of_several_models_in_one_table(tmp_path, own_folder):
    weights = []
    for name in ("bmshj18_factorized", "ndic_bls17"):
        weights.append(tmp_path / f"{name}.safetensors")
        ndic.save_checkpoint(lively(name, lmbda=(0.001, 0.1)), weights[-1])
    config = ndic.load_config("teaching", dataset_name="Folder", dataset_path=str(own_folder), resize=[128, 256])
    lines = []
    out = tmp_path / "curve.csv"
    rows = draw_curves(config, out, weights, [], True, True, points=4, count=1, report=lines.append)
    table = read_table(out)
    assert len(table) == len(rows)
    assert {line["model"] for line in table} >= {"ndic_bls17", "bmshj18_factorized", "AVIF"}
    for metric in ("psnr", "ms_ssim_db"):
        assert read_image(tmp_path / f"curve_{metric}.png").shape[2] > 500
    assert any(re.match(r"ndic_bls17: (BD-rate in|no BD-rate in) PSNR .*against bmshj18_factorized", x) for x in lines)


def test_the_same_rates_twice_are_refused(tmp_path, own_folder):
    file = tmp_path / "a.safetensors"
    ndic.save_checkpoint(lively("bls17"), file)
    config = ndic.load_config("teaching", dataset_name="Folder", dataset_path=str(own_folder))
    with pytest.raises(ndic.NDICError, match="a bls17 of the same rates is among them already"):
        draw_curves(config, tmp_path / "c.csv", [file, file], [], count=1, report=lambda line: None)


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


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [dict(model="bls17", bytes=812, bpp=0.125), dict(model="JPEG", bytes=900, quality=5)]
    write_table(rows, tmp_path / "points.csv")
    assert evaluation.read_table(tmp_path / "points.csv") == rows
    rows = [dict(device="CPU, 2", compile=False, peak_mb=None), dict(device="1_000", compile=True, peak_mb=2.5)]
    write_table(rows, tmp_path / "speed.csv")
    assert evaluation.read_table(tmp_path / "speed.csv") == [dict(device="CPU, 2", compile=False), rows[1]]
    with pytest.raises(NDICError, match=r"missing\.csv cannot be read"):
        evaluation.read_table(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("model\nJPÉG\n".encode("latin-1"), "no CSV in UTF-8"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "no CSV in UTF-8"),
        (b"a,b\n1,2\n1,2,3\n", "row 2 has more cells than the header"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, sentence):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(NDICError, match=sentence):
        evaluation.read_table(tmp_path / "t.csv")


def test_the_embedded_pair_comes_in_any_width(pair):
    for wide, usual in zip(embedded_pair(512), pair, strict=True):
        assert wide.shape == (3, 256, 512)
        small = torch.nn.functional.avg_pool2d(wide[None], 2)[0]
        assert (small - usual).abs().mean() < 0.02
    for wrong in (0, 1, -4, 255):
        with pytest.raises(NDICError, match=f"even width of 2 or more, not {wrong}"):
            embedded_pair(wrong)
