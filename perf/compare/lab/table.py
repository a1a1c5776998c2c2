"""table.py FOLDER: one Markdown table of what compare.sh left there.

Medians of the rounds; a spread is (max - min) / median, in percent. The ratio of each round is taken by itself, what is told is their median: what
slows down the whole machine for a while is in both figures of a round. CPU is all of the guest's, for initiator, network and target together.
"""
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

OURS = ["srpt-poll", "srpt"]
NAMES = {
    "randread": "random read",
    "randwrite": "random write",
    "read": "read",
    "write": "write",
}
TICKS_PER_SECOND = 100


def main():
    folder = Path(sys.argv[1])
    figures = read_figures(folder)
    peers = list(dict.fromkeys(peer for rounds in figures.values() for peer in rounds))
    firsts = [peer for peer in OURS if peer in peers] or peers[:1]
    ratios = [heading for first in firsts for heading in (f"{first} / it", "spread")]
    rows = [["load", "target", "IOPS", "spread", *ratios, "p50 µs", "p99 µs", "p99.9 µs", "CPU µs per I/O"]]
    for load, by_peer in figures.items():
        for peer, rounds in by_peer.items():
            rows.append(row(load, peer, rounds, [by_peer.get(first, {}) for first in firsts]))
    print_markdown(rows)
    notes = folder / "notes"
    if notes.exists():
        print("\n" + notes.read_text())


def read_figures(folder):
    """{load: {peer: {round: figures}}}, in the order in which they were taken."""
    figures = defaultdict(lambda: defaultdict(dict))
    for report in sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns):
        number, peer, load = report.name.removesuffix(".json").split(".", 2)
        try:
            job = json.loads(report.read_text())["jobs"][0]
        except (ValueError, LookupError):
            print(f"{report} is no report of fio's", file=sys.stderr)
            continue
        way = job["write" if "write" in load else "read"]
        if job["error"] or not way["total_ios"]:
            print(f"{report}: error {job['error']}", file=sys.stderr)
            continue
        percentile = way["clat_ns"]["percentile"]
        figures[load][peer][int(number)] = {
            "iops": way["iops"],
            "p50": percentile["50.000000"] / 1000,
            "p99": percentile["99.000000"] / 1000,
            "p99.9": percentile["99.900000"] / 1000,
            "cpu": busy_seconds(report) * 1e6 / way["total_ios"],
        }
    return figures


def busy_seconds(report):
    """CPU time that the guest used while the load ran."""
    before, after = (sum(busy_ticks(report.with_suffix(suffix))) for suffix in (".before", ".after"))
    return (after - before) / TICKS_PER_SECOND


def busy_ticks(file):
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.read_text().split("\n", 1)[0].split()[1:9])
    return user, nice, system, irq, softirq, steal


def row(load, peer, rounds, firsts):
    mean = {name: median(figures[name] for figures in rounds.values()) for name in next(iter(rounds.values()))}
    return [
        name_of(load),
        peer,
        f"{mean['iops']:,.0f}",
        spread([figures["iops"] for figures in rounds.values()]),
        *(cell for first in firsts for cell in ratio(first, rounds)),
        *(f"{mean[name]:,.0f}" for name in ("p50", "p99", "p99.9", "cpu")),
    ]


def ratio(first, rounds):
    """What the IOPS of `first` are to those of another, and how far the rounds differ."""
    ratios = [first[number]["iops"] / rounds[number]["iops"] for number in rounds if number in first]
    return (f"{median(ratios):.2f}", spread(ratios)) if ratios else ("", "")


def name_of(load):
    rw, size, depth, *form = load.split(":")
    size = size.replace("k", " KiB").replace("m", " MiB")
    return f"{size} {NAMES.get(rw, rw)}, depth {depth}" + (", no immediate data" if form else "")


def spread(values):
    return f"{100 * (max(values) - min(values)) / median(values):.0f} %"


def print_markdown(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    for cells in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |")


if __name__ == "__main__":
    main()
