"""Table and figure of `replication.py`, from its CSV.

python benchmarks/replication_report.py     # writes results/replication.png; pages.py writes the table
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from statistics import fmean

from matplotlib.figure import Figure
from readme import known, markdown, mean_cell
from replication import (
    ALIGNMENT_ONLY,
    ANCHOR,
    AS_PUBLISHED,
    COMBINED,
    CONTROLS,
    HELD_OUT,
    LINES,
    LONGER,
    MODULE,
    OURS,
    SHIPPED,
    STREET_HELD_OUT,
    STREETS,
    TABLE,
)
from results import KITTI, SEQUENCE
from runs import RESULTS

from ndic_core.evaluation.bd_rate import BDRateError, bd_rate
from ndic_core.files import write_whole
from ndic_core.plots.equal_training import seed_differences

TITLES = {
    MODULE: "Small size, one change of the published module each",
    COMBINED: "Small size, several changes at once",
    CONTROLS: "Small size, something else in the module's place",
    **{name: f"Small size, trained and measured on the {name}" for name in STREETS},
    LONGER: "Small size, four times the steps",
    SHIPPED: "Shipped size",
}
SHARES = {"after a third of them": 1 / 3, "two thirds": 2 / 3, "five sixths": 5 / 6, "all": 1}
OF_MODULE = (MODULE, COMBINED, CONTROLS)  # trained alike, and compared with one `ndic_bls17`


class Measured:
    """The rows of the table by group, line and seed.

    Args:
        rows: of the CSV.
        metric: of the BD-rates and losses, "psnr" or "ms_ssim_db".
    """

    def __init__(self, rows: Sequence[Mapping], metric: str = "psnr"):
        self.metric = metric
        self.rows: dict[tuple, list[Mapping]] = {}
        for row in rows:
            self.rows.setdefault((row["group"], row["line"], row["seed"]), []).append(row)

    def seeds(self, group: str, line: str) -> list[int]:
        return sorted(seed for *found, seed in self.rows if found == [group, line])

    def points(self, group: str, line: str, seed: int, data: str, side_info: str = "matching_y") -> list[Mapping]:
        """One curve, sorted by lambda."""
        rows = self.rows.get((group, line, seed), ())
        chosen = [row for row in rows if row["data"] == data and row["side_info"] == side_info]
        return sorted(chosen, key=lambda row: row["lmbda"])

    def savings(self, group: str, line: str, data: str) -> list[float]:
        """BD-rate against `ndic_bls17` of the same training, percent, for each seed."""
        anchor = MODULE if group in OF_MODULE else group
        curves = [
            (self.points(anchor, ANCHOR, seed, data), self.points(group, line, seed, data))
            for seed in self.seeds(group, line)
        ]
        return [bd_rate(*both, self.metric) for both in curves if all(both)]

    def losses(self, group: str, line: str, side_info: str) -> list[float]:
        """Quality with another side image less that with the matching one, dB, the mean over lambda, for each seed."""
        data = STREET_HELD_OUT if group in STREETS else HELD_OUT
        found = []
        for seed in self.seeds(group, line):
            pairs = zip(
                self.points(group, line, seed, data, side_info), self.points(group, line, seed, data), strict=False
            )
            if losses := [other[self.metric] - right[self.metric] for other, right in pairs]:
                found.append(fmean(losses))
        return found

    def course(self, group: str, line: str, seed: int) -> list[tuple[int, float]]:
        """Steps and validation cost during the training."""
        return [(row["steps"], row["cost"]) for row in self.rows.get((group, line, seed), ()) if row.get("cost")]


def table(rows: Sequence[Mapping]) -> str:
    """All groups in Markdown: means over the seeds and their standard deviation."""
    measured, parts = Measured(rows), []
    for group, title in TITLES.items():
        labels = [line.label for line in LINES if line.group == group and measured.seeds(group, line.label)]
        if labels:
            data = [STREET_HELD_OUT] if group in STREETS else [HELD_OUT, KITTI, SEQUENCE]
            parts.append(_group_table(measured, group, title, labels, data))
    return "\n\n".join([*parts, _course_table(measured)])


def _course_table(measured: Measured) -> str:
    """Mean validation cost after some shares of the steps: whether the curves have flattened."""
    lines = []
    for group, label in (
        (MODULE, ANCHOR),
        (MODULE, AS_PUBLISHED),
        (MODULE, OURS),
        (LONGER, ANCHOR),
        (LONGER, AS_PUBLISHED),
    ):
        courses = [dict(measured.course(group, label, seed)) for seed in measured.seeds(group, label)]
        if courses:
            steps = max(courses[0])
            costs = [fmean(course[round(share * steps)] for course in courses) for share in SHARES.values()]
            lines.append([label, f"{steps:,}", *(f"{cost:.4f}" for cost in costs)])
    return markdown(["Small size, validation cost", "steps", *SHARES], lines)


def table_of_group(rows: Sequence[Mapping], metric: str) -> str:
    """Rows of one group, measured on held-out pairs, in Markdown."""
    labels = list(dict.fromkeys(row["line"] for row in rows))
    return _group_table(Measured(rows, metric), rows[0]["group"], "", labels, [HELD_OUT])


def _group_table(measured: Measured, group: str, title: str, labels: Sequence[str], data: Sequence[str]) -> str:
    kinds = {"another scene's y, alignment only": ALIGNMENT_ONLY, "another scene's y": "mismatched_y"}
    lines = []
    for label in labels:
        cells = ["0" if label == ANCHOR else _saving(measured, group, label, name) for name in data]
        cells += [mean_cell(measured.losses(group, label, kind), "{:+.2f}", " dB") for kind in kinds.values()]
        lines.append([label, *cells, str(len(measured.seeds(group, label)))])
    return markdown([title, *(f"BD-rate, {name}" for name in data), *kinds, "seeds"], lines)


def _saving(measured: Measured, group: str, label: str, data: str) -> str:
    try:
        return mean_cell(measured.savings(group, label, data), "{:+.1f}", " %")
    except BDRateError as error:
        return f"none: {error.reason}"


def figure_of(measured: Measured) -> Figure:
    """BD-rates of the small size on held-out pairs, sorted by their means: a dot for each seed."""
    lines = [line for line in LINES if line.group in OF_MODULE and line.label != ANCHOR]
    savings = {line.label.replace("`", ""): measured.savings(line.group, line.label, HELD_OUT) for line in lines}
    savings = sorted(((name, of) for name, of in savings.items() if of), key=lambda item: fmean(item[1]))
    return seed_differences({"held-out KITTI pairs, small size": dict(savings)}, ANCHOR.replace("`", ""))


def main() -> None:
    measured = Measured(known(TABLE))
    buffer = BytesIO()
    figure_of(measured).savefig(buffer, format="png", dpi=110)
    write_whole(RESULTS / "replication.png", buffer.getvalue())
    for name, part in measured.rows.items():
        print(*name, *(f"{row['steps']}: {row['cost']:.4f}" for row in part if row.get("cost")))


if __name__ == "__main__":
    main()
