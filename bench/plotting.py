"""`python -m bench.plotting figures.json docs/operating.svg`: what `bench.operating --json` printed, as curves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["plot"]

# The same figures give the same file, and text stays text.
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "tenantry",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def plot(sizes: Sequence[Mapping[str, Any]], target: Path) -> None:
    """sizes: as `bench.operating.Size` has them, the smallest first."""
    counts = [one["tenants"] for one in sizes]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 6), layout="constrained")
        (ready, memory), (cpu, drift) = figure.subplots(2, 2)
        _curve(ready, counts, [one["alone"]["p50_s"] for one in sizes], "p50")
        _curve(ready, counts, [one["alone"]["p99_s"] for one in sizes], "p99")
        _curve(ready, counts, [one["beside_hanging"]["p99_s"] for one in sizes], "p99, one database hangs")
        _limit(ready, 2 * sizes[0]["alone"]["p99_s"], "twice the first p99")
        _label(ready, "A new tenant until it is ready", "seconds")
        _curve(memory, counts, [one["memory"]["operator_mib"] for one in sizes], "operator")
        _curve(memory, counts, [one["memory"]["workers_mib"] for one in sizes], "its workers together")
        _limit(memory, 500, "limit of the operator")
        _limit(memory, 900, "limit of its workers")
        _label(memory, "Memory (PSS)", "MiB")
        _curve(cpu, counts, [one["quiet"]["cpu_percent"]["operator"] for one in sizes], "operator")
        _curve(cpu, counts, [one["quiet"]["cpu_percent"]["workers"] for one in sizes], "its workers together")
        _label(cpu, "Processor while nothing changes", "% of one processor")
        _curve(drift, counts, [one["drift"]["first_s"] for one in sizes], "first look")
        _curve(drift, counts, [one["drift"]["unchanged_s"] for one in sizes], "nothing changed")
        _limit(drift, 120, "limit")
        _label(drift, "A look at the whole cell for drift", "seconds")
        figure.savefig(target, metadata={"Date": None})


def _curve(axes: Axes, counts: Sequence[int], values: Sequence[float], label: str) -> None:
    axes.plot(counts, values, marker="o", markersize=4, label=label)


def _limit(axes: Axes, value: float, label: str) -> None:
    axes.axhline(value, linestyle="--", linewidth=1, color="0.5", label=label)


def _label(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title)
    axes.set_xscale("log")
    axes.set_xlabel("tenants")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plotting", description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    plot(json.loads(options.figures.read_text()), options.target)


if __name__ == "__main__":
    main()
