"""Image pairs of one size as a PyTorch data set: decoding, centre crop, resize, and batches."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ndic_core.data.cache import cached_arrays, content_digests, short_digest
from ndic_core.errors import NDICError, brief, height_and_width, listing
from ndic_core.files import expand_path
from ndic_core.io import decode_image, image_size, quiet

RESAMPLING = Image.Resampling.BILINEAR  # antialiased: what the published code's torchvision does by default
LEFT, RIGHT = (  # folder names by camera: KITTI 2015, KITTI 2012, Cityscapes, own images
    {"image_2", "colored_0", "leftImg8bit", "left"},
    {"image_3", "colored_1", "rightImg8bit", "right"},
)
COLOUR_MODES = ("RGB", "RGBA", "P", "CMYK", "YCbCr")  # those that Pillow converts to RGB without loss of colour
MAX_STORED_PIXELS = 178_956_970  # Pillow's own limit: images are reduced before they are coded


class Pairs(torch.utils.data.Dataset):
    """Image pairs in memory-mapped 8-bit pixels.

    Args:
        images: uint8 (count, H, W, 3); an image that belongs to several pairs is stored once.
        index: (n, 2) integers: which images are x and y of each pair.
        names: n unique strings, for tables.
        scenes: n strings, equal for pairs of one scene; the names where None.
        disparity: (n, H, W) floats, the ground truth if available, pixels: x at column u corresponds to y at column
            u − disparity; NaN where occluded in y.
        cameras: n of "left", "right" or None (unknown), the camera of x; None if all are unknown.
        digests: n strings, equal for pairs of equal content; the names where None.

    Raises:
        NDICError: an array has another shape or type, `index` names an image that is not there, or a list another
            length.

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
        digests: Sequence[str] | None = None,
    ):
        _check_arrays(images, index, disparity)
        self.images = images
        self.index = index
        self.names = list(names)
        self.scenes = self.names if scenes is None else list(scenes)
        self.disparity = disparity
        self.cameras = [None] * len(index) if cameras is None else list(cameras)
        self.digests = self.names if digests is None else list(digests)
        for name in ("names", "scenes", "cameras", "digests"):
            if len(given := getattr(self, name)) != len(index):
                raise NDICError(f"{name} must have one entry for each of {len(index)} pairs, not {len(given)}")
        self.parts: dict[str, Sequence[int]] = {}  # named groups of pairs with a validation loss of their own
        self.files: list[tuple[Path, Path]] | None = None  # x and y of each pair where they come from image files
        self.crop: tuple[int, int] | None = None  # of the files, before `size`; None is the largest of its aspect
        self._pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """x and y, (3, H, W) in [0, 1]."""
        x, y = self.batch([i])
        return x[0], y[0]

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Name and digest of every pair."""
        return list(zip(self.names, self.digests, strict=True))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.images.shape[1:3]

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """x and y of some pairs, (B, 3, H, W) each in [0, 1], on the device of `to`."""
        x, y = self.pixels(indices).permute(1, 0, 4, 2, 3).float() / 255
        return x, y

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """x and y of some pairs as stored, uint8 (B, 2, H, W, 3), on the device of `to`."""
        chosen = self.index[list(indices)]
        if self._pixels is not None:
            return self._pixels[torch.from_numpy(chosen).to(self._pixels.device, non_blocking=True)]
        return torch.from_numpy(self.images[chosen])

    def with_ground_truth(self, indices: Sequence[int]) -> list[int]:
        """The positions in `indices` of pairs with ground-truth disparity: all or none."""
        return [] if self.disparity is None else list(range(len(indices)))

    def ground_truth(self, indices: Sequence[int]) -> Tensor:
        """Disparities of some pairs that have them, (B, H, W), as in `disparity`."""
        return torch.from_numpy(self.disparity[list(indices)]).float()

    def to(self, device: torch.device) -> "Pairs":
        """Copy the pixels to a GPU with enough memory, so that no batch waits for a transfer; otherwise no change."""
        if device.type == "cuda" and self.images.nbytes < torch.cuda.mem_get_info(device)[0] / 4:
            self._pixels = torch.from_numpy(np.array(self.images)).to(device)
        return self

    def in_epoch(self, epoch: int) -> "Pairs":
        """The pairs of an epoch of training: the same in every epoch."""
        return self

    def first(self, count: int) -> "Pairs":
        """The first `count` pairs."""
        return self.subset(range(min(count, len(self))))

    def subset(self, indices: Sequence[int]) -> "Pairs":
        """Some of the pairs."""
        chosen = list(indices)
        of_pairs = (self.names, self.scenes, self.cameras, self.digests)
        names, scenes, cameras, digests = ([of[i] for i in chosen] for of in of_pairs)
        disparity = None if self.disparity is None else self.disparity[chosen]
        some = Pairs(self.images, self.index[chosen], names, scenes, disparity, cameras, digests)
        some.files, some.crop = self.files and [self.files[i] for i in chosen], self.crop
        return some

    def camera(self, indices: Sequence[int]) -> list[str | None]:
        """The camera of x of some pairs, see `cameras`."""
        return [self.cameras[i] for i in indices]

    def same_scene(self, i: int, j: int) -> bool:
        """Whether pairs i and j show one scene or share an image."""
        return self.scenes[i] == self.scenes[j] or bool(set(self.index[i]) & set(self.index[j]))


def _check_arrays(images: np.ndarray, index: np.ndarray, disparity: np.ndarray | None) -> None:
    """Raise `NDICError` unless these are such arrays as `Pairs` has."""
    is_images = _is_array(images, "u") and images.itemsize == 1 and images.ndim == 4 and images.shape[3] == 3
    if not is_images:
        remedy = ": floats in [0, 1] times 255, rounded and as uint8" if _is_array(images, "f") else ""
        raise NDICError(f"images must be a uint8 array (count, H, W, 3); got {_in_words(images)}{remedy}")
    if not _is_array(index, "iu") or index.ndim != 2 or index.shape[1] != 2:
        raise NDICError(f"index must be an array (n, 2) of integers; got {_in_words(index)}")
    if index.size and not 0 <= index.min() <= index.max() < len(images):
        found = f"{index.min()} to {index.max()}"
        raise NDICError(f"index must name images by numbers from 0 to {len(images) - 1}; it has {found}")
    shape = (len(index), *images.shape[1:3])
    if disparity is not None and (not _is_array(disparity, "f") or disparity.shape != shape):
        raise NDICError(f"disparity must be a float array {shape}; got {_in_words(disparity)}")


def _is_array(given: object, kinds: str) -> bool:
    return isinstance(given, np.ndarray) and given.dtype.kind in kinds


def _in_words(given: object) -> str:
    return f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__


def load_pairs(
    paths: Sequence[tuple[str | Path, str | Path]],
    size: tuple[int, int],
    crop: tuple[int, int] | None = None,
    scene_of: Callable[[Path], str] = str,
    progress: bool = True,
) -> Pairs:
    """Pairs from image files: centre crop, resize, cached on disk.

    Args:
        paths: x and y of each pair; in strings `~` and environment variables are replaced.
        size: height and width to resize to.
        crop: height and width of the centre crop that is resized; None takes the largest one of the aspect of `size`.
        scene_of: the scene of an image file; the file itself where left out.
        progress: show a bar on stderr while images are decoded for the first time.

    Returns:
        The pairs, in the order of `paths`; their cameras by the names of the files' folders.

    Raises:
        NDICError: images are missing, damaged, grey, of more than 8 bits per channel, smaller than the crop, or of
            another size than their partner: all of them are counted, the first ten are named. Or there are no pairs,
            or `size` or `crop` is no height and width.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (200, 100), "red").save(folder / "red.png")
        >>> pairs = load_pairs([(folder / "red.png", folder / "red.png")], size=(32, 64))
        >>> pairs[0][0][:, 5, 5]
        tensor([1., 0., 0.])
    """
    size, crop = height_and_width(size, "size"), crop if crop is None else height_and_width(crop, "crop")
    paths = [_x_and_y(pair) for pair in paths]
    if not paths:
        raise NDICError("there are no pairs to load: give the paths of x and y of one pair at least")
    files = list(dict.fromkeys(path for pair in paths for path in pair))
    _refuse(f"{file}: {reason}" for file in files if (reason := _unreadable(file)))

    def prepared() -> Iterable[tuple[np.ndarray]]:
        with ThreadPoolExecutor() as pool:
            sizes = dict(zip(files, pool.map(lambda file: _or_reason(stored_size, file, crop), files), strict=True))
            problems = [problem for problem in sizes.values() if isinstance(problem, str)]
            for x, y in map(sorted, paths):  # once where both orders are given
                if isinstance(sizes[x], tuple) and isinstance(sizes[y], tuple) and sizes[x] != sizes[y]:
                    (h_x, w_x), (h_y, w_y) = sizes[x], sizes[y]
                    problems.append(f"{x} and {y}: {h_x} × {w_x} and {h_y} × {w_y}, a pair must have one size")
            _refuse(problems)
            for image in pool.map(lambda file: _or_reason(_prepare, file, size, crop), files):
                if isinstance(image, str):
                    problems.append(image)
                elif not problems:
                    yield (image,)
            _refuse(problems)

    of_files = content_digests(files)
    depends_on = ["pairs 3", size, crop, int(RESAMPLING), of_files]
    layout = ((len(files), *size, 3), "uint8")
    (images,) = cached_arrays(depends_on, [layout], prepared, "decode and resize", progress)
    number = {file: i for i, file in enumerate(files)}
    index = np.array([[number[x], number[y]] for x, y in paths]).reshape(-1, 2)
    names = _names(files)
    label = [f"{names[x]} with {names[y]}" for x, y in paths]
    scenes, cameras = [scene_of(x) for x, _ in paths], [_camera(x) for x, _ in paths]
    digests = [short_digest([of_files[x], of_files[y]]) for x, y in index]
    pairs = Pairs(images, index, label, scenes, cameras=cameras, digests=digests)
    pairs.files, pairs.crop = list(paths), crop
    return pairs


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """Names of image files for tables: relative to the folder that contains all of them, with slashes."""
    try:
        root = os.path.commonpath([file.parent.absolute() for file in files])
    except ValueError:  # on two drives of Windows
        return {file: file.absolute().as_posix() for file in files}
    return {file: Path(os.path.relpath(file, root)).as_posix() for file in files}


def stored_size(file: Path, crop: tuple[int, int] | None = None) -> tuple[int, int]:
    """Height and width of an image file, from its header; `NDICError` if `load_pairs` refuses it."""
    height, width = image_size(file, modes=COLOUR_MODES, max_pixels=MAX_STORED_PIXELS)
    if crop and (height < crop[0] or width < crop[1]):
        raise NDICError(f"{file}: {height} × {width}, smaller than the crop of {crop[0]} × {crop[1]}")
    return height, width


def _prepare(file: Path, size: tuple[int, int], crop: tuple[int, int] | None) -> np.ndarray:
    """An image file, cropped and resized, uint8 (H, W, 3)."""
    image = decode_image(file, modes=COLOUR_MODES, max_pixels=MAX_STORED_PIXELS)
    scale = min(image.height / size[0], image.width / size[1])  # of the largest crop
    height, width = crop or (max(round(side * scale), 1) for side in size)  # narrow images keep a row and a column
    # Whole pixels, rounded as torchvision's centre crop does.
    top, left = round((image.height - height) / 2), round((image.width - width) / 2)
    box = (left, top, left + width, top + height)
    with quiet():  # Pillow warns of many pixels
        image = image.crop(box)
    return np.asarray(image.resize(size[::-1], RESAMPLING))


def _x_and_y(pair: Sequence[str | Path]) -> tuple[Path, Path]:
    """The two paths of a pair; those that were found in a folder are kept as they are."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise NDICError(f"a pair is two paths, (x, y), not {brief(pair)}")
    x, y = (path if isinstance(path, Path) else expand_path(path) for path in pair)
    return x, y


def _unreadable(file: Path) -> str | None:
    """Why a file cannot be read, if so."""
    if not file.is_file():
        if file.exists():
            return "a folder" if file.is_dir() else "not a regular file"
        return "a broken link" if file.is_symlink() else "no such file"
    return None if os.access(file, os.R_OK) else "no permission to read it"


def _or_reason(read: Callable, *arguments):
    """What a function returns, or the message of its error: all faulty files are reported together."""
    try:
        return read(*arguments)
    except NDICError as error:
        return str(error)


def _refuse(problems: Iterable[str]) -> None:
    if problems := list(dict.fromkeys(problems)):
        count = f"{len(problems)} {'image' if len(problems) == 1 else 'images'}"
        raise NDICError(f"{count} cannot be used: {listing(problems, '; ')}")


def _camera(file: Path) -> str | None:
    """The camera by the innermost folder that names one."""
    for part in reversed(file.parts[:-1]):
        if part in LEFT or part in RIGHT:
            return "left" if part in LEFT else "right"
    return None
