"""Small archives for the tests of `data_prep`."""

import zipfile
from pathlib import Path


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def kitti_images(
    cameras=("image_2", "image_3"), above="", training=(0, 1), testing=(0, 4), frames=(9, 10, 11, 12)
) -> dict[str, bytes]:
    """The content of a small KITTI archive: each image contains its name."""
    return {
        name: name.encode() * 20
        for part, scenes in (("training", training), ("testing", testing))
        for camera in cameras
        for scene in scenes
        for frame in frames
        for name in [f"{above}{part}/{camera}/{scene:06d}_{frame:02d}.png"]
    }


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
