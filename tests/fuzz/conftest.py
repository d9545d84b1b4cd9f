"""Fuzzers import what they share, and say at the end how many inputs had which outcome."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_terminal_summary(terminalreporter) -> None:
    from harness import counts

    if not counts:
        return
    terminalreporter.section("fuzz")
    for category, outcomes in sorted(counts.items()):
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        terminalreporter.write_line(f"{category}: {sum(outcomes.values())} inputs: {told}")
    total = sum(sum(outcomes.values()) for outcomes in counts.values())
    terminalreporter.write_line(f"{total} inputs in all")
