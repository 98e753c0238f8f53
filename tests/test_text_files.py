"""Every text file that people edit is read in each encoding with a byte-order mark; others are refused by name."""

from pathlib import Path

import pytest
from files import plant, refusal

from ndic_core import NDICError
from ndic_core.config_file import parse_changes, read_yaml
from ndic_core.data.kitti import read_list, stereo_pairs
from ndic_core.data.real_pairs import held_out
from ndic_core.evaluation.tables import read_table

IMAGES = [f"{side}/é{n}.png" for n in range(3) for side in ("image_2", "image_3")]


def excluded(file: Path) -> list[str]:
    """The names in a list that a configuration refers to."""
    (file.parent / "run.yaml").write_text(f"exclude: {file.name}")
    return read_yaml(file.parent / "run.yaml")["exclude"]


READERS = {  # the file, its lines, what reads it, what is read
    "index.tsv": (
        ["id\tset", "é0\tkitti2015/1", "é1\tkitti2015/2", "é2\troad"],
        lambda f: held_out(f.parent, 1),
        {"é1"},
    ),
    "KITTI_stereo_val.txt": (IMAGES[:2], lambda f: [y.name for _, y in read_list(f, f.parent)], ["é0.png"]),
    "table.csv": (["model,bpp", "é,0.5"], read_table, [dict(model="é", bpp=0.5)]),
    "names.txt": (["é0", "# été", "é1"], excluded, ["é0", "é1"]),
    "own.yaml": (["model: é", "lr: 3e-05"], read_yaml, dict(model="é", lr=3e-5)),
}


@pytest.fixture(params=READERS)
def reader(request, tmp_path):
    """A file, its lines, what reads it, what is read."""
    plant(tmp_path, *IMAGES)
    return tmp_path / request.param, *READERS[request.param]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", ("\ufeff", "utf-16-be")])
def test_encodings_with_a_byte_order_mark_are_read(encoding, reader):
    file, lines, read, expected = reader
    mark, encoding = encoding if isinstance(encoding, tuple) else ("", encoding)
    file.write_bytes((mark + "\r\n".join([*lines, ""])).encode(encoding))
    assert read(file) == expected


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-16-be", "cp437"])
def test_other_encodings_are_refused_in_one_line(encoding, reader):
    file, lines, read, _ = reader
    file.write_bytes("\n".join(lines).encode(encoding))
    message = refusal(read, file)
    assert f"{file} is not UTF-8 text (" in message
    assert message.endswith("save it as UTF-8")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("id,set\né0,kitti2015/1", "lacks the columns id and set: its first line names them, separated by tabs"),
        (
            "id\tset\n0\tkitti2015\n1\tkitti2015",
            r"its ids \(0, 1\) must be the names of images without extension \(é0, é1",
        ),
        ("", "lacks the columns id and set"),
        ("id\tset", r"its ids \(none\)"),
        ("id\tset\né0 \tkitti2015\né2\tkitti2015", "has no line for the images é1"),
        ('id\tset\né0\tkitti2015\t"a\né1\tkitti2015\né0\traw', "has several lines for é0: keep one of each"),
        ("id\tset\né0\t" + "x" * 200_000, "cannot be read as a table separated by tabs: field larger"),
    ],
)
def test_an_index_that_is_no_such_table(content, sentence, tmp_path):
    plant(tmp_path, *IMAGES)
    (tmp_path / "index.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(NDICError, match=rf"index\.tsv.*{sentence}"):
        held_out(tmp_path, 1)


@pytest.mark.parametrize("value", ["\x01", "\x7f", "!!bool x", "!!int x", "[", "2001-99-99", "'"])
def test_every_fault_of_a_yaml_file_is_one_line(value, tmp_path):
    (tmp_path / "run.yaml").write_text(f"lr: {value}\n")
    message = refusal(read_yaml, tmp_path / "run.yaml")
    assert message.startswith(f"{tmp_path / 'run.yaml'} is not valid YAML")
    with pytest.raises(ValueError, match="is no YAML value"):
        parse_changes([f"lr={value}"])


@pytest.mark.parametrize("name", ["index.tsv", "KITTI_stereo_val.txt"])
def test_a_broken_link_is_not_taken_for_the_absence_of_the_file(name, tmp_path):
    plant(tmp_path, *IMAGES)
    (tmp_path / name).symlink_to("nowhere")
    read = {"index.tsv": lambda: held_out(tmp_path, 1), "KITTI_stereo_val.txt": lambda: stereo_pairs(tmp_path, "val")}
    assert f"{name} cannot be read: No such file or directory" in refusal(read[name])
