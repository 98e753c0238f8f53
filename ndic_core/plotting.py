"""Data in, matplotlib Figure out; no widget and no file."""

from matplotlib.figure import Figure

# Okabe–Ito: one colour and one marker per model, everywhere.
MODEL_STYLE = {
    "bls17": ("#999999", "o"),
    "bmshj18_factorized": ("#000000", "s"),
    "bmshj18": ("#56B4E9", "D"),
    "ndic_bls17": ("#E69F00", "^"),
    "ndic_bmshj18": ("#009E73", "v"),
    "cross_attention": ("#D55E00", "P"),
}


def contact_sheet(images, titles, columns: int = 2, width: float = 9.0, colours=None) -> Figure:
    """Pictures in a grid, each under its title, shown pixel for pixel without interpolation.

    Args:
        images: tensors (3, H, W) in [0, 1], all of one size.
        titles: as many strings.
        columns: of the grid.
        width: of the figure, in inches.
        colours: of the titles; black where None.

    Returns:
        A figure that belongs to no window; save or show it.
    """
    rows = -(-len(images) // columns)
    height, image_width = images[0].shape[-2:]
    cell = width / columns
    figure = Figure(figsize=(width, rows * (cell * height / image_width + 0.45)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, title, colour in zip(axes, images, titles, colours or ["black"] * len(images), strict=False):
        axis.imshow(image.permute(1, 2, 0).cpu().numpy(), interpolation="none")
        axis.set_title(title, fontsize=9, color=colour)
    return figure
