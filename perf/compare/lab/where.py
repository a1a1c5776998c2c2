"""where.py FOLDER: a Markdown table of what where.sh counted there, for one command each."""
import sys
from pathlib import Path

from table import name_of, print_markdown

COLUMNS = {
    "calls": "system calls of the reactor",
    "doorbells": "of these doorbells",
    "switches_of_reactor": "switches of the reactor",
    "switches": "switches in all",
    "tasklets": "tasklets",
}


def main():
    rows = [["load", "target", "commands/s", *COLUMNS.values(), "calls/s of the control thread"]]
    for file in sorted(Path(sys.argv[1]).glob("*.counts"), key=lambda file: file.stat().st_mtime_ns):
        peer, load = file.name.removesuffix(".counts").split(".", 1)
        names, *lines = file.read_text().splitlines()
        fields = [line.split() for line in lines if line[:1].isdigit()]
        counts = {name: int(field[0]) for name, field in zip(names.split()[1:], fields)}
        seconds, commands = int(fields[0][2]) / 1e9, counts["commands"]
        if commands:
            each = [per(counts.get(name), commands, ".2f") for name in COLUMNS]
            rows.append([name_of(load), peer, f"{commands / seconds:,.0f}", *each, per(counts.get("calls_of_main"), seconds, ",.0f")])
    print_markdown(rows)


def per(count, divisor, form):
    return "–" if count is None else format(count / divisor, form)


main()
