"""Tables: aligned text, and CSV files that are read as they were written."""

import pytest

from ndic_core.errors import NDICError
from ndic_core.evaluation.tables import format_table, read_table, write_table

ROWS = [
    dict(model="bls17", side_info="y", lmbda=2e-5, bytes=812, bpp=0.19825, psnr=24.504, ms_ssim_db=9.0, x_hat=[0]),
    dict(model="cross_attention", side_info="no_y", lmbda=1e-4, bytes=99, bpp=0.02417, psnr=7.0, ms_ssim_db=None),
]


def test_columns_are_aligned():
    assert format_table(ROWS).splitlines() == [
        "model            decoded with    lambda  bytes  bpp measured  PSNR dB  MS-SSIM dB",
        "bls17            y             2.00e-05    812        0.1983    24.50        9.00",
        "cross_attention  no_y          1.00e-04     99        0.0242     7.00",
    ]


def test_columns_can_be_chosen_and_unknown_ones_keep_their_name():
    rows = [row | dict(at_epoch=3) for row in ROWS[:1]]
    expected = ["bytes  decoded with  at epoch", "  812  y                    3"]
    assert format_table(rows, ("bytes", "side_info", "at_epoch")).splitlines() == expected


@pytest.mark.parametrize("rows", [[], [{}], [{"epoch": 3}]])
def test_a_table_without_columns_is_refused(rows):
    with pytest.raises(NDICError, match="a table needs a column"):
        format_table(rows)


@pytest.mark.parametrize(
    ("rows", "read"),
    [
        ([dict(model="bls17", bytes=812, bpp=0.125), dict(model="JPEG", bytes=900, quality=5)], None),
        ([dict(device="1_000", compile=True, peak_mb=2.5), dict(device="ü, x", compile=False)], None),
        ([dict(a=1, b=None), dict(b=float("inf"))], [dict(a=1), dict(b=float("inf"))]),
    ],
)
def test_a_table_is_read_as_it_was_written(tmp_path, rows, read):
    write_table(rows, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv") == (read or rows)


def test_files_that_cannot_be_written_or_read_are_named(tmp_path):
    with pytest.raises(NDICError, match="cannot be written"):
        write_table([{"a": 1}], tmp_path / "nowhere" / "t.csv")
    with pytest.raises(NDICError, match=r"missing\.csv cannot be read"):
        read_table(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("model\nJPÉG\n".encode("latin-1"), "is not UTF-8 text .*: save it as UTF-8"),
        (b"model;bpp\nbls17;0,1\n", "has columns separated by ';': save it with commas"),
        (b"model\tbpp\nbls17\t0.1\n", r"has columns separated by '\\t'"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "no CSV file in UTF-8"),
        (b"a,b\n1,2\n1,2,3\n", "row 2 has more cells than the header"),
    ],
)
def test_other_files_are_refused(tmp_path, content, sentence):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(NDICError, match=sentence):
        read_table(tmp_path / "t.csv")


def test_comments_before_the_header_are_left_out(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("# measured once\n# again\nmodel,bpp\n# no comment,1\n", encoding="utf-8")
    assert read_table(file) == [{"model": "# no comment", "bpp": 1}]
