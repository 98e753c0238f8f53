"""Own images whose names, files or folders are not what they seem: nothing is left out silently."""

import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from files import plant, refusal

from ndic_core.data import cityscape, folder, kitti

NFC, NFD = (unicodedata.normalize(form, "Straßenzüge é") for form in ("NFC", "NFD"))


def by_name(root: Path, lefts, rights) -> list[tuple[str, str]]:
    """The names that are matched of files in left/ and right/."""
    plant(root, *(f"left/{name}" for name in lefts), *(f"right/{name}" for name in rights))
    return [(x.name, y.name) for x, y in folder.matched(root / "left", root / "right")]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_{}.png", "right_{}.png"),
        ("{}-Left.jpg", "{}-RIGHT.webp"),
        ("scene left {}.png", "scene right {}.png"),
        ("left{}.png", "right{}.png"),
        ("{}.png", "{}_right.png"),
        (NFC + "{}.png", NFD + "{}.png"),
        (NFD + "_left{}.png", NFC + "_right{}.png"),
    ],
)
def test_names_that_differ_in_the_side_or_in_composition_are_matched(left, right, tmp_path):
    numbers = range(3)
    expected = [(left.format(n), right.format(n)) for n in numbers]
    assert by_name(tmp_path, *zip(*expected, strict=True)) == expected


def test_two_folders_may_be_right_and_left(tmp_path):
    plant(tmp_path, "right/right_1.png", "left/left_1.png")
    ((x, y),) = folder.matched(tmp_path / "right", tmp_path / "left")
    assert (x.name, y.name) == ("right_1.png", "left_1.png")


@pytest.mark.parametrize(
    ("lefts", "rights"),
    [
        (["right_1.png"], ["left_1.png"]),  # in the wrong folders
        (["leftover.png"], ["rightover.png"]),  # a part of a word
        (["1.png", "left_1.png"], ["1.png", "right_1.png"]),  # two pairs would have one name
        (["a_L.png"], ["a_R.png"]),
        (["a_.png"], ["_a.png"]),
    ],
)
def test_other_names_are_refused_with_an_example(lefts, rights, tmp_path):
    message = refusal(by_name, tmp_path, lefts, rights)
    assert "images without a partner of the same name: " in message
    assert message.endswith("both images of a pair have one name, such as left/001.png and right/001.png")


def test_names_that_look_alike_in_one_folder_are_told_apart(tmp_path):
    message = refusal(by_name, tmp_path, ["\u00e9.png", "e\u0301.png"], ["\u00e9.png"])
    assert r"several images of one name: 'e\u0301.png' and '\xe9.png'; keep one of each" in message


def test_listings_end_after_ten(tmp_path):
    message = refusal(by_name, tmp_path, (f"a{n:04d}.png" for n in range(300)), (f"b{n}.png" for n in range(300)))
    assert "a0009.png and 590 more; both" in message
    assert len(message) < 60 * 12 + len(str(tmp_path)) * 12
    plant(
        tmp_path / "twice",
        *(f"{side}/{n:04d}.{kind}" for side in ("left", "right") for n in range(300) for kind in ("png", "jpg")),
    )
    assert "0009.jpg and 0009.png and 290 more; keep one" in refusal(folder.pairs, tmp_path / "twice", "test")


def broken(path: Path) -> None:
    path.symlink_to("nowhere.png")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def linked_folder(path: Path) -> None:
    path.symlink_to(path.parent.parent)


KINDS = {
    broken: "a broken link",
    loop: "Too many levels of symbolic links",
    linked_folder: "a folder",
    Path.mkdir: "a folder",
    os.mkfifo: "not a regular file",
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize(("make", "reason"), KINDS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_images_that_are_no_readable_files_are_all_named(make, reason, tmp_path):
    """Of both sides; one side alone was reported as without a partner."""
    plant(tmp_path, *(f"{side}/{n}.png" for side in ("left", "right") for n in range(4)))
    for file in (tmp_path / f"{side}/{n}.PNG" for side in ("left", "right") for n in (7, 8)):
        make(file)
    message = refusal(folder.pairs, tmp_path, "train")
    for side in ("left", "right"):
        assert f"{tmp_path / side} has images that cannot be read: 7.PNG ({reason}), 8.PNG ({reason});" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_the_same_in_kitti_and_cityscape(tmp_path):
    base = "data_scene_flow_multiview/testing"
    plant(tmp_path, *(f"{base}/{camera}/00000{n}_10.png" for camera in ("image_2", "image_3") for n in range(2)))
    plant(tmp_path, *(f"{side}/val/ulm/ulm_0_{side}.png" for side in cityscape.SIDES))
    lists = f"{base}/image_2/000007_10.png\n{base}/image_3/000007_10.png\n"
    for camera in ("image_2", "image_3"):
        broken(tmp_path / base / camera / "000007_10.png")
    for side in cityscape.SIDES:
        broken(tmp_path / side / "val" / "ulm" / f"ulm_1_{side}.png")
    for message in (refusal(kitti.stereo_pairs, tmp_path, "test"), refusal(kitti.general_pairs, tmp_path, "train")):
        assert message.count("000007_10.png (a broken link)") == 2
    assert refusal(cityscape.pairs, tmp_path, "val").count("(a broken link)") == 2
    for side in cityscape.SIDES:
        broken(tmp_path / side / "val" / "bonn")
    assert refusal(cityscape.pairs, tmp_path, "val").count("/val/bonn is a broken link: replace or remove it") == 2
    (tmp_path / "KITTI_stereo_test.txt").write_text(lists)
    assert refusal(kitti.stereo_pairs, tmp_path, "test").count("000007_10.png (a broken link)") == 2


def test_images_of_cityscape_have_their_ending(tmp_path):
    plant(
        tmp_path,
        *(f"{side}/val/ulm/ulm_{n}_{side}.{e}" for side in cityscape.SIDES for n, e in ((0, "png"), (1, "PNG"))),
    )
    for side in cityscape.SIDES:
        assert f"val/ulm has images whose names do not end in .png: ulm_1_{side}.PNG;" in refusal(
            cityscape.pairs, tmp_path, "val"
        )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf_8(tmp_path):
    plant(tmp_path, *(f"{side}/{name}" for side in ("left", "right") for name in ("a.png", "caf\udce9.png")))
    assert "left has names that are not UTF-8: 'caf\\udce9.png'; rename" in refusal(folder.pairs, tmp_path, "train")


def test_unreadable_files_are_named(tmp_path, monkeypatch):
    plant(tmp_path, *(f"{side}/{n}.png" for side in ("left", "right") for n in range(3)))
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("1.png"))  # root may read everything
    assert refusal(folder.pairs, tmp_path, "val").count("1.png (no permission to read it)") == 2


def test_links_to_images_are_images_and_other_files_are_ignored(tmp_path):
    plant(tmp_path, *(f"real/{n}.png" for n in "abcd"), "left/a.png", "left/notes.txt", "right/.hidden.png")
    (tmp_path / "left/b.png").symlink_to("../real/b.png")
    (tmp_path / "right/a.png").symlink_to("../real/c.png")
    os.link(tmp_path / "real/d.png", tmp_path / "right/b.png")
    broken(tmp_path / "right/readme")
    loop(tmp_path / "left/other")
    assert len(folder.matched(tmp_path / "left", tmp_path / "right")) == 2


def test_images_of_kinds_that_are_not_read_are_named(tmp_path):
    message = refusal(by_name, tmp_path, ["a.png", "b.heic"], ["a.png", "b.GIF"])
    assert "left contains images of a kind that is not read: b.heic; convert them to PNG; " in message
    assert "right contains images of a kind that is not read: b.GIF" in message


@pytest.mark.parametrize("spelling", ["left", "left/.", "right/../left", "link"])
def test_one_folder_as_x_and_y(spelling, tmp_path):
    plant(tmp_path, *(f"left/{n}.png" for n in range(3)), "right/0.png")
    (tmp_path / "link").symlink_to("left")
    message = refusal(folder.pairs, (tmp_path / "left", tmp_path / spelling), "train")
    assert f"x and y are one folder: {tmp_path}/left and {tmp_path}/" in message
    assert message.endswith("; put x and y into two folders")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_as_x_and_y(link, tmp_path):
    plant(tmp_path, *(f"left/{n}.png" for n in range(20)), "right/0.png")
    for n in range(1, 20):
        link(tmp_path / f"left/{n}.png", tmp_path / f"right/{n}.png")
    message = refusal(folder.pairs, tmp_path, "train")
    assert message.startswith(f"x and y are one file: {tmp_path}/left/1.png and {tmp_path}/right/1.png, ")
    assert re.search(r"and 9 more; y must be another view of the scene$", message)


def test_one_folder_as_both_cameras(tmp_path):
    plant(
        tmp_path, "data_scene_flow_multiview/testing/image_2/000000_10.png", "leftImg8bit/val/ulm/ulm_0_leftImg8bit.png"
    )
    (tmp_path / "data_scene_flow_multiview/testing/image_3").symlink_to("image_2")
    (tmp_path / "rightImg8bit").symlink_to("leftImg8bit")
    assert "x and y are one folder: " in refusal(kitti.stereo_pairs, tmp_path, "test")
    assert "x and y are one folder: " in refusal(cityscape.pairs, tmp_path, "val")
