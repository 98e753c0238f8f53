"""What every data set becomes: pairs of images of one size, decoded once, ready for a batch."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ndic_core.data.cache import cached_images, content_digests
from ndic_core.errors import NDICError

RESAMPLING = Image.Resampling.BILINEAR  # antialiased: what the published code's torchvision does by default
LEFT, RIGHT = (  # names of the folders that hold a camera's images: KITTI 2015's, KITTI 2012's, Cityscapes', one's own
    {"image_2", "colored_0", "leftImg8bit", "left"},
    {"image_3", "colored_1", "rightImg8bit", "right"},
)
COLOUR_MODES = ("RGB", "RGBA", "P", "CMYK", "YCbCr")  # what Pillow turns into RGB without loss of colour


class Pairs(torch.utils.data.Dataset):
    """Image pairs in memory-mapped 8-bit pixels.

    Args:
        images: uint8 (count, H, W, 3); a picture that belongs to several pairs is there once.
        index: (n, 2) integers: which images are x and y of each pair.
        names: n strings that tell the pairs apart in tables.
        scenes: n strings, the same for pairs that show the same scene; the names where None.
        disparity: (n, H, W) floats where it is known: pixels; x at column u is y at column u − disparity; NaN where y
            does not show it.
        cameras: n of "left", "right" or None: which camera took x, where that is known; None where it never is.

    Example:
        >>> images = np.zeros((2, 32, 64, 3), np.uint8)
        >>> pairs = Pairs(images, np.array([[0, 1], [1, 0]]), ["left", "right"])
        >>> len(pairs), pairs[0][0].shape, pairs.batch([0, 1])[1].shape
        (2, torch.Size([3, 32, 64]), torch.Size([2, 3, 32, 64]))
    """

    def __init__(
        self,
        images: np.ndarray,
        index: np.ndarray,
        names: Sequence[str],
        scenes: Sequence[str] | None = None,
        disparity: np.ndarray | None = None,
        cameras: Sequence[str | None] | None = None,
    ):
        self.images = images
        self.index = index
        self.names = list(names)
        self.scenes = self.names if scenes is None else list(scenes)
        self.disparity = disparity
        self.cameras = [None] * len(index) if cameras is None else list(cameras)
        self.parts: dict[str, Sequence[int]] = {}  # groups of pairs whose validation loss is also stated apart, by name
        self._pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """x and y, (3, H, W) in [0, 1]."""
        x, y = self.batch([i])
        return x[0], y[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.images.shape[1:3]

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x and y of some pairs, (B, 3, H, W) each in [0, 1], on the device of `to`."""
        x, y = self.pixels(indices).permute(1, 0, 4, 2, 3).float() / 255
        return x, y

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """x and y of some pairs as they are stored, uint8 (B, 2, H, W, 3), on the device of `to`."""
        chosen = self.index[list(indices)]
        if self._pixels is not None:
            return self._pixels[torch.from_numpy(chosen).to(self._pixels.device, non_blocking=True)]
        return torch.from_numpy(self.images[chosen])

    def known(self, indices: Sequence[int]) -> list[int]:
        """Which of `indices`, by their places among them, know their disparity: all or none."""
        return [] if self.disparity is None else list(range(len(indices)))

    def truth(self, indices: Sequence[int]) -> Tensor:
        """Disparities of some pairs that know them, (B, H, W), as in `disparity`."""
        return torch.from_numpy(self.disparity[list(indices)]).float()

    def to(self, device: torch.device) -> "Pairs":
        """Hold the pixels on a GPU with room for them, so that no batch waits for a transfer; elsewhere no change."""
        if device.type == "cuda" and self.images.nbytes < torch.cuda.mem_get_info(device)[0] / 4:
            self._pixels = torch.from_numpy(np.array(self.images)).to(device)
        return self

    def in_epoch(self, epoch: int) -> "Pairs":
        """What an epoch of training sees: these pairs do not change."""
        return self

    def first(self, count: int) -> "Pairs":
        """The first `count` pairs."""
        return self.some(range(min(count, len(self))))

    def some(self, indices: Sequence[int]) -> "Pairs":
        """Some of the pairs."""
        chosen = list(indices)
        names, scenes, cameras = ([of[i] for i in chosen] for of in (self.names, self.scenes, self.cameras))
        disparity = None if self.disparity is None else self.disparity[chosen]
        return Pairs(self.images, self.index[chosen], names, scenes, disparity, cameras)

    def camera(self, indices: Sequence[int]) -> list[str | None]:
        """Which camera took x of some pairs, see `cameras`."""
        return [self.cameras[i] for i in indices]

    def show_the_same(self, i: int, j: int) -> bool:
        """Whether pairs i and j show one scene, or share a picture."""
        return self.scenes[i] == self.scenes[j] or bool(set(self.index[i]) & set(self.index[j]))


def load_pairs(
    paths: Sequence[tuple[Path, Path]],
    size: tuple[int, int],
    crop: tuple[int, int] | None = None,
    scene_of: Callable[[Path], str] = str,
    progress: bool = True,
    camera_of: Callable[[Path], str | None] | None = None,
) -> Pairs:
    """Pairs from files: centre crop, resize, cached.

    Args:
        paths: x and y of each pair.
        size: height and width to resize to.
        crop: height and width of the centre to take first; None takes the largest centre of the shape of `size`.
        scene_of: which scene a picture shows; each picture its own where left out.
        progress: show a bar on stderr while pictures are prepared for the first time.
        camera_of: which camera took a picture, "left", "right" or None; by the names of its folders where left out.

    Returns:
        The pairs, in the order of `paths`.

    Raises:
        NDICError: pictures are missing, damaged, grey, of more than 8 bits a channel, smaller than the crop, or of
            another size than their partner: all of them are named.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (200, 100), "red").save(folder / "red.png")
        >>> pairs = load_pairs([(folder / "red.png", folder / "red.png")], size=(32, 64))
        >>> pairs[0][0][:, 5, 5]
        tensor([1., 0., 0.])
    """
    files = list(dict.fromkeys(path for pair in paths for path in pair))
    place = {file: i for i, file in enumerate(files)}
    _refuse(f"{file}: no such file" for file in files if not file.is_file())
    digests = content_digests(files)
    depends_on = ["pairs 2", size, crop, int(RESAMPLING), digests]

    def prepared() -> Iterable[np.ndarray]:
        with ThreadPoolExecutor() as pool:
            sizes = dict(zip(files, pool.map(lambda file: _inspect(file, crop), files), strict=True))
            problems = [problem for problem in sizes.values() if isinstance(problem, str)]
            for x, y in paths:
                if isinstance(sizes[x], tuple) and isinstance(sizes[y], tuple) and sizes[x] != sizes[y]:
                    (h_x, w_x), (h_y, w_y) = sizes[x], sizes[y]
                    problems.append(f"{x} and {y}: {h_x} × {w_x} and {h_y} × {w_y}, a pair must have one size")
            _refuse(problems)
            problems = []
            for image in pool.map(lambda file: _prepare(file, size, crop), files):
                if isinstance(image, str):
                    problems.append(image)
                elif not problems:
                    yield image
            _refuse(problems)

    images = cached_images(depends_on, (len(files), *size, 3), prepared, "decode and resize", progress)
    index = np.array([[place[x], place[y]] for x, y in paths]).reshape(-1, 2)
    root = os.path.commonpath([file.parent for file in files])
    names = {file: Path(os.path.relpath(file, root)).as_posix() for file in files}
    label = [f"{names[x]} with {names[y]}" for x, y in paths]
    cameras = [(camera_of or _camera)(x) for x, _ in paths]
    return Pairs(images, index, label, [scene_of(x) for x, _ in paths], cameras=cameras)


def _camera(file: Path) -> str | None:
    """The camera by the innermost folder that names one."""
    for part in reversed(file.parts[:-1]):
        if part in LEFT or part in RIGHT:
            return "left" if part in LEFT else "right"
    return None


def _refuse(problems: Iterable[str]) -> None:
    problems = list(dict.fromkeys(problems))
    if problems:
        count = f"{len(problems)} {'picture' if len(problems) == 1 else 'pictures'}"
        raise NDICError(f"{count} cannot be used: " + "; ".join(problems))


def image_size(file: Path) -> tuple[int, int] | None:
    """Height and width by the file's header; None where `load_pairs` would refuse the file."""
    size = _inspect(file, None)
    return None if isinstance(size, str) else size


def _inspect(file: Path, crop: tuple[int, int] | None) -> tuple[int, int] | str:
    """Height and width, from the header alone; or what is wrong."""
    try:
        with Image.open(file) as image, file.open("rb") as raw:
            start = raw.read(26)
            if (start.startswith(b"\x89PNG") and start[24] == 16) or image.mode.startswith(("I", "F")):
                return f"{file}: more than 8 bits a channel; convert it to 8-bit RGB"
            if image.mode not in COLOUR_MODES:
                return f"{file}: no colour (mode {image.mode}); convert it to 8-bit RGB"
            height, width = image.height, image.width
            if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # a camera held upright: lies on its side
                height, width = width, height
            if crop and (height < crop[0] or width < crop[1]):
                return f"{file}: {height} × {width}, smaller than the crop of {crop[0]} × {crop[1]}"
            return height, width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"{file}: {_reason(error)}"


def _prepare(file: Path, size: tuple[int, int], crop: tuple[int, int] | None) -> np.ndarray | str:
    """The picture, cropped and resized, uint8 (H, W, 3); or what is wrong."""
    try:
        with Image.open(BytesIO(file.read_bytes())) as stored:
            image = ImageOps.exif_transpose(stored).convert("RGB")
            height, width = crop or _largest(size, (image.height, image.width))
            # Whole pixels, rounded as torchvision's centre crop does.
            top, left = round((image.height - height) / 2), round((image.width - width) / 2)
            box = (left, top, left + width, top + height)
            return np.asarray(image.crop(box).resize(size[::-1], RESAMPLING))
    except (OSError, SyntaxError, ValueError) as error:
        return f"{file}: {_reason(error)}"


def _largest(shape: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the largest centre with the aspect of `shape`."""
    scale = min(within[0] / shape[0], within[1] / shape[1])
    return round(shape[0] * scale), round(shape[1] * scale)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no picture that Pillow can read"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read ({error.strerror})"
    return "truncated or damaged"
