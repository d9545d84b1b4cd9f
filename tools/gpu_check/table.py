"""What was measured as a Markdown table, ready for the README."""

from collections.abc import Sequence

from gpu_check.speed_checks import Figures, Rates

HEAD = ("", "ours, ms", "peer, ms", "as fast", "ours, MiB", "peer, MiB", "of it", "of matrix rate")
NOTE = (
    "Medians; MiB are the peak of the whole process, model included (on a GPU of its tensors). The "
    "peer is mmsegmentation, in its own precision or under autocast, as its tools run it."
)


def table(described: str, rates: Rates | None, figures: Sequence[Figures]) -> str:
    """``described`` names the machine; a row a measurement."""
    title = f"On {described}" + (f"; matrix products: {rates}." if rates else ".")
    rows = [HEAD, ("---",) * len(HEAD), *map(_cells, figures)]
    return "\n".join([title, NOTE, "", *("| " + " | ".join(row) + " |" for row in rows)])


def _cells(one: Figures) -> tuple[str, ...]:
    peer = one.peer_milliseconds is not None
    return (
        one.name,
        f"{one.milliseconds:.1f}",
        f"{one.peer_milliseconds:.1f}" if peer else "–",
        f"{one.peer_milliseconds / one.milliseconds:.2f} ×" if peer else "–",
        f"{one.mib:.0f}",
        f"{one.peer_mib:.0f}" if peer else "–",
        f"{one.mib / one.peer_mib:.2f}" if peer else "–",
        "–" if one.share is None else f"{one.share:.0%} of {one.computed_in}",
    )
