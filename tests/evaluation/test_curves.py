"""`draw_curves` refuses before it measures, keeps what it measured, and tells the weights of one model apart."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import lively, teaching

import ndic_core as ndic
from ndic_core import compare, files
from ndic_core.compare import bd_rates, draw_curves
from ndic_core.data.pairs import Pairs
from ndic_core.errors import NDICError
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation.evaluate import averages
from ndic_core.evaluation.tables import read_table, results_table
from ndic_core.files import check_writable
from ndic_core.plots.panels import rate_distortion


@pytest.fixture
def measured(monkeypatch):
    """The models that are measured, by their names; nothing is coded."""
    models = []

    def curve(model, pairs, points):
        models.append(model.name)
        known = dict(model=model.name, lmbda=0.1, side_info="matching_y", images=len(pairs), bytes=9)
        return [known | dict(bpp=0.1 * i, psnr=30.0 + i, ms_ssim=0.9, ms_ssim_db=10.0 + i) for i in range(1, 5)]

    monkeypatch.setattr(compare, "curve", curve)
    return models


@pytest.fixture
def config(own_folder, tmp_path):
    return teaching(own_folder, tmp_path, model="bls17", resize=[128, 256])


def saved(path: Path, name: str = "bls17", seed: int = 0, **options) -> Path:
    path.parent.mkdir(exist_ok=True)
    ndic.save_checkpoint(lively(name, num_filters=4, seed=seed, **options), path)
    return path


def draw(config, out, weights=(), shipped=(), **options):
    lines = []
    rows = draw_curves(config, out, list(weights), list(shipped), **{"report": lines.append} | options)
    return rows, lines


@pytest.mark.parametrize("name", ["c.csv", "c_psnr.png", "c_ms_ssim_db.png"])
def test_a_folder_in_the_place_of_a_file_is_found_before_measuring(name, config, measured, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(NDICError, match=f"{name} cannot be written: it is a folder; choose another name"):
        draw(config, tmp_path / "c.csv", shipped=[("bls17", "MSE")])
    assert measured == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no/c.csv", "there is no folder .*no; create it first"),
        ("file/c.csv", "there is no folder .*file; create it first"),
        (f"{'a' * 250}.csv", "File name too long"),
        ("to_nowhere.csv", "there is no folder .*gone; create it first"),
        ("circle.csv", "cannot be written"),
    ],
)
def test_paths_that_cannot_be_written(name, reason, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "to_nowhere.csv").symlink_to(tmp_path / "gone" / "c.csv")
    (tmp_path / "circle.csv").symlink_to(tmp_path / "circle.csv")
    with pytest.raises(NDICError, match=reason):
        check_writable(tmp_path / name)


def test_a_folder_without_permission(monkeypatch, tmp_path):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    check_writable(tmp_path / "c.csv")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(files.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(NDICError, match="cannot be written: Permission denied; choose another name or folder"):
        check_writable(tmp_path / "c.csv")


def test_a_second_file_that_is_no_checkpoint_is_found_before_measuring(config, measured, tmp_path):
    good, bad = saved(tmp_path / "good.safetensors"), tmp_path / "bad.safetensors"
    bad.write_text("no weights")
    with pytest.raises(NDICError, match=r"bad\.safetensors is not a checkpoint"):
        draw(config, tmp_path / "c.csv", [good, bad])
    assert measured == []


@pytest.mark.parametrize("how", ["spelling", "link", "copy"])
def test_weights_that_are_given_twice_are_found_before_measuring(how, config, measured, tmp_path):
    file = saved(tmp_path / "w" / "a.safetensors", lmbda=(0.001, 0.1))
    other = tmp_path / "b.safetensors"
    if how == "spelling":
        other = tmp_path / "w" / ".." / "w" / "a.safetensors"
    elif how == "link":
        other.symlink_to(file)
    else:
        shutil.copy(file, other)
    with pytest.raises(NDICError, match=r"already, and of the same weights .*: give them once"):
        draw(config, tmp_path / "c.csv", [file, other])
    assert measured == []


def test_the_training_split_of_mixed_is_refused_at_once(config, measured, tmp_path):
    config = config.model_copy(update=dict(dataset_name="Mixed", dataset_path=str(tmp_path / "nothing")))
    with pytest.raises(NDICError, match="changes with every epoch: use val"):
        draw(config, tmp_path / "c.csv", shipped=[("bls17", "MSE")], split="train")


def test_what_was_measured_before_an_error_is_kept(config, measured, monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise NDICError("no codec")

    monkeypatch.setattr(classical, "curve", fail)
    files = [saved(tmp_path / f"{name}.safetensors", name) for name in ("bls17", "ndic_bls17")]
    (tmp_path / "c.csv").write_text("an earlier table")
    with pytest.raises(NDICError, match="no codec"):
        draw(config, tmp_path / "c.csv", files, with_classical=True)
    assert [row["model"] for row in read_table(tmp_path / "c.partial.csv")] == ["bls17"] * 4 + ["ndic_bls17"] * 4
    assert (tmp_path / "c.csv").read_text() == "an earlier table"
    draw(config, tmp_path / "c.csv", files)
    assert len(read_table(tmp_path / "c.csv")) == 8
    assert not (tmp_path / "c.partial.csv").exists()


def test_both_metrics_of_a_model_in_table_figure_and_bd_rates(config, measured, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(
        compare, "rate_distortion", lambda *a, **k: figures.append(rate_distortion(*a, **k)) or figures[-1]
    )
    shipped = [(name, metric) for name in ("bls17", "bmshj18_factorized") for metric in ("MSE", "MS-SSIM")]
    _, lines = draw(config, tmp_path / "c.csv", shipped=shipped)
    assert [(row["model"], row["weights"]) for row in read_table(tmp_path / "c.csv")[::4]] == shipped
    labels = [f"{name}, {metric}" for name, metric in shipped]
    assert [line.get_label() for line in figures[0].axes[0].get_lines()] == labels
    assert "bls17  MS-SSIM  1.00e-01" in lines[2]
    compared = [line for line in lines if "BD-rate in PSNR" in line]
    assert compared == [
        f"bls17, {metric}: BD-rate in PSNR +0.0 % against bmshj18_factorized, {metric}" for metric in ("MSE", "MS-SSIM")
    ]


def labels(weights, shipped=()):
    return [one.label for one in compare._load(weights, shipped)]


def test_labels_of_checkpoints(tmp_path):
    variable = [saved(tmp_path / folder / "a.safetensors", seed=i, lmbda=(0.001, 0.1)) for i, folder in enumerate("xy")]
    assert labels(variable[:1]) == [""]
    assert labels(variable) == [str(path) for path in variable]  # the names alone are equal
    assert labels(variable[:1], [("bls17", "MSE"), ("bmshj18", "MSE")]) == ["a", "MSE", ""]
    single = [
        saved(tmp_path / f"{name}.safetensors", seed=7 + i, lmbda=lmbda)
        for i, (name, lmbda) in enumerate(
            [("one_MSE_lambda_0.1", 0.1), ("one_MSE_lambda_0.2", 0.2), ("ms-ssim", 0.1), ("massive", 0.3)]
        )
    ]
    assert labels(single[:2]) == ["", ""]  # points of one curve
    expected = ["MSE, single rates", "MSE, single rates", "MS-SSIM, single rates", "single rates"]
    assert labels(single) == expected
    assert labels([single[0], variable[0]]) == ["MSE, single rates", "a"]
    other = saved(tmp_path / "two_MSE.safetensors", seed=20, lmbda=0.1)
    with pytest.raises(NDICError, match=r"has a bls17 of the same rates already .*one_MSE.*: write a second table"):
        labels([single[0], other])


def test_bd_rates_against_each_baseline():
    points = [dict(bpp=0.1 * 2**i, psnr=25.0 + 2 * i, ms_ssim_db=9.0 + 2 * i) for i in range(5)]
    rows = [dict(model="bmshj18_factorized", weights=w) | row for w in ("a", "b") for row in points]
    found = bd_rates(rows + [dict(model="JPEG") | row for row in points], metrics=["psnr"])
    assert found == [f"JPEG: BD-rate in PSNR +0.0 % against bmshj18_factorized, {w}" for w in "ab"]


def test_small_images_and_how_they_were_made_are_reported(config, measured, own_folder, tmp_path):
    small = config.model_copy(update=dict(resize=[64, 96]))
    _, lines = draw(small, tmp_path / "c.csv", [saved(tmp_path / "a.safetensors")], split="val")
    stored = "Folder, split val: 2 pairs of 100 × 200 pixels (height × width)"
    assert lines[0] == f"{stored}, cropped at the centre and resized to 64 × 96"
    assert lines[1] == "MS-SSIM needs sides above 96 pixels: only PSNR is measured"
    assert lines[-1] == f"written: {tmp_path / 'c.csv'}, {tmp_path / 'c_psnr.png'}"
    for size, how in (([50, 100], "resized to 50 × 100"), ([100, 200], "as stored")):
        _, lines = draw(config.model_copy(update=dict(resize=size)), tmp_path / "c.csv", shipped=[("bls17", "MSE")])
        assert lines[0] == stored.replace("val", "test") + ", " + how


def test_other_pairs_report_their_size():
    pairs = Pairs(np.zeros((2, 16, 32, 3), np.uint8), np.array([[0, 1]]), ["a"])
    assert compare._origin(pairs) == "1 pair of 16 × 32 pixels (height × width)"


def test_a_size_is_not_refused_for_a_model_that_is_not_used(own_folder):
    changes = dict(dataset_name="Folder", dataset_path=str(own_folder), resize=[50, 99], distortion_loss="MS-SSIM")
    assert ndic.load_config("teaching", train=False, test=False, **changes).resize == [50, 99]
    with pytest.raises(NDICError, match="cross_attention takes multiples of"):
        ndic.load_config("teaching", train=False, **changes)


def test_an_image_reproduced_exactly_keeps_the_average_finite():
    rows = [dict(model="a", lmbda=1, side_info="no_y", psnr=db, name=f"{db}") for db in (30.0, 100.0, math.inf)]
    (point,) = averages(rows)
    assert (point["psnr"], point["psnr_capped"]) == (pytest.approx(230 / 3), "inf")
    assert results_table([point]).splitlines()[-1] == (
        "reproduced exactly or almost so, and counted with 100 dB of PSNR: inf"
    )
    (usual,) = averages(rows[:2])
    assert (usual["psnr"], "psnr_capped" in usual) == (65, False)
    assert results_table([usual]).count("\n") == 2


def test_black_images_through_classical_codecs():
    (point,) = classical.curve("JPEG", [torch.zeros(3, 16, 16), torch.rand(3, 16, 16)], [90], ["black", "noise"])
    assert point["psnr_capped"] == "black"
    assert 50 < point["psnr"] < 100
