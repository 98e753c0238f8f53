"""What is checked of image files besides what Pillow checks, and of tensors that become image files."""

from collections.abc import Collection
from contextlib import suppress

from PIL import ExifTags, Image, ImageFile

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WITH_FRAMES = ("PNG", "GIF", "WEBP", "AVIF", "TIFF")  # not the layers of PSD or the second view of a camera's JPEG
_NOT_CONVERTIBLE = ("LAB", "La")  # Pillow modes without a conversion to RGB
_CLIPPED = 0.5  # values this far outside [0, 1] are those of a decoder; more are another range
_TURNING = (5, 6, 7, 8)  # EXIF orientations that swap height and width


def file_problem(image: Image.Image, content: bytes, modes: Collection[str] | None, max_pixels: int) -> str | None:
    """Why an open image file is refused and the remedy, or None; the arguments are those of `io.open_image`.

    Args:
        content: of the file, for PNG, JPEG 2000, AVIF and SGI.
    """
    if image.width * image.height > max_pixels:
        return f"has more than {max_pixels} pixels: reduce its size"
    if isinstance(image, ImageFile.StubImageFile) or image.format == "EPS":  # for other programs
        return f"is a file of format {image.format}, whose pixels Pillow cannot read: convert it to PNG"
    if _bits_per_channel(image, content) > 8:
        return "has more than 8 bits per channel: convert it to 8-bit RGB"
    if modes is not None and image.mode not in modes:
        return f"has mode {image.mode}, not {' or '.join(modes)}: convert it to 8-bit RGB"
    if image.mode in _NOT_CONVERTIBLE:
        return f"has mode {image.mode}: convert it to 8-bit RGB"
    if image.format in _WITH_FRAMES and getattr(image, "is_animated", False):
        return "has several frames or pages: save the one to use as a file of its own"
    return None


def _bits_per_channel(image: Image.Image, content: bytes) -> int:
    """The bits of a channel in the file; Pillow reduces many kinds of files to 8 bits without a warning."""
    if image.mode.startswith(("I", "F")):  # integers or floats, 16 or 32 bits
        return 16
    match image.format:
        case "PNG":
            return content[24]
        case "SGI":
            return 8 * content[3]
        case "TIFF":
            return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,)))
        case "PPM":
            decoder, _, _, parameters = image.tile[0]
            scaled = decoder.startswith("ppm") and isinstance(parameters, tuple)  # with the largest value of the file
            return parameters[1].bit_length() if scaled else 8
        case "JPEG2000":
            size = content[content.find(b"\xff\x4f\xff\x51") :]  # the SIZ marker: three bytes for each component
            return 1 + max(depth & 0x7F for depth in size[42 : 42 + 3 * size[41] : 3])
        case "AVIF":
            configuration = content[content.find(b"av1C") :]
            return 10 if configuration[6] & 0x40 else 8  # `high_bitdepth`: 10 or 12
    return image.info.get("bit_depth", 8)  # that pillow-heif states


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an open image after `ImageOps.exif_transpose`."""
    with suppress(AttributeError):
        if image.tag_v2.get(ExifTags.Base.Orientation) in _TURNING:  # Pillow has swapped the sides of TIFF images
            return image.height, image.width
    # Not the method of PNG images, which decodes the pixels.
    turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation) in _TURNING
    return (image.width, image.height) if turned else (image.height, image.width)


def without_metadata(png: bytes) -> bytes:
    """A PNG file without texts and colour profile; those that may state an orientation precede the pixels.

    Pillow takes long texts for damage, and does not see an orientation behind the pixels unless it decodes them.
    """
    start, orientation, others = len(PNG_SIGNATURE), [], []
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")  # length, kind, content, checksum
        kind, content = png[start + 4 : start + 8], png[start + 8 : start + 40]
        if kind == b"eXIf" or content.startswith((b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")):
            orientation.append(png[start:end])
        elif kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            others.append(png[start:end])
        start = end
    return b"".join([PNG_SIGNATURE, *others[:1], *orientation, *others[1:]])


def tensor_problem(image: object) -> str | None:
    """What an argument of `write_image` is instead of an image, and the remedy; None where it is one."""
    import torch

    is_tensor = isinstance(image, torch.Tensor)
    if is_tensor and (image.is_nested or image.layout is not torch.strided):
        return "a tensor that is nested" if image.is_nested else f"a tensor of layout {image.layout}"
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        return f"of type {type(image).__name__}"
    shape, dtype = tuple(image.shape), str(image.dtype).removeprefix("torch.")
    given = f"{'a tensor' if is_tensor else 'an array'} {shape} of {dtype}"
    remedy = "image" if is_tensor else "torch.from_numpy(image)"
    if len(shape) == 4:
        return f"{given}: save each image of the batch"
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == 1):
        remedy += ".expand(3, -1, -1)"
    elif len(shape) != 3 or 0 in shape or dtype.startswith("complex"):
        return given
    elif shape[0] != 3:
        remedy += {3: ".permute(2, 0, 1)", 4: ".permute(2, 0, 1)[:3]"}.get(shape[2], "[:3]")
    if dtype == "bool":
        remedy += ".float()"
    elif "float" not in dtype:
        remedy += " / 255"
    if remedy != "image":
        return f"{given}: save {remedy}"
    if image.is_meta or dtype.startswith("float8"):
        return f"{given} on the meta device, without values" if image.is_meta else f"{given}: save image.float()"
    if not bool(image.isfinite().all()):
        return f"a tensor {shape} with {int((~image.isfinite()).sum())} values that are NaN or infinite"
    low, high = image.min().item(), image.max().item()
    if low < -_CLIPPED or high > 1 + _CLIPPED:
        remedy = "scale them (8-bit values: image / 255), or clip them (image.clamp(0, 1))"
        return f"a tensor {shape} with values from {low:g} to {high:g}: {remedy}"
    return None
