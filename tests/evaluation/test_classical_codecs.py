"""JPEG, JPEG 2000, WebP, AVIF and HEVC: whole files are counted, images restored, bad input refused."""

from io import BytesIO

import numpy as np
import pytest
import torch
from conftest import SHARED
from PIL import Image

from ndic_core.data.street import Street
from ndic_core.errors import NDICError
from ndic_core.evaluation.classical_codecs import CODECS, available, curve, decode, encode
from ndic_core.metrics import psnr

FINE = {"JPEG": 95, "JPEG 2000": 38, "WebP": 95, "AVIF": 95, "HEVC": 60}


@pytest.fixture(scope="module", params=CODECS)
def name(request):
    if request.param not in available():
        pytest.skip(f"{request.param} is not available here")
    return request.param


@pytest.fixture(scope="module")
def rows(name, real_images):
    """The ladders are for street scenes: KITTI's, or generated ones without the reference data."""
    return curve(name, real_images[:4] if SHARED.is_dir() else [Street().pair(i).x for i in (0, 3, 6, 9)])


def test_decoding_restores(name, real_images):
    x = real_images[0]
    x_hat = decode(encode(name, x, FINE[name]))
    assert x_hat.shape == x.shape
    assert x_hat.dtype == torch.float32
    assert psnr(x[None], x_hat[None]).item() > 33
    assert (x_hat - x).mean().abs() < 0.003  # no shift of brightness or of levels


def test_pixels_are_those_pillow_shows(name, real_images):
    data = encode(name, real_images[0], 30)
    with Image.open(BytesIO(data)) as image:
        assert image.format == CODECS[name].format
        pixels = np.asarray(image)
    assert np.array_equal(decode(data).permute(1, 2, 0).mul(255).round().byte().numpy(), pixels)


def test_odd_sizes_and_reproducible_files(name, pair):
    x = pair[0][:, :101, :173]
    data = encode(name, x, 30)
    assert decode(data).shape == (3, 101, 173)
    assert encode(name, x, 30) == data


def test_default_ladder_is_monotone_and_covers_the_rates(name, rows):
    for key in ("bytes", "bpp", "psnr", "ms_ssim", "ms_ssim_db"):
        values = [row[key] for row in rows]
        assert values == sorted(values), key
        assert len(set(values)) == len(values), key
    assert [row["quality"] for row in rows] == list(CODECS[name].qualities)
    assert rows[0]["bpp"] < (0.12 if name == "JPEG 2000" else 0.4)
    assert 1.2 < rows[-1]["bpp"] < 4


def test_a_row_is_the_average_over_images_of_whole_files(name, real_images):
    images = real_images[:2]
    (together,) = curve(name, images, [25])
    streams = [encode(name, image, 25) for image in images]
    assert together["bytes"] == sum(map(len, streams)) / 2
    assert together["bpp"] == 8 * together["bytes"] / (128 * 256)
    assert together["psnr"] == pytest.approx(psnr(images, torch.stack([*map(decode, streams)])).mean().item())
    assert (together["model"], together["images"]) == (name, 2)
    assert min(together["encode_seconds"], together["decode_seconds"]) > 0


def test_jpeg_2000_decorrelates_colours(real_images):
    """Without the colour transform, which Pillow leaves out by default, it is far worse than JPEG."""
    x = real_images[0]
    jpeg_2000 = encode("JPEG 2000", x, 30)
    finer = (encode("JPEG", x, quality) for quality in range(1, 95))
    jpeg = next(data for data in finer if len(data) >= len(jpeg_2000))
    assert psnr(x[None], decode(jpeg_2000)[None]) > psnr(x[None], decode(jpeg)[None])


def test_damaged_files_are_refused(name, pair):
    data = encode(name, pair[0], 30)
    for broken in (b"no image", data[: len(data) // 2], data[:-40]):
        with pytest.raises(NDICError, match=r"truncated or damaged|not a file of"):
            decode(broken)


def _file(format: str, image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def test_other_files_are_refused():
    with pytest.raises(NDICError, match="not a file of JPEG, JPEG 2000, WebP, AVIF"):
        decode(_file("PNG", Image.new("RGB", (8, 8))))
    with pytest.raises(NDICError, match="mode L, not RGB"):
        decode(_file("JPEG", Image.new("L", (8, 8))))
    with pytest.raises(NDICError, match="more than 16777216 pixels"):
        decode(_file("JPEG", Image.new("RGB", (8192, 2049))))


def test_qualities_out_of_range_and_other_tensors_are_refused(name, pair):
    for quality in (-1, float("nan"), "30", None):
        with pytest.raises(NDICError, match=f"{name} requires a quality from"):
            encode(name, pair[0], quality)
    for x in (torch.zeros(1, 3, 8, 8), pair[0].numpy(), (255 * pair[0]).byte()):
        with pytest.raises(NDICError, match=r"x must be a float tensor of shape \(3, H, W\)"):
            encode(name, x, 30)
    with pytest.raises(NDICError, match="x is an empty image, 0 × 8"):
        encode(name, torch.zeros(3, 0, 8), 30)
    for x in (255 * pair[0], -pair[0], pair[0] * torch.nan):
        with pytest.raises(NDICError, match=r"x must have values in \[0, 1\]"):
            encode(name, x, 30)


def test_any_bytes_are_decoded_and_nothing_else(pair):
    data = encode("JPEG", pair[0], 30)
    for same in (bytearray(data), memoryview(data)):
        assert torch.equal(decode(same), decode(data))
    with pytest.raises(NDICError, match="must be bytes as encode returns them; got str"):
        decode("a.jpg")


def test_what_cannot_be_coded_is_refused():
    with pytest.raises(NDICError, match="WebP cannot code an image of 1 × 20000 pixels"):
        encode("WebP", torch.zeros(3, 1, 20000), 30)
    with pytest.raises(NDICError, match="at least one"):
        curve("JPEG", [])
    with pytest.raises(NDICError, match="choose from JPEG, JPEG 2000, WebP, AVIF"):
        encode("BPG", torch.zeros(3, 8, 8), 30)


def test_a_pillow_without_the_codec_is_named(monkeypatch, pair):
    monkeypatch.setattr("ndic_core.evaluation.classical_codecs.features.check", lambda feature: feature != "avif")
    with pytest.raises(NDICError, match=r"without AVIF: pip install --upgrade 'pillow>=11\.3'"):
        encode("AVIF", pair[0], 30)
    assert decode(encode("JPEG", pair[0], 30)).shape == (3, 128, 256)  # the others are none the worse


def test_hevc_without_its_package_is_named(monkeypatch, pair):
    monkeypatch.setattr("ndic_core.evaluation.classical_codecs.importlib.util.find_spec", lambda name: None)
    assert "HEVC" not in available()
    with pytest.raises(NDICError, match="pip install pillow-heif"):
        encode("HEVC", pair[0], 30)
    with pytest.raises(NDICError, match="not a file of"):
        decode(b"\0\0\0\x18ftypheic" + bytes(80))
