"""Demonstration: a real stereo pair through every model, from image to bytes to image, with a table and a figure."""

from io import BytesIO
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ndic_core.catalogue import MODELS
from ndic_core.checkpoints.checkpoint import load_pretrained
from ndic_core.data.photographs import embedded_pair
from ndic_core.errors import NDICError
from ndic_core.evaluation.roundtrip import roundtrip
from ndic_core.evaluation.tables import MEASURED, format_table
from ndic_core.files import write_whole
from ndic_core.plots.panels import contact_sheet
from ndic_core.plots.style import MODEL_STYLE


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
