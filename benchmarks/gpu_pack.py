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
from runs import option_parser

from ndic_core.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from ndic_core.errors import NDICError
from ndic_core.io import make_folder
from ndic_core.training.output_paths import Outputs
from ndic_core.training.recipe import Stage, load_recipe
from ndic_core.training.state import MAY_BE_MISSING, MOMENTS, move_state, read_state

PROJECT = Path(__file__).parents[1]
MACHINE = (
    *("torch==2.11.*", "torchvision==0.26.*", "numpy==2.5.*", "scipy", "pandas", "matplotlib", "pillow", "tqdm"),
    *("rich", "typer", "safetensors", "tensorboard", "einops", "lazy-loader", "filelock", "requests", "pytest"),
    "hypothesis",
)
ALSO_LACKING = "pydantic"  # although the newest typer requires it
MIB = 2**20
LIMIT, IMAGES = 60 * MIB, 30 * 10**6  # bytes of pack and project, and of the images alone
QUALITY = 82  # of WebP: 36 dB, half the size of the originals
GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35)  # minor versions of manylinux wheels


def lacking(python: str, platform: str) -> list[str]:
    """Packages that the machine lacks, as NAME==VERSION, with the versions of requirements.lock where it has one."""

    def resolved(*arguments: str, text: str = "") -> dict[str, str]:
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        command += ["--python-version", python, "--python-platform", platform, *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=PROJECT)
        if done.returncode:
            raise SystemExit(f"the packages cannot be resolved: {done.stderr.strip()}")
        return dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))

    there = resolved("-", text="\n".join(MACHINE)).keys() - resolved("-", text=ALSO_LACKING).keys()
    locked = (PROJECT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = [line for line in locked if re.split("[=;]", line)[0].strip() not in there]
    needed = resolved("pyproject.toml", "--constraint", "-", text="\n".join([*MACHINE, *locked]))
    return [f"{name}=={version}" for name, version in needed.items() if name not in there]


def download(packages: Iterable[str], folder: Path, python: str) -> None:
    """Wheels of `packages` for x86-64 Linux."""
    tags = [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["--platform=manylinux2014_x86_64"]
    abis = [f"--abi=cp{python.replace('.', '')}", "--abi=abi3", "--abi=none"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *abis, *tags]
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


def pack_weights(stages: Iterable[Stage], outputs: Path, target: Path, room: int) -> list[str]:
    """Pack what unfinished trainings resume from: their states and the weights of the stages that they start from.

    Args:
        stages: of the recipe, in its order.
        outputs: outputs folder of `pretrain.py`.
        target: outputs folder of the pack.
        room: available bytes.

    Returns:
        The trainings that did not fit.
    """
    make_folder(target / "weight")
    files = {
        str(stage): Outputs(stage.config.model_copy(update={"save_output_path": str(outputs)})) for stage in stages
    }
    complete = {
        str(stage): read_state(files[str(stage)].state).epoch >= stage.config.epochs
        for stage in stages
        if files[str(stage)].state.exists()
    }
    starts = {str(stage.start) for stage in stages if not complete.get(str(stage))}
    left_out = []
    for name, stage in ((str(stage), stage) for stage in stages if str(stage) in complete):
        state, weights = (target / "weight" / file.name for file in (files[name].state, files[name].weights))
        # The state of a complete training only records that it is complete.
        move_state(files[name].state, state, stage.config, MAY_BE_MISSING if complete[name] else MOMENTS)
        if (name in starts or not complete[name]) and files[name].weights.exists():
            save_checkpoint(load_checkpoint(files[name].weights), weights, half=True)
        size = sum(file.stat().st_size for file in (state, weights) if file.exists())
        if size > room:
            left_out.append(name)
            for file in (state, weights):
                file.unlink(missing_ok=True)
        else:
            room -= size
    return left_out


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
    parser.add_argument("folder", type=Path, help="for the pack; replaces an earlier one")
    parser.add_argument("--data", type=Path, default=Path("data/kitti_train"), help="as the recipe's dataset_path")
    parser.add_argument("--native", type=Path, default=Path("data/kitti_train_native"), help="as its native_path")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="--out of pretrain.py")
    parser.add_argument("--recipe", default="pretrain", help="a preset, or a YAML file")
    parser.add_argument("--python", default="3.12", help="version on the machine")
    parser.add_argument("--platform", default="x86_64-manylinux_2_28", help="of the machine, as uv names it")
    parser.add_argument("--no-wheels", action="store_true", help="keep the wheels of an earlier pack")
    args = parser.parse_args(arguments)
    parts = ["data", "outputs"] if args.no_wheels else ["data", "outputs", "wheels"]
    for part in parts:
        shutil.rmtree(args.folder / part, ignore_errors=True)
    make_folder(args.folder / "wheels")
    try:
        stages = list(load_recipe(args.recipe).values())
        if "wheels" in parts:
            download(lacking(args.python, args.platform), args.folder / "wheels", args.python)
        for name, source in (("real", args.data), ("native", args.native)):
            pack_images(source, args.folder / "data" / name)
        images = size_of(args.folder / "data")
        if images > IMAGES:
            raise NDICError(f"the images take {images / 1e6:.1f} MB, more than {IMAGES / 1e6:.0f}: lower QUALITY")
        project = project_size()
        room = LIMIT - project - size_of(args.folder / "wheels") - images
        left_out = pack_weights(stages, args.outputs, args.folder / "outputs", room)
    except (NDICError, OSError) as error:
        raise SystemExit(f"Error: {error}") from None
    (args.folder / "pack.json").write_text(json.dumps({"left_out": left_out}), encoding="utf-8")
    sizes = {part: size_of(args.folder / part) for part in ("wheels", "data", "outputs")} | {"the project": project}
    print(", ".join(f"{part} {size / MIB:.1f} MiB" for part, size in sizes.items()))
    print(f"{sum(sizes.values()) / MIB:.1f} of {LIMIT // MIB} MiB; no room for: {', '.join(left_out) or 'none'}")


if __name__ == "__main__":
    main()
