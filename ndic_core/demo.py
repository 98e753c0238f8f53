"""A real photograph through every model: image → bytes → image, a table and a picture."""

import time
from io import BytesIO
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table
from tqdm.auto import tqdm

from ndic_core.catalogue import MODELS
from ndic_core.checkpoints.checkpoint import load_pretrained
from ndic_core.data.photographs import embedded_pair
from ndic_core.errors import NDICError
from ndic_core.io import write_whole
from ndic_core.metrics import bits, ms_ssim, ms_ssim_db, psnr
from ndic_core.models.coding.compress import decode, encode
from ndic_core.plots.panels import contact_sheet
from ndic_core.plots.style import MODEL_STYLE


def measure(name: str, x: torch.Tensor, y: torch.Tensor) -> dict:
    """One model's way with one pair: what it cost, what came out, whether it came out exactly.

    Returns:
        bytes, bpp (measured), estimate (bpp by likelihoods), psnr (dB), ms_ssim_db, seconds to encode and to decode,
        exact (whether the decoded picture is the sender's own reconstruction, bit for bit), x_hat.
    """
    model = load_pretrained(name)
    coding = model.coding(model.level(None))  # tables are made once; not part of the time a picture takes
    with torch.inference_mode():
        h_x, likelihoods = model.prior_x(model.analyse(x[None], coding.gain), coding.gain)
        own = model.reconstruct(h_x, y[None], coding.inverse)[0].clamp(0, 1)
    decode(model, encode(model, x), y)  # the first time pays for buffers and threads
    times = [time.perf_counter()]
    stream = encode(model, x)
    times.append(time.perf_counter())
    x_hat = decode(model, stream, y)
    times.append(time.perf_counter())
    pixels = x.shape[-2] * x.shape[-1]
    return dict(
        bytes=len(stream),
        bpp=8 * len(stream) / pixels,
        estimate=sum(bits(part).item() for part in likelihoods) / pixels,
        psnr=psnr(x[None], x_hat[None]).item(),
        ms_ssim_db=ms_ssim_db(ms_ssim(x[None], x_hat[None])).item(),
        encode=times[1] - times[0],
        decode=times[2] - times[1],
        exact=torch.equal(x_hat, own),
        x_hat=x_hat,
    )


def run(out: Path) -> None:
    """Print the table of all models and write the picture to `out`.

    Raises:
        NDICError: a file did not decode to the sender's own reconstruction, or `out` cannot be written.
    """
    x, y = embedded_pair()
    results = {name: measure(name, x, y) for name in tqdm(MODELS, "models", leave=False, disable=None)}
    print("bpp: of the whole file, measured in bytes; est.: by the likelihoods; PSNR and MS-SSIM in dB")
    print("exact: decoded bit for bit as computed; each model at the middle of its rates")
    columns = ("bytes", "bpp", "est.", "PSNR", "MS-SSIM", "enc. s", "dec. s", "exact")
    table = Table(Column("model", no_wrap=True), *columns)
    table.box, table.padding = None, (0, 1, 0, 0)
    for name, r in results.items():
        rates = str(r["bytes"]), f"{r['bpp']:.4f}", f"{r['estimate']:.4f}"
        numbers = f"{r['psnr']:.2f}", f"{r['ms_ssim_db']:.2f}", f"{r['encode']:.3f}", f"{r['decode']:.3f}"
        table.add_row(name, *rates, *numbers, "yes" if r["exact"] else "NO")
    Console().print(table)

    images = [x, y, *(r["x_hat"] for r in results.values())]
    titles = ["x, the picture sent", "y, the side image at the receiver"]
    titles += [f"{name}: {r['bytes']} bytes, MS-SSIM {r['ms_ssim_db']:.1f} dB" for name, r in results.items()]
    colours = ["black", "black", *(MODEL_STYLE[name][0] for name in results)]
    buffer = BytesIO()
    contact_sheet(images, titles, colours=colours).savefig(buffer, format="png", dpi=150)
    write_whole(out, buffer.getvalue())
    print(f"The pictures are in {out}.")
    wrong = [name for name, r in results.items() if not r["exact"]]
    if wrong:
        raise NDICError(f"decoded pictures differ from the sender's reconstruction: {', '.join(wrong)}")
