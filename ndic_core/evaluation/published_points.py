"""Published rate–distortion points and lambdas of NDIC and its successors, for comparison.

KITTI Stereo test split, images of 128 × 256 pixels. Rates are *estimated* (no files were written), in bits per pixel
of x alone. Source: the plot data in the repository `acnagle/neural-dsc`, file `benchmark/ndic/ndic_results.py`,
rounded to four and two decimals. There the NDIC models are named after their transforms (balle17, balle18).
"""

# (bits per pixel, dB). MS-SSIM in dB is averaged over images in dB; its models were trained for MS-SSIM.
_MS_SSIM_DB = {
    "cross_attention": (
        (0.0228, 11.35),
        (0.0443, 12.18),
        (0.0728, 12.86),
        (0.1267, 14.31),
        (0.2210, 15.54),
        (0.2851, 16.21),
        (0.3492, 17.01),
    ),
    "ndic_bls17": (
        (0.0150, 9.90),
        (0.0491, 11.67),
        (0.0930, 12.36),
        (0.1233, 13.08),
        (0.1571, 13.70),
        (0.1866, 14.24),
        (0.2583, 15.07),
        (0.3147, 15.80),
    ),
    "ndic_bmshj18": (
        (0.0152, 9.92),
        (0.0312, 10.74),
        (0.0664, 11.34),
        (0.0979, 11.82),
        (0.1202, 12.35),
        (0.1556, 12.88),
        (0.1861, 13.77),
        (0.2258, 14.36),
        (0.2415, 14.94),
        (0.2437, 15.13),
        (0.2875, 15.89),
        (0.3344, 16.47),
        (0.3611, 16.70),
        (0.4011, 16.81),
    ),
    "DSIN": ((0.0187, 9.09), (0.0409, 10.09), (0.1109, 10.93), (0.2054, 11.63), (0.3591, 12.27)),
}
# Trained for the mean squared error.
_PSNR = {
    "ndic_bls17": (
        (0.0240, 21.30),
        (0.0767, 22.89),
        (0.1478, 24.56),
        (0.2173, 25.77),
        (0.2927, 26.64),
        (0.3908, 27.65),
    ),
}
POINTS = {"ms_ssim_db": _MS_SSIM_DB, "psnr": _PSNR}

# The lambdas that the published curves were trained at, by `dataset_name`; for models trained for MS-SSIM.
LAMBDAS = {
    "KITTI_Stereo": (3e-5, 4.5e-5, 6e-5, 1.1e-4, 1.8e-4, 2.2e-4, 3e-4),
    "KITTI_General": (3e-5, 4.5e-5, 8e-5, 1.1e-4, 1.6e-4, 2.2e-4, 3.2e-4, 4.2e-4, 4.6e-4),
    "Cityscape": (4.5e-5, 6e-5, 1e-4, 1.6e-4, 2.2e-4, 3.2e-4, 4e-4, 4.4e-4, 5e-4, 6.2e-4),
}


def published_rows(metric: str) -> list[dict]:
    """The published points as rows with model, bpp (estimated) and the metric, "psnr" or "ms_ssim_db".

    Example:
        >>> published_rows("ms_ssim_db")[0]
        {'model': 'cross_attention', 'bpp': 0.0228, 'ms_ssim_db': 11.35}
    """
    return [{"model": model, "bpp": bpp, metric: db} for model, points in POINTS[metric].items() for bpp, db in points]
