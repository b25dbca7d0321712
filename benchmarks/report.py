"""The measured rows (see `measure.result`) as markdown."""

FIT_COLUMNS = ["scikit-learn", "PyTorch", "JAX, epoch jitted", "JAX, run jitted", "fastbp"]


def number(value):
    """Three significant digits without an exponent; a dash for what was not measured."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"


def duration(seconds):
    if seconds is None:
        return "–"
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds / 1e-6)} µs"


def sentence(verdict):
    if verdict["measured"] is None:
        return "not measured"
    return {True: "met", False: "missed", None: ""}[verdict["met"]]


def judged(verdict):
    """A measured number with its target and verdict, as one cell."""
    text = number(verdict["measured"])
    if verdict["target"] is None:
        return text
    return f"{text} (≥ {number(verdict['target'])}) {sentence(verdict)}".strip()


def label(row):
    return f"{row.get('title', row['name'])}, {row['threads']} {'thread' if row['threads'] == 1 else 'threads'}"


def table(header, lines):
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def fit_table(rows):
    """One line per workload and number of threads; seconds are per fit."""
    lines = []
    for row in rows:
        measured = dict(zip((verdict["against"] for verdict in row["verdicts"]), row["verdicts"], strict=True))
        cells = [measured.get(name) for name in ("scikit-learn", "fastest of PyTorch and JAX", "JAX, run jitted")]
        seconds = [duration(row["seconds"].get(name)) for name in FIT_COLUMNS]
        lines.append(
            [row["title"], str(row["threads"]), str(row["n_epochs"]), *seconds, *(judged(c) if c else "–" for c in cells)]
        )
    names = ["scikit-learn", "PyTorch", "JAX, jitted epoch", "JAX, jitted run", "fastbp"]
    against = ["× scikit-learn", "× fastest of PyTorch and JAX (jitted epoch)", "× JAX (jitted run)"]
    return table(["workload", "threads", "epochs", *names, *against], lines)


def loss_table(rows):
    lines = []
    for row in rows:
        losses = [number(row["losses"].get(name)) for name in FIT_COLUMNS]
        largest = max((abs(value) for value in row["unshuffled_differences"].values()), default=None)
        remark = "; ".join(row["faults"]) or "yes"
        lines.append([row["title"], str(row["threads"]), *losses, number(largest), remark])
    names = ["scikit-learn", "PyTorch", "JAX, jitted epoch", "JAX, jitted run", "fastbp"]
    return table(["workload", "threads", *names, "largest difference, unshuffled", "close"], lines)


def verdict_table(rows):
    """One line per verdict, for rows that have their own way of being measured."""
    lines = []
    for row in rows:
        seconds = "; ".join(f"{name} {duration(value)}" for name, value in row["seconds"].items())
        for verdict in row["verdicts"]:
            sign = "≥" if verdict["sense"] == "at least" else "≤"
            target = "–" if verdict["target"] is None else f"{sign} {number(verdict['target'])}{verdict['unit']}"
            measured = number(verdict["measured"]) + (verdict["unit"] if verdict["measured"] is not None else "")
            lines.append([row["title"], str(row["threads"]), verdict["against"], measured, target, sentence(verdict), seconds])
            seconds = ""
    return table(["what", "threads", "measure", "measured", "target", "verdict", "times"], lines)


def markdown(report):
    """The whole report: tables, then what failed or looked wrong."""
    machine, versions = report["machine"], report["versions"]
    parts = [
        "Machine: "
        + ", ".join(f"{value} {key}" if isinstance(value, int) else str(value) for key, value in machine.items())
        + ".",
        "Versions: " + ", ".join(f"{package} {number}" for package, number in versions.items()) + ".",
        *(f"Left out, as it is not installed: {package}." for package in ("torch", "jax") if package not in versions),
        f"Date: {report['date']}." + (" Quick run: the harness was checked, nothing was measured." if report["quick"] else ""),
    ]
    rows = [row for row in report["rows"] if "verdicts" in row]
    fits = [row for row in rows if "losses" in row]
    if fits:
        parts += ["### Fits", fit_table(fits), "### Losses at the end of the fits", loss_table(fits)]
    others = {}
    for row in rows:
        if "losses" not in row:
            others.setdefault(row["section"], []).append(row)
    for section, members in others.items():
        parts += [f"### {section.capitalize() if section != 'fits' else 'Sweep and prediction'}", verdict_table(members)]
        notes = [f"- {label(row)}: {note}" for row in members for note in row.get("notes", [])]
        parts += ["\n".join(notes)] * bool(notes)
    remarks = [
        f"- {label(row)}: {remark}"
        for row in report["rows"]
        for remark in [*(f"{name}: {text}" for name, text in row.get("errors", {}).items()), *row.get("faults", [])]
    ]
    if remarks:
        parts += ["### Failures and doubts", "\n".join(remarks)]
    judged_verdicts = [verdict for row in rows for verdict in row["verdicts"] if verdict["target"] is not None]
    met = sum(verdict["met"] is True for verdict in judged_verdicts)
    unmeasured = sum(verdict["measured"] is None for verdict in judged_verdicts)
    parts.append(f"{met} of {len(judged_verdicts)} targets met, {unmeasured} not measured.")
    return "\n\n".join(parts)
