"""Published rate–distortion points and lambdas of NDIC and its successors, for comparison.

KITTI Stereo test split, images of 128 × 256 pixels. Rates are *estimated* (no files were written), in bits per pixel
of x alone. Source: the plot data in the repository `acnagle/neural-dsc`, file `benchmark/ndic/ndic_results.py`,
rounded to four and two decimals. There the NDIC models are named after their transforms (balle17, balle18).
"""

# Bits per pixel and dB of each model. MS-SSIM in dB is averaged over images in dB.
_CURVES = {
    "ms_ssim_db": {  # trained for MS-SSIM
        "cross_attention": (
            (0.0228, 0.0443, 0.0728, 0.1267, 0.2210, 0.2851, 0.3492),
            (11.35, 12.18, 12.86, 14.31, 15.54, 16.21, 17.01),
        ),
        "ndic_bls17": (
            (0.0150, 0.0491, 0.0930, 0.1233, 0.1571, 0.1866, 0.2583, 0.3147),
            (9.90, 11.67, 12.36, 13.08, 13.70, 14.24, 15.07, 15.80),
        ),
        "ndic_bmshj18": (
            (
                0.0152,
                0.0312,
                0.0664,
                0.0979,
                0.1202,
                0.1556,
                0.1861,
                0.2258,
                0.2415,
                0.2437,
                0.2875,
                0.3344,
                0.3611,
                0.4011,
            ),
            (9.92, 10.74, 11.34, 11.82, 12.35, 12.88, 13.77, 14.36, 14.94, 15.13, 15.89, 16.47, 16.70, 16.81),
        ),
        "DSIN": ((0.0187, 0.0409, 0.1109, 0.2054, 0.3591), (9.09, 10.09, 10.93, 11.63, 12.27)),
    },
    "psnr": {  # trained for the mean squared error
        "ndic_bls17": ((0.0240, 0.0767, 0.1478, 0.2173, 0.2927, 0.3908), (21.30, 22.89, 24.56, 25.77, 26.64, 27.65)),
    },
}
POINTS = {
    metric: {model: tuple(zip(*curve, strict=True)) for model, curve in curves.items()}
    for metric, curves in _CURVES.items()
}

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
