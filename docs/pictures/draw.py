"""Draw the three pictures of docs/architecture.md: python docs/pictures/draw.py [FOLDER]

Needs matplotlib, which brings Pillow. A text that does not fit its box is an error: no picture is kept that cannot be read.
"""

import sys
from inspect import cleandoc
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from PIL import Image

INK, GREY, PALE = "#1f2933", "#66727f", "#f3f5f7"
BLUE, ORANGE, GREEN, YELLOW, RED = "#cfe0f5", "#fbdcb8", "#d5ecd4", "#fbf3c4", "#f6d0cc"

# From the ground up: the rooms of each floor with what they are for, and what the floor may import (tests/test_docs.py compares
# them with the floors that tests/test_architecture.py holds the package to).
FLOORS = (
    ({"functions": "every activation and loss, said once:\nformula, slope, what it goes with"}, "the standard library; numpy"),
    ({"names": "every solver, schedule and start,\nsaid once, as plain data"}, "functions"),
    (
        {"kernels": "all compiled code: tiles, products,\nactivations, losses, updates;\na batch, a sample, a whole fit"},
        "functions, names;\nnumba, llvmlite, numpy",
    ),
    (
        {"training": "one road for every fit: pack the data,\ndraw a start, train on as many threads\nas pay, say how it ended"},
        "all below;\nnumpy, joblib, scikit-learn\n(numba stays in the kernels)",
    ),
    (
        {"estimators": "BPClassifier, BPRegressor:\ncheck what comes in, encode targets,\nkeep the fitted attributes"},
        "all below;\nnumpy, scipy, scikit-learn",
    ),
    ({"functional": "forward and gradients,\nwithout an estimator"}, "all below"),
    (
        {
            "search": "many fits\nat once",
            "display": "pictures",
            "persistence": "models\nas files",
            "tabular": "tables as\nthey are",
            "interchange": "scikit-learn,\nONNX, C",
        },
        "all below, not each other;\nmatplotlib, safetensors, skops\nand skl2onnx, within functions",
    ),
    ({"app": "the command line"}, "all below"),
    ({"__main__": "python -m fastbp"}, "all below"),
)


class Board:
    """A sheet without axes, 100 wide, on which every text is checked against the box that it was given.

    Parameters
    ----------
    height : float
        In hundredths of the width.
    """

    def __init__(self, height, inches=9.5):
        self.figure = Figure(figsize=(inches, inches * height / 100), facecolor="white", dpi=160)
        self.canvas = FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, 100), ylim=(0, height))
        self.axes.axis("off")
        self._written = []

    def box(self, x, y, width, height, text="", color=PALE, edge=INK, line=1.0, **options):
        """Draw a rectangle from its lower left corner, with a text in its middle."""
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor=edge, linewidth=line))
        if text:
            self.write(x, y, width, height, text, **options)

    def write(self, x, y, width, height, text, size=9.0, align="center", **options):
        """Write a text within a box that is not drawn; align: "left" or "center"."""
        at = x if align == "left" else x + width / 2
        options = {"color": INK, "linespacing": 1.25, "va": "center", **options}
        written = self.axes.text(at, y + height / 2, cleandoc(text), ha=align, fontsize=size, **options)
        self._written.append((written, (x, y, width, height)))

    def title(self, y, text):
        """Write a line in bold over the whole width."""
        self.write(1.5, y, 97, 3, text, size=10.5, align="left", weight="bold")

    def arrow(self, start, end, curve=0.0):
        """Draw an arrow from one (x, y) to another."""
        style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        self.axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={curve}", **style))

    def save(self, path):
        """Write the picture, or raise ValueError where a text is larger than its box."""
        self.canvas.draw()
        for written, (x, y, width, height) in self._written:
            extent = written.get_window_extent()
            (left, bottom), (right, top) = self.axes.transData.transform([(x, y), (x + width, y + height)])
            if extent.x0 < left - 1 or extent.x1 > right + 1 or extent.y0 < bottom - 1 or extent.y1 > top + 1:
                raise ValueError(f"{path.name}: {written.get_text()!r} leaves its box")
        pixels = Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")
        pixels.quantize(64).save(path, optimize=True)  # a third of the bytes


def draw_house(path):
    """Draw the rooms on their floors, and what each floor may import."""
    board = Board(height=85)
    left, right, height, gap = 6, 70, 7.8, 1.0
    colors = YELLOW, YELLOW, ORANGE, GREEN, BLUE, *[PALE] * (len(FLOORS) - 5)
    board.write(left, 81, right - left, 3, "the rooms, floor by floor", size=10, color=GREY)
    board.write(right + 1, 81, 28, 3, "may import", size=10, color=GREY)
    for level, (rooms, imports) in enumerate(FLOORS):
        y = 1.5 + level * (height + gap)
        width = (right - left - gap * (len(rooms) - 1)) / len(rooms)
        for number, (name, purpose) in enumerate(rooms.items()):
            x = left + number * (width + gap)
            board.box(x, y, width, height, color=colors[level])
            if len(rooms) == 1:
                board.write(x, y, 17, height, name, size=12.5, weight="bold", va="center_baseline")
                board.write(x + 17, y, width - 17.5, height, purpose, size=10)
            else:
                small = {6: 3, 5: 1.5, 4: 1.5}.get(len(rooms), 0)
                board.write(x, y + 4.6, width, 3, name, size=12 - small, weight="bold", va="center_baseline")
                board.write(x, y + 0.2, width, 4.6, purpose, size=9.5 - small / 2)
        board.write(right + 1, y, 28, height, imports, size=9.5)
    board.arrow((3.8, 80), (3.8, 2))
    board.write(0.8, 2, 2.2, 78, "imports point down only", size=10, rotation=90)
    board.save(path)


def _barrier(board, x, y, height):
    board.box(x, y, 2, height, color=INK)
    board.write(x, y, 2, height, "barrier", size=9, rotation=90, weight="bold", color="white")


def _strips(board, x, y, width):
    """Draw the flat vector of the parameters, cut into strips in the colours of their threads."""
    board.write(x, y + 3.6, width, 2.4, "the parameters: one flat vector, cut into strips", size=9, color=GREY)
    strips = [("W₁", BLUE)] * 3 + [("b₁", BLUE)] + [("W₂", ORANGE)] * 3 + [("b₂", ORANGE)]
    for number, (name, color) in enumerate(strips):
        board.box(x + width * number / len(strips), y, width / len(strips), 3.4, name, color=color)


def _way(board, y, height, rows_say, strips_say):
    """Draw one way of a batch, from its rows, already there on the left, to its step."""
    board.arrow((15.2, y + height / 2), (17.5, y + height / 2))
    board.box(17.5, y, 30, height, rows_say)
    _barrier(board, 49, y, height)
    _strips(board, 52.5, y + height - 6, 43)
    board.box(52.5, y, 43, height - 8, strips_say)
    _barrier(board, 97, y, height)


def draw_batch(path):
    """Draw the way of a batch through two threads, in blocks and in slabs."""
    board = Board(height=90)
    board.title(86.6, "An epoch: row numbers in shuffled order, cut into batches")
    for number in range(8):
        board.box(1.5 + number * 8.2, 82.5, 8.2, 3.4, f"batch {number + 1}", color=YELLOW if number == 2 else PALE)
    for number, color in enumerate((BLUE, ORANGE)):
        board.box(71 + 15 * number, 82.5, 4, 3.4, color=color)
        board.write(75.5 + 15 * number, 82.5, 10, 3.4, f"thread {number}", align="left")

    board.title(76, "In blocks, with one gradient: the threads share the rows, then the strips")
    y, height = 48, 24.5
    board.write(1.5, y + height + 0.2, 13.7, 2.6, "rows of a block", color=GREY)
    for group in range(8):
        color, at = (BLUE, ORANGE)[group // 4], y + height - (group + 1) * height / 8
        board.box(1.5, at, 13.7, height / 8, f"group {group % 4 + 1}", color=color, edge=GREY, size=8.5)
    for half in range(2):
        board.box(1.5, y + half * height / 2, 13.7, height / 2, color="none", line=1.6)
    _way(
        board,
        y,
        height,
        """Each thread, on its share of the rows,
        in groups of four tiles, which stay
        in the first-level cache:

        gather the rows and their targets
        forward, layer by layer
        δ of the output layer, losses
        backward: δ of the other layers""",
        """Each thread, on its own strips:

        gradient aᵀ·δ over all rows of the block, in order,
        added to that of the blocks before

        after the last block: the step (penalty, moments,
        weights), and the strip's transposed mirror""",
    )
    board.arrow((98, y), (8, y), curve=-0.075)
    board.write(38, y - 5.9, 30, 2.4, "next block, or next batch", color=GREY)

    board.title(37, "In slabs, with a gradient each: few parameters beside the rows")
    y, height = 7, 26.5
    board.write(1.5, y + height + 0.2, 13.7, 2.6, "rows of a batch", color=GREY)
    for slab in range(4):
        color, at = (BLUE, ORANGE)[slab // 2], y + height - (slab + 1) * height / 4
        for piece in range(2):
            low = at + height / 4 - (piece + 1) * height / 8
            board.box(1.5, low, 5.9, height / 8, f"piece {piece + 1}", color=color, size=7.5, edge=GREY)
        board.box(1.5, at, 5.9, height / 4, color="none", line=1.6)
        board.box(8.2, at + 0.8, 7, height / 4 - 1.6, f"slab {slab + 1}'s\ngradient", color=color, size=7.5)
    _way(
        board,
        y,
        height,
        """Each thread, on its own slabs,
        piece by piece, up to 256 rows:

        the passes above, group by group
        sums of the losses and weights
        gradient of all strips, added to
        the slab's own vector

        No thread reads another's rows.""",
        """Each thread, on its own strips:

        sum of the slabs' gradients, in order

        the step (penalty, moments, weights),
        and the strip's transposed mirror""",
    )
    board.arrow((98, y), (8, y), curve=-0.06)
    board.write(43, y - 5.4, 20, 2.4, "next batch", color=GREY)
    board.save(path)


def draw_sample(path):
    """Draw what the per-sample loop does with sample n and sample n + 1, along time."""
    board = Board(height=60)
    height, lanes = 10.4, {"layer 1": 37, "layer 2": 25.2, "layer 3": 13.4, "loss": 1.6}
    board.title(55.5, "A step per sample, three layers of weights: time goes from left to right")
    for number, (text, color) in enumerate((("sample n", BLUE), ("sample n + 1", ORANGE), ("loss of sample n", RED))):
        board.box(1.5 + 14 * number, 52.3, 2.6, 2.4, color=color)
        board.write(4.7 + 14 * number, 52.3, 12, 2.4, text, size=8.5, align="left")
    phases = ((9, 23, "forward"), (33, 10.4, "good?"), (44, 48, "backward and step, last layer first"), (92.6, 7, "forward"))
    for x, width, text in phases:
        board.write(x, 48.4, width, 2.4, text, color=GREY)
    for name, y in lanes.items():
        board.box(0.5, y - 0.5, 99, height + 1, color="#fafbfc", edge="#dde3e8", line=0.8)
        board.write(0.5, y, 8, height, name, weight="bold")

    def step(lane, x, width, text, color=BLUE):
        board.box(x, lanes[lane], width, height, text, color=color, size=8)

    step("layer 1", 9, 8.4, "g(z₁)\n\n(z₁ came\nwith the\nlast step)")
    step("layer 2", 18, 6.6, "z₂ =\nb₂ + a₁W₂\ng(z₂)")
    step("layer 3", 25.4, 6.6, "z₃ =\nb₃ + a₂W₃\ng(z₃)")
    step("loss", 33, 10.4, "δ₃ = ŷ − y\nIs the loss\nfinite? If not,\nstop before\nthe step", RED)
    step("layer 3", 44.3, 12.8, "One pass over W₃:\nδ₂ = W₃·δ₃ (old W₃)\nW₃ and velocity\nΣ W₃²\nthen b₃; δ₂ × slope")
    step("layer 2", 57.9, 12.8, "One pass over W₂:\nδ₁ = W₂·δ₂ (old W₂)\nW₂ and velocity\nΣ W₂²\nthen b₂; δ₁ × slope")
    step("loss", 70.9, 6.2, "Log-loss:\nno step\nwaits for\nits\nlogarithm", RED)
    step("layer 1", 77.3, 7.2, "W₁ and\nvelocity\nby xₙ, δ₁\nΣ W₁²")
    step("layer 1", 84.5, 7.6, "z₁ = b₁ +\nx(n+1)·W₁\n(new W₁)", ORANGE)
    board.write(77.3, lanes["layer 2"] + 4, 14.6, 6.4, "b₁ first, then these two\nin one pass over W₁", size=8)
    board.axes.plot([77.3, 77.3, 92.1, 92.1], [36.2, 35.4, 35.4, 36.2], color=INK, linewidth=1)
    step("layer 1", 93, 6.3, "g(z₁) of\nn + 1", ORANGE)

    middle = {name: y + height / 2 for name, y in lanes.items()}
    board.arrow((17.4, middle["layer 1"]), (19.5, lanes["layer 2"] + height))
    board.arrow((24.6, middle["layer 2"]), (26.9, lanes["layer 3"] + height))
    board.arrow((32, middle["layer 3"]), (35, lanes["loss"] + height))
    board.arrow((43.4, middle["loss"]), (46.5, lanes["layer 3"]))
    board.arrow((57.1, middle["layer 3"]), (60, lanes["layer 2"]))
    board.arrow((70.7, middle["layer 2"]), (78.5, lanes["layer 1"]))
    board.save(path)


PICTURES = {"house.png": draw_house, "batch.png": draw_batch, "sample.png": draw_sample}


def main(folder):
    """Draw all pictures into a folder."""
    for name, draw in PICTURES.items():
        draw(Path(folder) / name)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
