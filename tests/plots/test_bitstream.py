"""What the figures of a file show."""

import pytest

from ndic_core.errors import NDICError
from ndic_core.models.coding.container import Header, pack
from ndic_core.plots.bitstream import damage_by_place, file_bytes


def cells(figure) -> list[str]:
    centred = [text.get_text() for text in figure.axes[0].texts if text.get_ha() == "center"]
    return [text for text in centred if len(text) == 2]


def test_every_byte_is_shown_in_the_colour_of_its_field():
    stream = pack(Header("cross_attention", b"\x01\x02\x03", 128, 100, 7), b"PAYLOAD")
    figure = file_bytes(stream)
    assert cells(figure) == [f"{byte:02x}" for byte in stream]
    colours = [patch.get_facecolor() for patch in figure.axes[0].patches]
    squares, legend = colours[: len(stream)], colours[len(stream) :]
    counts = [2, 1, 3, 2, 1, 1, 7, 4]  # magic, version ..., fingerprint, height, width, level, payload, checksum
    assert squares == [colour for colour, count in zip(legend, counts, strict=True) for _ in range(count)]
    assert len(set(legend)) == 8
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "version 1; a rate level follows; model 5, cross_attention" in words
    assert words.count("1 byte") == 3


def test_the_middle_of_a_long_file_is_left_out():
    stream = pack(Header("bls17", bytes(3), 5, 5), bytes(range(250)))
    shown = cells(file_bytes(stream, columns=16, lines=5))
    assert len(stream) == 262  # 17 lines, the last one of 6
    assert shown == [f"{byte:02x}" for byte in stream[:32] + stream[240:]]
    words = [text.get_text() for text in file_bytes(stream, columns=16, lines=5).axes[0].texts]
    assert f"... {262 - 32 - 22} bytes of payload ..." in words
    with pytest.raises(NDICError, match="3 lines or more"):
        file_bytes(stream, lines=2)
    with pytest.raises(NDICError, match="1 byte or more, not 0"):
        file_bytes(stream, columns=0)


def test_few_lines_show_the_first_and_the_last_and_header_bytes_are_no_payload():
    stream = pack(Header("bls17", bytes(3), 5, 5), bytes(range(250)))
    assert cells(file_bytes(stream, columns=16, lines=3)) == [f"{byte:02x}" for byte in stream[:16] + stream[256:]]
    for columns, words in ((16, "... 240 bytes of payload ..."), (4, "... 256 bytes ...")):
        assert words in [text.get_text() for text in file_bytes(stream, columns, lines=3).axes[0].texts]


def test_a_damaged_file_has_no_fields_to_show():
    with pytest.raises(NDICError, match="truncated or damaged"):
        file_bytes(pack(Header("bls17", bytes(3), 5, 5), bytes(9))[:-1])


def test_damage_over_its_place():
    rows = [dict(byte=0, wrong=0.5, psnr=9.0), dict(byte=6, wrong=0.25, psnr=None), dict(byte=9, wrong=None, psnr=None)]
    latents, quality = damage_by_place(rows, 20.0).axes
    assert latents.lines[0].get_xydata().tolist() == [[0, 50], [6, 25]]
    assert quality.lines[0].get_xydata().tolist() == [[0, 9]]
    assert quality.lines[1].get_ydata() == [20.0, 20.0]
    assert all(axis.lines[-1].get_xdata() == [9] for axis in (latents, quality))
    with pytest.raises(NDICError, match="no damage"):
        damage_by_place([], 20.0)
