"""Pack what `gpu_plan.py` needs on a machine with a GPU but without a network: wheels, images and weights.

    python benchmarks/gpu_pack.py build/gpu --data data/kitti_train --native data/kitti_train_native --outputs outputs

The pack and the project, without shipped weights and notebook outputs, fit into 60 MiB. On the other machine:

    python3 -m pip install --no-index --no-deps --target build/site build/gpu/wheels/*.whl
    PYTHONPATH=.:build/site python3 benchmarks/gpu_plan.py --minutes 8 --pack build/gpu --out build/home

`wheels` holds the packages that a machine with the packages of `MACHINE` lacks. `data` holds the pairs to train on,
compressed again. `outputs` holds the progress of `pretrain.py`: of an unfinished training the state, without what some
dozen steps restore, and the weights that other trainings start from.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from pretrain import complete
from runs import option_parser

from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ndic_core.errors import NDICError
from ndic_core.files import expand_path, make_folder
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import MAY_BE_MISSING, MOMENTS, move_state

PROJECT = Path(__file__).parents[1]
PYTHON, PLATFORM = "3.12", "x86_64-manylinux_2_28"  # of the machine; the platform as uv names it
MACHINE = (
    *("torch==2.11.*", "torchvision==0.26.*", "numpy==2.5.*", "scipy", "pandas", "matplotlib", "pillow", "tqdm"),
    *("rich", "typer", "safetensors", "tensorboard", "einops", "lazy-loader", "filelock", "requests", "pytest"),
    "hypothesis",
)
ALSO_LACKING = "pydantic"  # although the newest typer requires it
MIB = 2**20
LIMIT = 60 * MIB  # of pack and project
QUALITY = 82  # of WebP: 36 dB, half the size of the originals
GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35)  # minor versions of manylinux wheels


def lacking() -> list[str]:
    """Packages that the machine lacks, as NAME==VERSION, with the versions of requirements.lock where it has one."""

    def resolved(*arguments: str, text: str = "") -> dict[str, str]:
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python-version", PYTHON, "--python-platform", PLATFORM, *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=PROJECT)
        if done.returncode:
            raise SystemExit(f"the packages cannot be resolved: {done.stderr.strip()}")
        return dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))

    there = resolved("-", text="\n".join(MACHINE)).keys() - resolved("-", text=ALSO_LACKING).keys()
    locked = (PROJECT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = [line for line in locked if re.split("[=;]", line)[0].strip() not in there]
    needed = resolved("pyproject.toml", "--constraint", "-", text="\n".join([*MACHINE, *locked]))
    return [f"{name}=={version}" for name, version in needed.items() if name not in there]


def download(packages: Iterable[str], folder: Path) -> None:
    """Wheels of `packages` for x86-64 Linux."""
    tags = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["--platform=manylinux2014_x86_64"]
    abis = [f"--abi=cp{PYTHON.replace('.', '')}", "--abi=abi3", "--abi=none"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", *abis, *tags]
    done = subprocess.run([*command, "--dest", folder, *packages], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the wheels cannot be downloaded: {done.stderr.strip()}")


def pack_images(source: Path, target: Path) -> None:
    """Copy the pairs of a folder, each image compressed with WebP."""
    for side in ("image_2", "image_3"):
        make_folder(target / side)
    if (source / "index.tsv").exists():
        shutil.copyfile(source / "index.tsv", target / "index.tsv")
    files = [file for side in ("image_2", "image_3") for file in sorted((source / side).iterdir())]

    def compress(file: Path) -> None:
        with Image.open(file) as image:
            image.convert("RGB").save(target / file.parent.name / f"{file.stem}.webp", quality=QUALITY, method=4)

    with ThreadPoolExecutor() as pool:
        list(pool.map(compress, files))


def pack_weights(stages: Iterable[Stage], folder: Path) -> None:
    """Pack what unfinished trainings resume from: their states and the weights of the stages that they start from."""
    make_folder(folder)
    starts = {str(stage.start) for stage in stages if not complete(stage)}
    for stage in stages:
        files, done = Outputs(stage.config), complete(stage)
        if not files.state.exists():
            continue
        # The state of a complete training only records that it is complete.
        move_state(files.state, folder / files.state.name, stage.config, MAY_BE_MISSING if done else MOMENTS)
        if (not done or str(stage) in starts) and files.weights.exists():
            save_checkpoint(load_checkpoint(files.weights), folder / files.weights.name, half=True)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def project_size() -> int:
    """Bytes of the project's files without shipped weights and notebook outputs."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    size = 0
    for file in (PROJECT / name for name in listed.split("\0") if name):
        if file.suffix == ".ipynb":
            notebook = json.loads(file.read_text(encoding="utf-8"))
            size += len(json.dumps([cell["source"] for cell in notebook["cells"]]))
        elif file.suffix != ".safetensors" and file.exists():
            size += file.stat().st_size
    return size


def main(arguments: list[str] | None = None) -> None:
    parser = option_parser(__doc__, threads=None)
    parser.add_argument("folder", type=expand_path, help="for the pack; replaces an earlier one")
    parser.add_argument(
        "--data", type=expand_path, default=Path("data/kitti_train"), help="as the recipe's dataset_path"
    )
    parser.add_argument(
        "--native", type=expand_path, default=Path("data/kitti_train_native"), help="as its native_path"
    )
    parser.add_argument("--outputs", type=expand_path, default=Path("outputs"), help="--out of pretrain.py")
    parser.add_argument("--recipe", default="pretrain", help="a preset, or a YAML file")
    parser.add_argument("--no-wheels", action="store_true", help="keep the wheels of an earlier pack")
    args = parser.parse_args(arguments)
    parts = ["data", "outputs"] if args.no_wheels else ["data", "outputs", "wheels"]
    for part in parts:
        shutil.rmtree(args.folder / part, ignore_errors=True)
    make_folder(args.folder / "wheels")
    try:
        stages = list(load_recipe(args.recipe, save_output_path=str(args.outputs)).values())
        if "wheels" in parts:
            download(lacking(), args.folder / "wheels")
        for name, source in (("real", args.data), ("native", args.native)):
            pack_images(source, args.folder / "data" / name)
        pack_weights(stages, args.folder / "outputs" / "weight")
    except (NDICError, OSError) as error:
        raise SystemExit(f"Error: {error}") from None
    sizes = {part: size_of(args.folder / part) for part in ("wheels", "data", "outputs")}
    sizes["the project"] = project_size()
    print(", ".join(f"{part} {size / MIB:.1f} MiB" for part, size in sizes.items()))
    if sum(sizes.values()) > LIMIT:
        raise SystemExit(f"Error: together more than {LIMIT // MIB} MiB: lower QUALITY, which saves most")


if __name__ == "__main__":
    main()
