"""Figures of files show every field, and how images of any size are padded and tiled."""

import pytest

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import Header, pack
from ndic_core.models.coding.tiling import Tiling
from ndic_core.plots.bitstream import exact_parts, file_fields, size_layouts


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_every_field_has_its_bytes_its_length_and_a_share_of_the_bar():
    stream = pack(Header("cross_attention", b"\x01\x02\x03", 128, 100, 7), b"PAYLOAD")
    (axis,) = file_fields(stream).axes
    words = texts(axis)
    shown = [word for word, text in zip(words, axis.texts, strict=True) if text.get_family() == ["monospace"]]
    assert shown == [f"{byte:02x}" for byte in stream[:16] + stream[-4:]]  # the payload's last byte is "…"
    assert words.count("…") == 1
    assert "the whole file, 21 bytes, to scale" in words
    assert "version 1; a rate level follows; model 5, cross_attention" in words
    bar = axis.patches[:8]
    assert [patch.get_width() for patch in bar] == pytest.approx([8.4 * n / 21 for n in (2, 1, 3, 2, 1, 1, 7, 4)])
    assert [patch.get_x() for patch in bar[1:]] == pytest.approx([p.get_x() + p.get_width() for p in bar[:-1]])
    assert len({patch.get_facecolor() for patch in bar}) == 8
    colours = [patch.get_facecolor() for patch in axis.patches[8:]]
    counts = (2, 1, 3, 2, 1, 1, 6, 4)
    assert colours == [patch.get_facecolor() for patch, count in zip(bar, counts, strict=True) for _ in range(count)]


def test_a_file_without_a_level_has_no_such_field():
    words = texts(file_fields(pack(Header("bls17", bytes(3), 5, 5), b"abc")).axes[0])
    assert "level" not in words
    assert "payload" in words
    with pytest.raises(NDICError, match=r"not an \.ndic file"):
        file_fields(b"PNG")


def test_the_coder_is_exact_and_the_networks_are_not():
    (axis,) = exact_parts().axes
    boxes = [patch for patch in axis.patches if hasattr(patch, "get_boxstyle")]
    network, coder = boxes[0].get_edgecolor(), boxes[1].get_edgecolor()
    assert network != coder
    assert [box.get_edgecolor() for box in boxes] == [network, coder, coder, coder, coder, network]
    assert {"SENDER", "RECEIVER", "analysis", "synthesis", "file"} <= set(texts(axis))


def test_tiles_padding_and_the_header_of_each_size():
    cases = [("cross_attention", Tiling(129, 257, (128, 256)), 2_000_000), ("bls17", Tiling(64, 96, (64, 96)), 1)]
    large, small = size_layouts(cases).axes
    assert large.get_title() == "cross_attention\n129 × 257 pixels"
    (padded, image, *tiles), (*_, tile) = large.patches, small.patches
    assert (padded.get_height(), padded.get_width()) == (256, 512)
    assert (image.get_height(), image.get_width()) == (129, 257)
    assert [one.get_xy() for one in tiles] == [(0, 0), (256, 0), (0, 128), (256, 128)]
    (words,) = texts(large)
    assert words.splitlines() == [
        "4 tiles of 128 × 256",
        "3.95 times the pixels",
        "2 MB to decode",
        "header: 81 01 | 81 02",
    ]
    assert texts(small)[0].startswith("1 tile of 64 × 96\n1.00 times")
    assert tile.get_edgecolor() != tiles[0].get_edgecolor()
