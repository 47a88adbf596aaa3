"""What `streamdet probe` shows: a table of what was found out, or all of it as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamdet.cli.capacity import MODEST_FPS, Capacity, DetectionCost
from streamdet.cli.figures import cut_middle, duration, rate
from streamdet.video.base import printable

if TYPE_CHECKING:
    from streamdet.video.probing import Probe
    from streamdet.video.rhythm import Rhythm

SCHEMA = 1
"""Version of the form of the JSON."""


def to_json(
    name: str, probe: Probe, cost: DetectionCost, capacity: Capacity, said: list[str], busy: float | None
) -> dict[str, Any]:
    """All that was measured, as plain values; times in seconds."""
    facts, decoding = probe.facts, probe.decoding
    told = _rounded(
        {
            "schema": SCHEMA,
            "source": name,
            "stream": asdict(facts),
            "rhythm": asdict(probe.rhythm),
            "decoding": {**asdict(decoding), "fps": decoding.fps},
            "detection": {**asdict(cost), "fps": cost.fps},
            "capacity": {**asdict(capacity), "modest_fps": MODEST_FPS, "load_of_others": busy},
            "advice": said,
        }
    )
    return dict(told)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def show_probe(
    console: Console,
    name: str,
    probe: Probe,
    cost: DetectionCost,
    capacity: Capacity,
    said: list[str],
    busy: float | None,
) -> None:
    """Print what was found out; it fits into 80 columns. `busy`: the load that other programs made, if it was much."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, told in (
        ("picture", _picture(probe)),
        ("rate", _rate(probe)),
        ("times", _times(probe)),
        ("key frames", _key_frames(probe.rhythm)),
        ("data", _data(probe.rhythm)),
        ("arrival", _arrival(probe.rhythm)),
        ("sound", Text("; ".join(probe.facts.audio) or "none")),
        ("damage", _damage(probe)),
    ):
        if told is not None:
            grid.add_row(label, told)
    grid.add_row("", "")
    grid.add_row("decoding", _decoding(probe))
    grid.add_row("detecting", _detecting(cost))
    grid.add_row("capacity", _capacity(capacity, cost))
    if busy is not None:
        load = f"load {busy:.1f} on {capacity.cores} cores"
        grid.add_row("", Text(f"other programs kept this machine busy ({load}): idle it carries more", style="yellow"))
    for number, sentence in enumerate(said):
        grid.add_row("" if number else "to change", Text.assemble(("• ", "yellow"), printable(sentence)))
    if not said:
        grid.add_row("to change", Text("nothing", style="green"))
    title = Text(f" {cut_middle(printable(name), console.width - 8)} ", style="bold")
    console.print(Panel(grid, title=title, title_align="left", border_style="cyan", expand=False))


def _picture(probe: Probe) -> Text:
    facts = probe.facts
    codec = f"{facts.codec} {facts.profile}" if facts.profile else facts.codec
    parts = [f"{facts.width}x{facts.height}", codec, facts.pixel_format]
    parts += ["interlaced"] * facts.is_interlaced
    parts += [f"turned by {facts.rotation}°"] * bool(facts.rotation)
    return Text.assemble(
        (parts[0], "bold"), " · " + " · ".join([*parts[1:], f"in {'/'.join(facts.container.split(',')[:2])}"])
    )


def _rate(probe: Probe) -> Text:
    rhythm, declared = probe.rhythm, probe.facts.declared_fps
    parts = []
    if rhythm.fps is not None and probe.facts.has_times:
        parts.append(f"{rhythm.fps:.2f} frames/s by its times")
    if rhythm.fps_arrived is not None:
        parts.append(f"{rhythm.fps_arrived:.2f} by arrival")
    parts.append("declares none" if declared is None else f"declares {declared:.2f}")
    return Text(" · ".join(parts))


def _times(probe: Probe) -> Text:
    rhythm = probe.rhythm
    if not probe.facts.has_times:
        return Text("the stream carries none: those of arrival are taken", style="yellow")
    if rhythm.usual_gap_s is None or rhythm.largest_gap_s is None:
        return Text("a single picture", style="yellow")
    parts = [f"{rhythm.irregular_share:.1%} of gaps uneven" if rhythm.irregular_share else "even"]
    parts.append(f"usual gap {duration(rhythm.usual_gap_s)}, largest {duration(rhythm.largest_gap_s)}")
    parts += [f"{rhythm.without_time} without a time"] * (rhythm.without_time > 1)
    parts += [f"{rhythm.repeated_times} repeated"] * bool(rhythm.repeated_times)
    return Text(" · ".join(parts), style="yellow" if rhythm.irregular_share > 0.05 else "")


def _key_frames(rhythm: Rhythm) -> Text:
    if rhythm.key_interval_frames == 1:
        told = "each picture is one"
    elif rhythm.key_interval_s is None or rhythm.key_interval_frames is None:
        told = f"more than {rhythm.longest_without_key_s:.1f} s apart"
    else:
        told = f"every {rhythm.key_interval_frames:g} pictures, {duration(rhythm.key_interval_s)}"
    return Text(told + " · with B-frames" * rhythm.is_reordered)


def _data(rhythm: Rhythm) -> Text | None:
    if rhythm.bits_per_s is None:
        return None
    per_s = rhythm.bits_per_s
    told = f"{per_s / 1e6:.1f} Mbit/s" if per_s >= 1e6 else f"{per_s / 1e3:.0f} kbit/s"
    return Text(f"{told} · {per_s / 8 * 3600 / 1e9:.1f} GB in an hour")


def _arrival(rhythm: Rhythm) -> Text | None:
    if rhythm.jitter_p95_s is None:
        return None
    return Text(f"95% of packets at most {duration(rhythm.jitter_p95_s)} late (jitter)")


def _damage(probe: Probe) -> Text | None:
    decoding = probe.decoding
    parts = [f"{decoding.lost} pictures lost"] * bool(decoding.lost)
    parts += [f"{decoding.damaged} damaged"] * bool(decoding.damaged)
    return Text(" · ".join(parts), style="yellow") if parts else None


def _decoding(probe: Probe) -> Text:
    decoding = probe.decoding
    each = decoding.processor_s_per_picture
    cost = "" if each is None else f" · {each * 1000:.1f} ms of a core for each"
    return Text.assemble((f"{rate(decoding.fps or 0.0)} frames/s here", "bold"), cost)


def _detecting(cost: DetectionCost) -> Text:
    size = "x".join(map(str, cost.input_size_wh))
    how = f" · {cost.model}, {cost.precision} on {cost.device}, input {size}, batch {cost.batch}"
    return Text.assemble((f"{rate(cost.fps)} frames/s here", "bold"), how)


def _capacity(capacity: Capacity, cost: DetectionCost) -> Text:
    def cameras(n: int) -> str:
        return "1 such camera" if n == 1 else f"{n} such cameras"

    limit = "decoding" if capacity.limit == "decoding" else f"the network ({cost.model})"
    if capacity.cameras:
        most = (cameras(capacity.cameras), "bold green"), " with every picture detected"
    else:
        most = ("1 such camera", "bold yellow"), f" with {capacity.fps_of_one:.1f} pictures a second detected"
    more = f" · {cameras(capacity.cameras_modest)} with {MODEST_FPS:g} a second of each"
    return Text.assemble(
        *most,
        more if capacity.cameras_modest > max(capacity.cameras, 1) else "",
        f"\nlimit: {limit} · {capacity.cores} cores, a fifth kept free, writing not counted",
    )
