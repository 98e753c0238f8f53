"""The commands for KITTI and Cityscapes, and the check of prepared folders."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zips import kitti_images, make_zip, tree

from data_prep import check, cityscape, corpus, kitti
from ndic_core import NDICError
from ndic_core.data import kitti as listing

OLD, NEW = listing.SCENES


def test_kitti_from_archives_to_pairs(command, succeed, both, tmp_path):
    out = tmp_path / "out"
    said = succeed(kitti, *both, "--out", out)
    assert f"{both[0]} is KITTI 2012: 32 colour images" in said
    assert f"{both[1]} is KITTI 2015: 32 colour images" in said
    assert f"64 images extracted to {out}, 0 existed already" in said
    assert "KITTI Stereo train: 16 of 1,576 pairs" in said
    assert "missing: data_scene_flow_multiview/testing: frames 10 and 11 of 000000, 000001" in said
    assert len(list(out.rglob("*.png"))) == 64
    assert {path.parent.name for path in out.rglob("*.png")} == {"image_2", "image_3"}
    assert (out / OLD / "testing/image_3/000004_10.png").read_bytes() == b"testing/colored_1/000004_10.png" * 20
    for split, count in {"train": 16, "val": 8, "test": 8}.items():
        lines = (out / f"KITTI_stereo_{split}.txt").read_bytes().decode().split("\n")
        assert (len(lines), lines[-1]) == (2 * count + 1, "")
        assert listing.stereo_pairs(out, split) == listing.stereo_pairs(out, split, lists=False)
        assert listing.general_pairs(out, split) == listing.general_pairs(out, split, lists=False)
    assert (out / "KITTI_stereo_val.txt").read_text().startswith(f"{OLD}/testing/image_2/000000_11.png\n{OLD}/te")
    assert not list(out.rglob("*.part"))
    (out / OLD / "testing/image_2/000000_10.png").unlink()
    status, said, _ = command(check, out)
    assert (status, "testing/image_2: 000000_10.png" in said) == (1, True)


def test_a_complete_collection(succeed, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "SCENES", {OLD: {"training": 2, "testing": 2}, NEW: {"training": 2, "testing": 2}})
    monkeypatch.setattr(listing, "HELD_OUT", {OLD: (0,), NEW: ()})
    monkeypatch.setattr(listing, "STEREO_PAIRS", {"train": 16, "val": 8, "test": 8})
    monkeypatch.setattr(listing, "GENERAL_PAIRS", {"train": 168, "val": 4, "test": 20})
    files = [kitti_images(above=f"{name}/", testing=(0, 1)) for name in (OLD, NEW)]
    given = [make_zip(tmp_path / f"{n}.zip", content) for n, content in enumerate(files)]
    assert "missing" not in succeed(kitti, *given, "--out", tmp_path / "out")
    said = succeed(check, tmp_path / "out")
    assert "missing" not in said
    assert "data_scene_flow_multiview/testing: 2 of 2 scenes, 8 of 42 frames" in said
    assert "KITTI General test: 20 of 20 pairs" in said


def test_a_second_run_writes_only_missing_files(succeed, both, tmp_path):
    out = tmp_path / "out"
    succeed(kitti, both[0], "--out", out)
    before = tree(out)
    base = out / OLD / "testing" / "image_2"
    (base / "000000_10.png").unlink()
    (base / "000000_11.png").write_bytes(b"short")
    (base / "000004_10.png").write_bytes(bytes(len(before[f"{OLD}/testing/image_2/000004_10.png"])))  # size is right
    kept = (base / "000004_11.png").stat().st_mtime_ns
    assert f"3 images extracted to {out}, 29 existed" in succeed(kitti, both[0], "--out", out)
    assert tree(out) == before
    assert (base / "000004_11.png").stat().st_mtime_ns == kept
    assert "is not changed" not in succeed(kitti, both[1], "--out", out)  # the other year: our lists are extended
    assert len(listing.stereo_pairs(out, "train")) == 16


def test_lists_of_other_origin_are_not_changed(succeed, both, tmp_path):
    out = tmp_path / "out"
    own = f"{OLD}/testing/image_2/000004_10.png\n{OLD}/testing/image_3/000004_11.png\n"
    (out / "data_paths").mkdir(parents=True)
    (out / "data_paths" / "KITTI_general_test.txt").write_text(own)
    (out / "KITTI_stereo_test.txt").write_text(own)
    for _ in range(2):
        said = succeed(kitti, both[0], "--out", out)
        assert len(re.findall("was not made by this command and is not changed", said)) == 2
    assert (out / "data_paths" / "KITTI_general_test.txt").read_text() == own
    assert not (out / "KITTI_general_test.txt").exists()
    assert len(listing.stereo_pairs(out, "test")) == len(listing.general_pairs(out, "test")) == 1


@pytest.mark.parametrize(
    ("files", "name", "year"),
    [
        (kitti_images(("image_0", "image_1", "image_2", "image_3")), "x", OLD),
        (kitti_images(testing=[195]), "x", NEW),
        (kitti_images(above=f"{OLD}/"), "data_scene_flow_multiview", OLD),
        (kitti_images(above=f"{NEW}/"), "data_stereo_flow_multiview", NEW),
        (kitti_images(), "my data_scene_flow_multiview (1)", NEW),
        (kitti_images(), "data_stereo_flow", OLD),
    ],
)
def test_which_year_an_archive_is(files, name, year):
    assert kitti.which_year(Path(f"{name}.zip"), list(files)) == year


def test_unusable_archives(command, fail, both, tmp_path):
    def refusal(*given) -> str:
        said = fail(kitti, *given, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return said

    assert command(kitti, "--out", "x")[0] == 2
    assert "rename it to data_stereo_flow_multiview.zip or" in refusal(make_zip(tmp_path / "x.zip", kitti_images()))
    assert "contains no KITTI images" in refusal(make_zip(tmp_path / "x.zip", {"readme.txt": b""}))
    assert "are both KITTI 2012" in refusal(both[0], shutil.copy(both[0], tmp_path / "again.zip"))
    assert "lacks colour images of two" in refusal(make_zip(tmp_path / "x.zip", kitti_images(("image_0", "image_1"))))
    twice = kitti_images(above="a_stereo_flow/") | kitti_images(above="b_stereo_flow/")
    assert "same images in several folders" in refusal(make_zip(tmp_path / "x.zip", twice))
    assert "cannot be read: No such file" in refusal(tmp_path / "nowhere.zip")
    (tmp_path / "x.zip").write_bytes(both[0].read_bytes()[:-500])
    assert "is not a zip archive or is truncated" in refusal(tmp_path / "x.zip")


@pytest.mark.parametrize("spelt", [lambda n: n.replace("/", "\\"), str.upper, lambda n: n.replace(".png", ".PNG")])
def test_archives_with_other_spellings_of_the_names(spelt, succeed, tmp_path):
    files = {spelt(name): content for name, content in kitti_images(above="data_scene_flow/").items()}
    archive = make_zip(tmp_path / "x.zip", files)
    assert f"32 images extracted to {tmp_path / 'out'}" in succeed(kitti, archive, "--out", tmp_path / "out")
    assert {file.split("/", 1)[0] for file in tree(tmp_path / "out")} > {NEW}
    assert (tmp_path / "out" / NEW / "testing/image_3/000004_10.png").is_file()
    assert len(listing.stereo_pairs(tmp_path / "out", "train")) == 8


def test_cityscapes_archives_with_other_spellings_of_the_names(succeed, tmp_path):
    given = []
    for side in ("leftImg8bit", "rightImg8bit"):
        files = {name.replace("/", "\\").replace(".png", ".PNG"): of for name, of in city_files(side).items()}
        given.append(make_zip(tmp_path / f"{side}.zip", files))
    assert "18 images extracted" in succeed(cityscape, *given, "--out", tmp_path / "out")
    assert (tmp_path / "out/rightImg8bit/val/ulm/ulm_000001_000019_rightImg8bit.png").is_file()


@pytest.mark.parametrize("kind", [".jpg", ".JPEG", ".webp", ".tif"])
def test_converted_archives_are_refused_as_such(kind, fail, tmp_path):
    """Also where some are PNG files."""
    for ending in (".png", "_11.png"):
        files = {name.replace(ending, ending[:-4] + kind): content for name, content in kitti_images().items()}
        said = fail(kitti, make_zip(tmp_path / "data_scene_flow.zip", files), "--out", tmp_path / "out")
        assert "contains converted images, KITTI's are PNG (training/image_2/000000_" in said
        assert f"{kind}): download it again" in said


def test_missing_frames_do_not_stop_the_lists(command, succeed, tmp_path):
    files = kitti_images(testing=(29, 30))
    for name in ("training/image_3/000001_10.png", "testing/image_2/000030_11.png"):
        del files[name]
    archive = make_zip(tmp_path / "data_scene_flow.zip", files)
    said = succeed(kitti, archive, "--out", tmp_path / "out")
    assert f"partners of images: {NEW}/testing/image_2: 000030_11.png; {NEW}/training/image_3: 000001_10.png\n" in said
    assert "Images without a partner are in no list. If their archive lacks the partners, download it again." in said
    assert "run python -m data_prep" not in said
    pairs = {split: listing.stereo_pairs(tmp_path / "out", split) for split in ("train", "val", "test")}
    assert [len(found) for found in pairs.values()] == [6, 2, 4]
    assert "000001_10.png" not in (tmp_path / "out/KITTI_general_train.txt").read_text()
    (tmp_path / "out/KITTI_stereo_val.txt").unlink()
    status, said, _ = command(check, tmp_path / "out")
    assert (status, said.count("000030_11.png"), said.count("run python -m data_prep.kitti")) == (1, 1, 1)
    with pytest.raises(NDICError, match=r"lacks these partners of images: .*: 000030_11\.png; run python"):
        listing.stereo_pairs(tmp_path / "out", "val")
    archive = make_zip(tmp_path / "data_scene_flow.zip", kitti_images(testing=(29, 30)))
    assert "no list" not in succeed(kitti, archive, "--out", tmp_path / "out")
    assert len(listing.stereo_pairs(tmp_path / "out", "train")) == 8


def test_a_camera_that_is_missing_as_a_whole(succeed, fail, tmp_path):
    succeed(kitti, make_zip(tmp_path / "data_scene_flow.zip", kitti_images()), "--out", tmp_path / "out")
    for part in ("training", "testing"):
        shutil.rmtree(tmp_path / "out" / NEW / part / "image_3")
    with pytest.raises(NDICError) as error:
        kitti.write_lists(tmp_path / "out")
    lacking = f"lacks these partners of images: {NEW}/testing: image_3; {NEW}/training: image_3"
    assert str(error.value) == f"no list is written: {tmp_path / 'out'} {lacking}; download the official archives again"


def test_home_and_variables_in_every_path(succeed, command, tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE", "HERE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_zip(tmp_path / "data_scene_flow.zip", kitti_images())
    succeed(kitti, "~/data_scene_flow.zip", "--out", "$HERE/out")
    assert command(check, "${HERE}/out")[0] == 1
    left = make_zip(tmp_path / "left.zip", city_files("leftImg8bit"))
    succeed(cityscape, "$HERE/left.zip", "--out", "~/city")
    assert left.with_name("city").is_dir()
    status, _, said = command(corpus, "~/none.zip", "--out", "~/a", "--native", "$HERE/a/../a")
    assert (status, "give another folder than --out" in said) == (2, True)
    assert command(kitti, "~/left.zip", "--out", "$UNSET/out")[2] == (
        "kitti: $UNSET/out: the environment variable UNSET is not set: set it, or write the whole path\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["city", "data_scene_flow.zip", "left.zip", "out"]


def city_files(side: str) -> dict[str, bytes]:
    images = [f"{split}/ulm/ulm_{n:06d}_000019" for split in ("train", "val", "test") for n in range(3)]
    return {f"{side}/{name}_{side}.png": name.encode() for name in (*images, "train_extra/ulm/ulm_0_0")} | {"READ": b""}


def test_cityscape_from_archives_to_pairs(command, succeed, tmp_path, monkeypatch):
    given = [make_zip(tmp_path / f"{side}.zip", city_files(side)) for side in ("leftImg8bit", "rightImg8bit")]
    out = tmp_path / "out"
    said = succeed(cityscape, *given, "--out", out)
    for part in ("18 images extracted", "Cityscape val: 3 of 500 pairs", "missing: Cityscape train: 2,972 pairs"):
        assert part in said
    assert len(list(out.rglob("*.png"))) == 18
    assert command(check, out)[0] == 1
    monkeypatch.setattr("ndic_core.data.cityscape.PAIRS", dict.fromkeys(("train", "val", "test"), 3))
    succeed(check, out)


def test_cityscape_refusals(command, succeed, fail, tmp_path):
    assert "requires a login" in succeed(cityscape)
    assert command(cityscape, tmp_path / "a.zip")[0] == 2
    left = make_zip(tmp_path / "left.zip", city_files("leftImg8bit"))
    assert "contain the same images" in fail(cityscape, left, left, "--out", tmp_path / "out")
    extra = make_zip(tmp_path / "extra.zip", {"leftImg8bit/train_extra/ulm/ulm_0_leftImg8bit.png": b""})
    assert "contains no images of Cityscapes' train" in fail(cityscape, extra, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_check_of_own_images_and_of_an_empty_folder(command, succeed, fail, tmp_path):
    assert "there is no folder" in fail(check, tmp_path / "nowhere")
    assert "contains no data set: expected are" in fail(check, tmp_path)
    for name in ("test/left/a.png", "test/right/a.png", "test/right/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"an image")
    status, said, _ = command(check, tmp_path)
    assert (status, "b.png" in said) == (1, True)
    (tmp_path / "test/right/b.png").unlink()
    assert succeed(check, tmp_path) == f"Own images in {tmp_path}:\n  own images test: 1 pair\n"


def test_check_of_the_layout_of_mixed(command, succeed, tmp_path):
    for name in ("image_2/a.webp", "image_2/b.webp", "image_3/a.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"an image")
    status, said, _ = command(check, tmp_path)
    assert (status, "missing: image_2 and image_3 all: images without a partner" in said) == (1, True)
    (tmp_path / "image_2/b.webp").unlink()
    said = f"Pairs for the dataset Mixed in {tmp_path}:\n  image_2 and image_3 all: 1 pair\n"
    assert succeed(check, tmp_path) == said


def test_empty_files_are_named(command, succeed, both, tmp_path):
    succeed(kitti, *both, "--out", tmp_path)
    for frame in (10, 11):
        (tmp_path / OLD / f"testing/image_3/000004_{frame}.png").write_bytes(b"")
    status, said, _ = command(check, tmp_path)
    named = f"missing: KITTI Stereo test: the content of empty files, {OLD}/testing/image_3: 000004_10.png\n"
    assert (status, named in said) == (1, True)


def test_torch_is_not_imported():
    modules = ", ".join(f"data_prep.{name}" for name in ("kitti", "cityscape", "check", "corpus", "download"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
