"""Draw history.png of docs/performance.md from asv's results: python docs/pictures/history.py [RESULTS] [PICTURE]

RESULTS is the folder of a machine, as benchmarks/history.py fills it. Needs matplotlib.
"""

import itertools
import json
import math
import sys
from ast import literal_eval
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parents[1] / "benchmarks"
INK, GREY, PALE = "#1f2933", "#66727f", "#dde3e8"
# what is drawn: (benchmark, case), its name, its colour
SPEEDS = (
    (("fits.PerSample.track_share", "per-sample-narrow"), "20-10-1, batch 1", "#b3261e"),
    (("fits.PerSample.track_share", "per-sample-digits"), "64-32-10, batch 1", "#e07b00"),
    (("fits.PerSample.track_share", "xor"), "XOR, batch 1", "#9a7d00"),
    (("fits.Batches.track_share", "digits-adam-f32"), "64-64-32-10, batch 32", "#2e7d32"),
    (("fits.Batches.track_share", "collisions-relu"), "28-64-64-1, batch 256", "#00796b"),
    (("fits.Batches.track_share", "full-wide-input"), "1000-100-10, all rows", "#1565c0"),
    (("predict.Predict.track_share", 100000), "predict, 100k rows", "#6a3fb5"),
    (("predict.Predict.track_share", 1), "predict, one row", "#ad1457"),
)
FIRST_FIT = ("startup.ColdStart.track_first_fit", None)


def read_results(folder):
    """Return [(time, hash, {(benchmark, case): value})] of a machine's results, the oldest commit first."""
    found = []
    for path in Path(folder).glob("*-*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        values = {}
        for name, columns in kept["results"].items():
            record = dict(zip(kept["result_columns"], columns))
            cases = [case[0] if case else None for case in itertools.product(*record["params"])]
            for case, value in zip(cases, record["result"] or []):
                values[name, case if case is None else literal_eval(case)] = value
        found.append((datetime.fromtimestamp(kept["date"] / 1000, UTC), kept["commit_hash"], values))
    return sorted(found, key=lambda one: one[0])


def read_words():
    """Return {hash: words} of the landmarks."""
    lines = (BENCHMARKS / "landmarks.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def spread(heights, gap):
    """Return heights moved apart, where they are closer than a gap, in the order in which they came."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for _ in range(200):
        for low, high in itertools.pairwise(order):
            lack = gap - (moved[high] - moved[low])
            if lack > 0:
                moved[low] -= lack / 2
                moved[high] += lack / 2
    return moved


def draw(folder, path):
    """Draw how many times as fast as scikit-learn each row was at each landmark, and the seconds of a first fit."""
    words = read_words()
    results = [result for result in read_results(folder) if result[1] in words]
    at = range(len(results))
    figure = Figure(figsize=(6, 6.4), dpi=180, facecolor="white")
    speeds, first = figure.subplots(2, 1, sharex=True, height_ratios=(3.6, 1))
    figure.subplots_adjust(left=0.08, right=0.61, top=0.955, bottom=0.13, hspace=0.2)

    ends = []
    for key, name, color in SPEEDS:
        values = [100 / values[key] for _, _, values in results]  # asv tracks parts of scikit-learn's time, in percent
        speeds.semilogy(at, values, "o-", color=color, linewidth=1.6, markersize=4.5)
        ends.append((values[-1], name, color))
    low, high = speeds.get_ylim()
    heights = spread([math.log(value) for value, _, _ in ends], 0.055 * math.log(high / low))
    for height, (value, name, color) in zip(heights, ends):
        speeds.annotate(
            f"{value:.3g} ×  {name}", (at[-1], value), (at[-1] + 0.4, math.exp(height)), color=color, fontsize=9.5, va="center",
            annotation_clip=False, arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6},
        )  # fmt: skip
    speeds.axhline(1, color=GREY, linewidth=0.8)
    speeds.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    speeds.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    speeds.minorticks_off()

    seconds = [values[FIRST_FIT] for _, _, values in results]
    first.plot(at, seconds, "o-", color=INK, linewidth=1.6, markersize=4.5)
    first.annotate(
        f"{seconds[-1]:.3g} s", (at[-1], seconds[-1]), (at[-1] + 0.4, seconds[-1]), color=INK, fontsize=9.5, va="center"
    )
    first.set_ylim(0, 1.15 * max(seconds))
    first.set_xticks(at, [f"{time:%d %b}\n{fill(words[commit], 9)}" for time, commit, _ in results])

    titles = (
        "times as fast as scikit-learn, one thread each",
        "seconds of a first fit in a fresh process, nothing compiled before",
    )
    for axes, title in zip((speeds, first), titles):
        axes.set_title(title, loc="left", x=-0.12, fontsize=10, color=INK)
        axes.grid(axis="y", color=PALE)
        axes.tick_params(colors=INK, labelsize=9, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlim(-0.25, len(results) - 0.8)
        for written in axes.texts:
            if written.get_window_extent().x1 > figure.bbox.x1:
                raise ValueError(f"{Path(path).name}: {written.get_text()!r} leaves the picture")
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    folder, path = (*sys.argv[1:], *[BENCHMARKS / "results" / "two-cores", HERE / "history.png"][len(sys.argv) - 1 :])
    draw(folder, path)
