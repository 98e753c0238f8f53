"""Training folders from KITTI archives: content, exclusion of test scenes, refusals, continued runs."""

import itertools
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zips import kitti_images, make_zip, tree

from data_prep import corpus
from ndic_core import NDICError
from ndic_core.data.real_pairs import held_out
from ndic_core.files import write_whole

SIZE = (20, 40)  # width and height of the archives' images here
SCALED = (96, 192)
SCENES = (7, 198, 199)
DRIVE = "2011_09_26_drive_0001"


def png(name: str, size: tuple[int, int] = SIZE) -> bytes:
    """A noisy image that depends on its name."""
    pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(buffer := BytesIO(), "PNG")
    return buffer.getvalue()


def scene_files(scenes=SCENES, frames=(10, 11)) -> dict[str, bytes]:
    chosen = itertools.product(scenes, frames, (2, 3))
    names = [f"training/image_{side}/{scene:06d}_{frame}.png" for scene, frame, side in chosen]
    others = {"training/disp_occ_0/000007_10.png": b"", "testing/image_2/000007_10.png": b""}
    return {name: png(name) for name in names} | others


def drive_files(drive: str = DRIVE, frames=(0, 1, 9, 10, 20, 25)) -> dict[str, bytes]:
    base = f"{drive[:10]}/{drive}_sync"
    names = [f"{base}/image_0{side}/data/{frame:010d}.png" for frame in frames for side in (2, 3)]
    others = {f"{base}/image_00/data/0000000000.png": b"grey", f"{base}/oxts/data/0000000000.txt": b"1 2 3"}
    return {name: png(name) for name in names} | others


@pytest.fixture
def scenes(tmp_path) -> Path:
    return make_zip(tmp_path / "data_scene_flow.zip", scene_files())


@pytest.fixture
def drive(tmp_path) -> Path:
    return make_zip(tmp_path / f"{DRIVE}_sync.zip", drive_files())


def rows(folder: Path) -> list[list[str]]:
    return [line.split("\t") for line in (folder / "index.tsv").read_text().splitlines()]


def webp(content: bytes, size: tuple[int, int], quality: int) -> bytes:
    image = Image.open(BytesIO(content)).resize(size, Image.Resampling.LANCZOS)  # antialiased
    image.save(buffer := BytesIO(), "WEBP", quality=quality)
    return buffer.getvalue()


def times(folder: Path) -> dict[str, int]:
    return {path.name + path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("*.webp")}


def test_layout_order_and_index(succeed, scenes, drive, tmp_path):
    """KITTI 2015 by scene and frame, then the drive's frames, whatever the order of the archives."""
    out, native = tmp_path / "deep" / "train", tmp_path / "native"
    said = succeed(corpus, drive, scenes, "--out", out, "--native", native)
    assert "6 pairs of KITTI 2015, 3 pairs of raw drives\n" in said
    assert f"9 pairs written to {out}, 0 existed already\n6 pairs written to {native}, 0 existed" in said
    expected = [
        [f"00{number}", f"kitti2015/{scene:06d}", f"training/image_2/{scene:06d}_{frame}.png"]
        for number, (scene, frame) in enumerate(itertools.product(SCENES, (10, 11)))
    ]
    of_drive = [
        [f"00{number}", f"kitti_raw/{DRIVE}", f"2011_09_26/{DRIVE}_sync/image_02/data/{frame:010d}.png"]
        for number, frame in ((6, 0), (7, 10), (8, 20))
    ]
    assert rows(native) == [["id", "set", "path"], *expected]
    assert rows(out) == [["id", "set", "path"], *expected, *of_drive]
    assert held_out(out, 6) == {row[0] for row in expected}
    sources = scene_files() | drive_files()
    for folder, size, quality in ((out, SCALED, 94), (native, SIZE, 93)):
        content = tree(folder)
        images = {f"{side}/{row[0]}.webp" for side in corpus.SIDES for row in rows(folder)[1:]}
        assert content.keys() == {"index.tsv"} | images
        for name, _, path in rows(folder)[1:]:
            right = path.replace("image_2", "image_3").replace("image_02", "image_03")
            assert content[f"image_2/{name}.webp"] == webp(sources[path], size, quality)
            assert content[f"image_3/{name}.webp"] == webp(sources[right], size, quality)


def test_ids_have_one_length():
    for count, length in ((1000, 3), (1001, 4)):
        assert {len(name) for name in corpus.numbered(list(range(count)))} == {length}


def test_scenes_of_the_results_are_excluded(refusal, tmp_path):
    """Both frames of the test scenes, and the scenes of the same drives."""
    archive = make_zip(tmp_path / "data_scene_flow.zip", scene_files(range(200)))
    pairs = corpus.select([archive]).scenes
    used = {int(pair.set.removeprefix("kitti2015/")) for pair in pairs}
    assert used == {*range(7, 112), *range(133, 200)}
    assert len(pairs) == 2 * len(used)
    only = make_zip(tmp_path / "scene_flow.zip", scene_files([3, 120]))
    assert "no pair is left to train on" in refusal(only)


def test_the_excluded_scenes_are_those_of_the_results(kitti):
    assert {int(left.stem.split("_")[1]) for left, _ in kitti} == corpus.TEST_SCENES


def test_drives_of_the_results_are_excluded(succeed, refusal, drive, tmp_path):
    tested = ["2011_09_26_drive_0059", "2011_10_03_drive_0042"]
    given = [make_zip(tmp_path / f"{name}.zip", drive_files(name)) for name in tested]
    assert "no pair is left to train on" in refusal(*given)
    said = refusal(*given, drive, "--drives", f"{DRIVE},{tested[1]}_sync")
    assert f"--drives: results are reported on {tested[1]}; do not" in said
    said = succeed(corpus, *given, drive, "--out", tmp_path / "out")
    assert f"left out, because results are reported on them: {', '.join(tested)}\n" in said
    assert {row[1] for row in rows(tmp_path / "out")[1:]} == {f"kitti_raw/{DRIVE}"}


def test_drives_and_frames_are_chosen(succeed, refusal, drive, tmp_path):
    other = make_zip(tmp_path / "other.zip", drive_files("2011_09_26_drive_0002"))
    first = make_zip(tmp_path / "first.zip", drive_files("2011_09_28_drive_0001", frames=(3, 5)))
    assert "no archive has 2011_09_26_drive_0009" in refusal(drive, "--drives", "2011_09_26_drive_0009")
    out = tmp_path / "out"
    chosen = f"2011_09_28_drive_0001, {DRIVE}_sync"
    succeed(corpus, first, other, drive, "--out", out, "--drives", chosen, "--every", 5)
    assert [(row[1], row[2][-6:-4]) for row in rows(out)[1:]] == [
        *((f"kitti_raw/{DRIVE}", frame) for frame in ("00", "10", "20", "25")),
        ("kitti_raw/2011_09_28_drive_0001", "05"),
    ]


@pytest.fixture
def refusal(fail, tmp_path):
    """The error message of the command, after a check that it wrote nothing."""

    def refused(*arguments) -> str:
        before = tree(tmp_path)
        said = fail(corpus, *arguments, "--out", tmp_path / "out")
        assert tree(tmp_path) == before
        assert not (tmp_path / "out").exists()
        return said

    return refused


def test_incomplete_and_unequal_pairs_are_all_named(refusal, tmp_path):
    files = scene_files() | drive_files()
    lonely = ["training/image_2/000007_10.png", f"2011_09_26/{DRIVE}_sync/image_03/data/0000000010.png"]
    partners = [name.replace("_2/", "_3/").replace("_03/", "_02/") for name in lonely]
    archive = make_zip(tmp_path / "x.zip", {name: content for name, content in files.items() if name not in partners})
    assert f"without a partner of the other camera: {lonely[1]}, {lonely[0]}; get" in refusal(archive)
    files["training/image_3/000198_11.png"] = png("a", (21, 40))
    files["training/image_2/000199_10.png"] = png("b", (20, 41))
    said = refusal(make_zip(tmp_path / "x.zip", files), "--native", tmp_path / "native")
    assert "training/image_2/000198_11.png (20 × 40) and training/image_3/000198_11.png (21 × 40), " in said
    assert "training/image_2/000199_10.png (20 × 41) and training/image_3/000199_10.png (20 × 40);" in said


def test_incomplete_pairs_that_are_not_used(succeed, tmp_path):
    """Of a test scene, or of a frame between those taken."""
    files = scene_files([199]) | scene_files([3], frames=[10]) | drive_files()
    del files["training/image_3/000003_10.png"], files[f"2011_09_26/{DRIVE}_sync/image_02/data/0000000001.png"]
    succeed(corpus, make_zip(tmp_path / "x.zip", files), "--out", tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 1 + 2 + 3


def test_damaged_images(refusal, tmp_path):
    files, name = scene_files(), "training/image_3/000198_10.png"
    for content, problem in ((b"GIF89a", "is not a PNG image"), (files[name][:-200], "is truncated or damaged")):
        archive = make_zip(tmp_path / "y.zip", files | {name: content})
        assert f"{name} in {archive} {problem}" in refusal(archive)


def test_unusable_archives_and_wrong_usage(command, refusal, scenes, drive, tmp_path):
    assert command(corpus, scenes, "--out", tmp_path / "out", "--native", tmp_path / "out")[0] == 2
    assert "neither KITTI 2015 training images" in refusal(make_zip(tmp_path / "x.zip", {"readme.txt": b""}))
    unsafe = make_zip(tmp_path / "scene_flow.zip", scene_files() | {"..\\training/image_2/000008_10.png": b"evil"})
    assert "has a path outside the target folder" in refusal(unsafe)
    unsynced = {name.replace("_sync", "_extract"): content for name, content in drive_files().items()}
    assert "drives that are synced and rectified" in refusal(make_zip(tmp_path / "x.zip", unsynced))
    old = make_zip(tmp_path / "data_stereo_flow.zip", kitti_images(training=[7]))
    assert f"{old} is KITTI 2012: download data_scene_flow.zip" in refusal(old)
    assert "give each archive once" in refusal(scenes, shutil.copy(scenes, tmp_path / "again.zip"))
    assert "--native: no archive has KITTI 2015 images" in refusal(drive, "--native", tmp_path / "native")
    (tmp_path / "file").touch()
    assert "file/image_2 cannot be made or written to" in refusal(scenes, "--native", tmp_path / "file")


@pytest.mark.parametrize("failure", [NDICError("No space left on device"), KeyboardInterrupt("interrupted; complete")])
def test_a_run_that_fails_is_continued(failure, succeed, fail, scenes, drive, tmp_path, monkeypatch):
    out, native = tmp_path / "out", tmp_path / "native"
    given = (scenes, drive, "--out", out, "--native", native)
    calls = iter([write_whole] * 11)  # two plans, then four images a pair: it ends in the midst of the third one

    def breaking(path, content):
        if not (write := next(calls, None)):
            raise failure
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "write_whole", breaking)
        assert str(failure) in fail(corpus, *given)
    assert not [folder for folder in (out, native) if (folder / "index.tsv").exists()]
    images = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.webp")}
    complete = itertools.product(("out", "native"), corpus.SIDES, ("000", "001"))
    assert images == {f"{folder}/{side}/{name}.webp" for folder, side, name in complete} | {"out/image_2/002.webp"}
    assert not list(tmp_path.rglob("*.png"))
    kept = times(out)
    del kept["002.webpimage_2"]
    said = succeed(corpus, *given)
    assert f"7 pairs written to {out}, 2 existed" in said
    assert f"4 pairs written to {native}, 2 existed" in said
    assert kept.items() <= times(out).items()
    succeed(corpus, scenes, drive, "--out", tmp_path / "a", "--native", tmp_path / "b")
    assert (tree(out), tree(native)) == (tree(tmp_path / "a"), tree(tmp_path / "b"))


def test_a_second_run_writes_only_missing_pairs(succeed, scenes, drive, tmp_path):
    out, native = tmp_path / "out", tmp_path / "native"
    succeed(corpus, scenes, "--out", out)
    before, kept = tree(out), times(out)
    said = succeed(corpus, scenes, "--out", out, "--native", native)
    assert f"0 pairs written to {out}, 6 existed" in said
    assert f"6 pairs written to {native}" in said
    assert (tree(out), times(out)) == (before, kept)
    (out / "image_3" / "004.webp").unlink()
    assert f"1 pairs written to {out}, 5 existed" in succeed(corpus, scenes, "--out", out)
    assert tree(out) == before
    assert f"3 pairs written to {out}, 6 existed" in succeed(corpus, scenes, drive, "--out", out)  # later pairs
    assert before.items() - {("index.tsv", before["index.tsv"])} <= tree(out).items()
    assert [row[0] for row in rows(out)[1:]] == [f"00{number}" for number in range(9)]


def test_folders_of_other_pairs_are_not_changed(succeed, fail, scenes, drive, tmp_path):
    out, own = tmp_path / "out", tmp_path / "own"
    succeed(corpus, scenes, drive, "--out", out)
    (own / "image_2").mkdir(parents=True)
    (own / "image_2" / "000.png").write_bytes(b"mine")
    for folder, given in ((out, (scenes, drive, "--every", 9)), (out, (drive,)), (own, (scenes,))):
        before = tree(folder)
        said = fail(corpus, *given, "--out", folder)
        assert f"{folder} has images of another selection and is not changed" in said
        assert tree(folder) == before


def test_an_index_that_an_editor_saved_is_still_ours(succeed, fail, scenes, drive, tmp_path):
    out = tmp_path / "out"
    succeed(corpus, scenes, "--out", out)
    index = (out / "index.tsv").read_text()
    (out / "index.tsv").write_bytes(index.replace("\n", "\r\n").encode("utf-16"))
    assert f"3 pairs written to {out}, 6 existed" in succeed(corpus, scenes, drive, "--out", out)
    assert (out / "index.tsv").read_text().startswith(index)
    (out / "index.tsv").write_bytes(index.replace("set", "sét").encode("latin-1"))
    assert "index.tsv is not UTF-8 text (" in fail(corpus, scenes, "--out", out)


def test_archives_with_other_spellings_of_the_names(succeed, tmp_path):
    files = {
        name.replace("/", "\\").replace(".png", ".PNG"): of for name, of in (scene_files() | drive_files()).items()
    }
    succeed(corpus, make_zip(tmp_path / "data_scene_flow.zip", files), "--out", tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 1 + 6 + 3
    assert rows(tmp_path / "out")[1][2] == "training/image_2/000007_10.PNG"
