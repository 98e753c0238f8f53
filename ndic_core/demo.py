"""Demonstration: a real stereo pair through every model, from image to bytes to image, with a table and a figure."""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from ndic_core.catalogue import MODELS
from ndic_core.checkpoints.checkpoint import load_pretrained
from ndic_core.errors import NDICError
from ndic_core.evaluation.roundtrip import roundtrip
from ndic_core.evaluation.tables import MEASURED, format_table
from ndic_core.io import write_whole
from ndic_core.plots.panels import MODEL_STYLE, contact_sheet

SIZE = (128, 256)


def embedded_pair(width: int = SIZE[1]) -> tuple[torch.Tensor, torch.Tensor]:
    """Left and right view of a motorcycle, (3, width / 2, width) in [0, 1], from scikit-image; no download.

    Middlebury Stereo 2014 (Scharstein et al., GCPR 2014), reduced by scikit-image to 500 × 741, here cropped to 2:1
    and resized. The disparities grow with the width: up to about 22 pixels at 256.

    Args:
        width: of the images, in pixels: even, 2 or more; the height is half of it.

    Raises:
        NDICError: another width, or scikit-image is not installed.

    Example:
        >>> x, y = embedded_pair(128)
        >>> x.shape, y.shape
        (torch.Size([3, 64, 128]), torch.Size([3, 64, 128]))
    """
    if width < 2 or width % 2:
        raise NDICError(f"the photographs are twice as wide as high: choose an even width of 2 or more, not {width}")
    try:
        from skimage.data import stereo_motorcycle
    except ImportError as error:
        raise NDICError("the demonstration's photographs come with scikit-image: pip install scikit-image") from error
    left, right, _ = stereo_motorcycle()
    stored_height, stored_width = left.shape[:2]
    top = (stored_height - stored_width // 2) // 2
    box = (0, top, stored_width, top + stored_width // 2)
    size = (width, width // 2)  # Pillow's order
    views = [np.asarray(Image.fromarray(view).resize(size, Image.Resampling.LANCZOS, box)) for view in (left, right)]
    x, y = (torch.from_numpy(view.copy()).permute(2, 0, 1).float() / 255 for view in views)
    return x, y


def measure(name: str, x: torch.Tensor, y: torch.Tensor) -> dict:
    """The round trip of one pair through the shipped weights of a model.

    Returns:
        The row of `roundtrip`, and exact: whether the decoded image equals the sender's own reconstruction bit for bit.
    """
    model = load_pretrained(name)
    coding = model.coding(model.level(None))
    with torch.inference_mode():
        h_x, _ = model.prior_x(model.analyse(x[None], coding.gain), coding.gain)
        own = model.reconstruct(h_x, y[None], coding.inverse)[0].clamp(0, 1)
    roundtrip(model, x, y)  # the first run allocates buffers and threads
    row = roundtrip(model, x, y)
    return row | dict(exact=torch.equal(row["x_hat"], own))


def run(out: Path) -> None:
    """Print the table of all models and write the figure to `out`.

    Raises:
        NDICError: a file did not decode to the sender's own reconstruction, or `out` cannot be written.
    """
    x, y = embedded_pair()
    rows = [measure(name, x, y) for name in tqdm(MODELS, "models", leave=False, disable=None)]
    print("bytes and measured bpp of the whole file, estimated bpp from likelihoods; each model at its middle rate")
    print("exact: decoded bit for bit as the sender computed it")
    shown = [row | dict(exact="yes" if row["exact"] else "NO") for row in rows]
    print(format_table(shown, ("model", *MEASURED, "exact")))

    titles = ["x, the image sent", "y, the side image at the receiver"]
    titles += [f"{row['model']}: {row['bytes']} bytes, MS-SSIM {row['ms_ssim_db']:.1f} dB" for row in rows]
    colours = ["black", "black", *(MODEL_STYLE[row["model"]][0] for row in rows)]
    buffer = BytesIO()
    figure = contact_sheet([x, y, *(row["x_hat"] for row in rows)], titles, colours=colours)
    figure.savefig(buffer, format="png", dpi=150)
    write_whole(out, buffer.getvalue())
    print(f"The images are in {out}.")
    if wrong := [row["model"] for row in rows if not row["exact"]]:
        raise NDICError(f"decoded images differ from the sender's reconstruction: {', '.join(wrong)}")
