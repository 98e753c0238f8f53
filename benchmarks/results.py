"""Rate–distortion performance of the shipped weights on real bytes: tables and figures of the documents.

Data: KITTI 2015 pairs that no training used, in both orders, every file decoded with the matching y, with a mismatched
y and with no y (grey); pairs of different moments of one drive (unsynchronised cameras, as in KITTI General); and the
generated street. Classical codecs are measured as whole files, and less the size of a grey image's file. Earlier
measurements are kept: `--models` measures some again.

    python benchmarks/results.py DATA                       # DATA holds kitti2015_test/ and kitti_sequence/,
                                                            # each with image_2/ and image_3/, original pixels
    python benchmarks/results.py DATA --models ndic_bls17   # only these again
    python benchmarks/results.py DATA --metric MSE          # the weights trained for MSE; classical codecs only once
    python benchmarks/pages.py                              # then: tables and model cards
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from readme import known, markdown
from runs import RESULTS, option_parser

from ndic_core.catalogue import CATALOGUE, METRICS, MODELS
from ndic_core.checkpoints.checkpoint import load_pretrained, stored_fingerprint
from ndic_core.compare import classical_curves
from ndic_core.data.folder import matched
from ndic_core.data.kitti import CROP
from ndic_core.data.pairs import Pairs, load_pairs
from ndic_core.data.street import Street
from ndic_core.data.street.pairs import load_street
from ndic_core.evaluation import classical_codecs as classical
from ndic_core.evaluation.bd_rate import BDRateError, bd_rate
from ndic_core.evaluation.evaluate import SIDE_INFO, curve
from ndic_core.evaluation.published_points import POINTS as PUBLISHED
from ndic_core.evaluation.tables import read_table, write_table
from ndic_core.files import expand_path, shipped_weights, write_whole
from ndic_core.plots.panels import rate_distortion

BENCHMARKS = Path(__file__).parent
SIZE = (128, 256)
KITTI, SEQUENCE, STREET = "KITTI 2015", "unsynchronised", "street"
POINTS = 7  # lambdas of each model
RATES = (0.07, 0.22)  # bpp, where qualities are compared
APART = (1, 2, 3)  # moments between x and y of an unsynchronised pair
ANCHOR = "bmshj18_factorized"  # the matched baseline without side information
COMPARED = ("parallax_attention", "cross_attention", ANCHOR)  # with the classical codecs
COMPARISONS = (  # model and anchor of the BD-rates between models
    ("ndic_bls17", ANCHOR),
    ("cross_attention", "ndic_bls17"),
    ("cross_attention", "bmshj18"),
    ("parallax_attention", "cross_attention"),
)
SUMMARY = ("WebP", "bmshj18", "ndic_bls17", "cross_attention", "parallax_attention")  # the rows of the README's table


@dataclass(frozen=True)
class Report:
    """How the weights trained for one metric are reported.

    Attributes:
        column: of the quality that they are trained for.
        words: for it.
        other: column and words of the other quality.
        table: the file's name.
        begin, end: marks around the tables in `benchmarks/README.md`.
    """

    column: str
    words: str
    other: tuple[str, str]
    table: str
    begin: str
    end: str


REPORTS = {
    "MS-SSIM": Report(
        "ms_ssim_db",
        "MS-SSIM",
        ("psnr", "PSNR"),
        "results.csv",
        "<!-- results: written by benchmarks/results.py -->",
        "<!-- end of results -->",
    ),
    "MSE": Report(
        "psnr",
        "PSNR",
        ("ms_ssim_db", "MS-SSIM"),
        "results_mse.csv",
        "<!-- results for MSE: written by benchmarks/results.py --metric MSE -->",
        "<!-- end of results for MSE -->",
    ),
}


def data_sets(root: Path, size: tuple[int, int] = SIZE) -> dict[str, Pairs]:
    """All that is measured on, by name."""
    test = matched(root / "kitti2015_test" / "image_2", root / "kitti2015_test" / "image_3")
    both = [order for left, right in test for order in ((left, right), (right, left))]
    moments = matched(root / "kitti_sequence" / "image_2", root / "kitti_sequence" / "image_3")
    later = [(moments[t], moments[t + gap]) for gap in APART for t in range(len(moments) - gap)]
    apart = [order for now, then in later for order in ((now[0], then[1]), (now[1], then[0]))]
    return {
        KITTI: load_pairs(both, size, CROP, scene_of=lambda picture: picture.stem),
        SEQUENCE: load_pairs(apart, size, CROP, scene_of=lambda picture: "one drive"),
        STREET: load_street(Street(size=size), "test", 32),
    }


def measured(name: str, metric: str, pairs: Pairs, side_info: Sequence[str]) -> list[dict]:
    """The points of a model, or of all classical codecs, with what a plain picture takes less."""
    if name != "classical":
        points = curve(load_pretrained(name, metric), pairs, POINTS, side_info=side_info)
        fingerprint = stored_fingerprint(shipped_weights(name, metric))
        made_by = {"fingerprint": fingerprint, "threads": torch.get_num_threads()}
        return [made_by | row for row in points]
    grey = torch.full((3, *SIZE), 0.5)
    rows = classical_curves(pairs)
    for row in rows:
        header = len(classical.encode(row["model"], grey, row["quality"]))
        row["bpp_less_header"] = row["bpp"] - 8 * header / (SIZE[0] * SIZE[1])
    return rows


def reported(folder: Path, metric: str) -> list[dict]:
    """What is compared: the models trained for a metric, and the classical codecs."""
    rows = read_table(folder / REPORTS[metric].table)
    first = folder / REPORTS[METRICS[0]].table
    if metric == METRICS[0] or not first.exists():
        return rows
    return rows + [row for row in read_table(first) if row["model"] in classical.CODECS]


def chosen(rows: list[dict], data: str, model: str, side_info: str = "matching_y") -> list[dict]:
    """One curve."""
    return [
        row
        for row in rows
        if (row["data"], row["model"]) == (data, model) and (row.get("side_info") or "matching_y") == side_info
    ]


def saving(rows: list[dict], data: str, model: str, anchor: str, column: str, rate: str = "bpp") -> str:
    """BD-rate of a model against another in the quality of `column`, or why there is none; `rate` is the anchor's."""
    anchor_points = [row | {"bpp": row[rate]} for row in chosen(rows, data, anchor)]
    points = chosen(rows, data, model)
    if not (anchor_points and points):
        return "–"
    try:
        return f"{bd_rate(anchor_points, points, column):+.1f} %"
    except BDRateError as error:
        return error.reason


def quality(points: list[dict], bpp: float, column: str) -> str:
    """The quality of `column` at a rate, on straight lines between the points; a dash outside them."""
    rates, db = zip(*sorted((row["bpp"], row[column]) for row in points), strict=True)
    return f"{np.interp(bpp, rates, db):.2f}" if rates[0] <= bpp <= rates[-1] else "–"


def tables(rows: list[dict], report: Report) -> str:
    """All tables of one report, in Markdown."""
    column, words = report.column, report.words
    other_column, other_words = report.other
    offered = []
    for name in (name for name in MODELS if chosen(rows, KITTI, name)):
        cells = [f"`{name}`", *_rates_and_qualities(chosen(rows, KITTI, name), column)]
        for kind in SIDE_INFO[1:]:
            other = chosen(rows, KITTI, name, kind)
            cells.append(" and ".join(quality(other, rate, column) for rate in RATES) if other else "")
        offered.append(cells)
    for name, points in PUBLISHED[column].items():
        points = [{"bpp": bpp, column: db} for bpp, db in points]
        cells = [f"{name}, published: KITTI Stereo, estimated rate", *_rates_and_qualities(points, column)]
        offered.append([*cells, "", ""])
    between = []
    for model, anchor in COMPARISONS:
        cells = [f"`{model}` against `{anchor}`", saving(rows, KITTI, model, anchor, column)]
        cells.append(saving(rows, KITTI, model, anchor, other_column))
        between.append(cells + [saving(rows, data, model, anchor, column) for data in (SEQUENCE, STREET)])
    classics = []
    for codec in classical.CODECS:
        for rate, what in (("bpp", "whole files"), ("bpp_less_header", "less a grey image's file")):
            cells = [saving(rows, KITTI, model, codec, column, rate) for model in COMPARED]
            classics.append([f"{codec}, {what}", *cells])
    head = [f"KITTI 2015, {words} in dB", "rates offered", *(f"at {rate} bpp" for rate in RATES)]
    bd_head = [f"BD-rate in {words}, negative: bits saved", "KITTI 2015", f"in {other_words}", SEQUENCE, STREET]
    classical_head = [f"KITTI 2015, BD-rate in {words} against", *(f"`{name}`" for name in COMPARED)]
    return "\n\n".join(
        [
            markdown([*head, "mismatched y", "no y"], offered),
            markdown(bd_head, between),
            markdown(classical_head, classics),
        ]
    )


def _rates_and_qualities(points: list[dict], column: str) -> list[str]:
    bpp = [row["bpp"] for row in points]
    return [f"{min(bpp):.3f} to {max(bpp):.3f}", *(quality(points, rate, column) for rate in RATES)]


def summary(folder: Path) -> str:
    """The README's table in Markdown: BD-rates against the matched baseline, and PSNR with and without y."""
    reports = {metric: reported(folder, metric) for metric in METRICS}
    lines = []
    for name in SUMMARY:
        cells = [f"`{name}`" if name in MODELS else f"{name}, whole files"]
        cells += [saving(reports[metric], KITTI, name, ANCHOR, REPORTS[metric].column) for metric in ("MSE", "MS-SSIM")]
        for kind in SIDE_INFO:
            points = chosen(reports["MSE"], KITTI, name, kind)
            cells.append(quality(points, RATES[-1], "psnr") if points else "")
        lines.append(cells)
    head = ["KITTI 2015, 128 × 256", "BD-rate, PSNR", "BD-rate, MS-SSIM", f"PSNR (dB) at {RATES[-1]} bpp"]
    return markdown([*head, "with mismatched y", "with no y"], lines)


def draw(rows: list[dict], metric: str, out: Path) -> None:
    """The figures."""
    kitti = [row for row in rows if row["data"] == KITTI]
    right = [row for row in kitti if (row.get("side_info") or "matching_y") == "matching_y"]
    # Beyond 0.6 bpp no model offers anything.
    right = [row for row in right if row["bpp"] < 0.6]
    sided = [row for row in kitti if row["model"] in CATALOGUE and CATALOGUE[row["model"]].side_info]
    title = f"KITTI 2015, 22 pairs in both orders, 128 × 256; trained for {metric}"
    published = f"{title}\n(hollow: published, on KITTI Stereo's test split)"
    column = REPORTS[metric].column
    figures = {column.removesuffix("_db"): rate_distortion(right, column, published=True, title=published)}
    if sided and metric == METRICS[0]:
        title = f"{title}\nDecoded with matching y, mismatched y and no y"
        figures["side_info"] = rate_distortion(sided, "ms_ssim_db", title=title)
    for name, figure in figures.items():
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        write_whole(out / f"{name}.png", buffer.getvalue())


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("data", type=expand_path, help="folder that holds kitti2015_test/ and kitti_sequence/")
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0], help="what the weights are trained for")
    parser.add_argument("--models", nargs="*", choices=[*MODELS, "classical"], help="all where left out")
    args = parser.parse_args()
    report, default = REPORTS[args.metric], args.metric == METRICS[0]
    names = [*MODELS, *["classical"] * default] if args.models is None else args.models
    if "classical" in names and not default:
        parser.error(
            f"--models classical: these codecs have no training metric; their rows are in {REPORTS[METRICS[0]].table}"
        )
    torch.set_num_threads(args.threads)
    table = RESULTS / report.table
    rows = known(table)
    for data, pairs in data_sets(args.data).items() if names else ():
        for name in names:
            kinds = SIDE_INFO if data == KITTI else SIDE_INFO[:1]
            new = [{"data": data, **row} for row in measured(name, args.metric, pairs, kinds)]
            again = {(row["data"], row["model"]) for row in new}
            rows = [row for row in rows if (row["data"], row["model"]) not in again] + new
            write_table(rows, table)
            print(f"{data}, {name}: {len(new)} points", flush=True)
    order = [*MODELS, *classical.CODECS]
    rows.sort(key=lambda row: ((KITTI, SEQUENCE, STREET).index(row["data"]), order.index(row["model"])))
    write_table(rows, table)
    rows = reported(RESULTS, args.metric)
    draw(rows, args.metric, RESULTS)
    print(tables(rows, report))


if __name__ == "__main__":
    main()
