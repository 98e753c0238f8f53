"""Log lines and progress bar of a training."""

from collections.abc import Callable

from torch import Tensor
from tqdm.auto import tqdm

from ndic_core.training.devices import bf16_is_slow
from ndic_core.training.setup import Setup
from ndic_core.training.validation import image_quality


def report_setup(setup: Setup, name: str, report: Callable[[str], None]) -> None:
    """Log what is trained, on what."""
    device, parameters = setup.fabric.device, sum(p.numel() for p in setup.model.parameters())
    if setup.bf16 and bf16_is_slow(device):
        report("precision: this CPU has no bf16 arithmetic, float32 is several times faster here")
    report(
        f"{name}: {setup.config.model} with {parameters / 1e6:.2f} M parameters, {len(setup.train_pairs)} pairs to "
        f"train and {len(setup.val_pairs)} to validate, {setup.fabric.world_size} × {device.type} in "
        f"{'bf16' if setup.bf16 else 'float32'}"
    )


def show_step(bar: tqdm, x: Tensor, out: dict, terms: dict[str, Tensor]) -> None:
    """Show loss, rate and quality of the last batch beside the progress bar."""
    if not bar.disable:
        quality = image_quality(x[:2], out["x_hat"][:2])  # MS-SSIM of all images would slow training down
        values = (terms["loss"], terms["bpp"], *(value.mean() for value in quality))
        bar.set_postfix_str("loss {:.3f}, {:.3f} bpp, {:.1f} dB, MS-SSIM {:.3f}".format(*(v.item() for v in values)))


def log_line(row: dict) -> str:
    """One validation as a line of text."""
    ms_ssim = "" if row["ms_ssim"] is None else f", MS-SSIM {row['ms_ssim']:.4f}"
    costs = [f"{name.removeprefix('cost_')} {value:.4f}" for name, value in row.items() if name.startswith("cost_")]
    return (
        f"epoch {row['epoch']}: loss {row['loss']:.4f}; validation: loss {row['val_loss']:.4f}, {row['bpp']:.4f} bpp "
        f"(estimated), PSNR {row['psnr']:.2f} dB{ms_ssim}{', cost: ' * bool(costs)}{', '.join(costs)}; "
        f"lr {row['lr']:.1e}"
    )
