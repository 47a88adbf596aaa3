"""`streamdet run`: its options, and a run over a file; cameras and streams: `streamdet.cli.live`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamdet.errors import UsageError
from streamdet.options import (
    AnalysisOptions,
    CommonOptions,
    LiveOptions,
    LiveRunOptions,
    Processor,
    Quality,
    RunOptions,
    Transport,
    parse_classes,
    parse_size,
)

SourceArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="A video file, an image, a folder of images; a camera (0, /dev/video0), an address (rtsp://, rtmp://, "
        "http://, udp://), a pipe, - for standard input. Several at once.",
        show_default=False,
    ),
]
WHAT, WHERE, HOW, LIVE = "What to detect", "What to write", "How to compute", "Cameras and streams"
MADE = "What to make of it"


def run(
    sources: SourceArgument = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Annotated video (.mp4 or .mkv), a folder for several (rec/), or an address to push to. "
            "Default: NAME.annotated.mp4 here; of cameras recordings/.",
            metavar="FILE",
            rich_help_panel=WHERE,
        ),
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option(help="Detections as JSON lines; - for standard output.", metavar="FILE", rich_help_panel=WHERE),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="The receipt as JSON.", metavar="FILE", rich_help_panel=WHERE)
    ] = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="No annotated video.", rich_help_panel=WHERE)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files.", rich_help_panel=WHERE)] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on where the same run over a file was stopped.", rich_help_panel=WHERE),
    ] = False,
    quality: Annotated[
        Quality, typer.Option(help="Of the annotated video: file size against fidelity.", rich_help_panel=WHERE)
    ] = "balanced",
    model: Annotated[
        str,
        typer.Option(
            help="street (shipped), coco-r50, coco-r50-v2 (fetched on first use), or a .safetensors or .pth file.",
            rich_help_panel=WHAT,
        ),
    ] = "street",
    conf: Annotated[
        str | None,
        typer.Option(
            help="Least score to show: 0.4, or by class: person=0.6,car=0.4. Default: from the model, per class.",
            metavar="SCORE",
            rich_help_panel=WHAT,
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these, such as car,person.", metavar="NAMES", rich_help_panel=WHAT)
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Begin at this second.", metavar="SECONDS", rich_help_panel=WHAT)
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(help="Stop at this second; cameras: after so many.", metavar="SECONDS", rich_help_panel=WHAT),
    ] = None,
    every: Annotated[int, typer.Option(help="Take every so many frames.", metavar="N", rich_help_panel=WHAT)] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 5 when frames were lost or damaged.", rich_help_panel=WHAT)
    ] = False,
    track: Annotated[
        bool,
        typer.Option(
            "--track", help="Follow objects: numbers and trails. All of the below does so too.", rich_help_panel=MADE
        ),
    ] = False,
    line: Annotated[
        list[str] | None,
        typer.Option(
            help="Count crossings, in and out, by class. Pixels, or shares of width and height. Several at once.",
            metavar="NAME:X1,Y1,X2,Y2",
            rich_help_panel=MADE,
        ),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(
            help="Count who is inside and for how long. Several at once.",
            metavar="NAME:X,Y,X,Y,...",
            rich_help_panel=MADE,
        ),
    ] = None,
    bays: Annotated[
        Path | None,
        typer.Option(help="Parking bays: occupied or free (streamdet bays).", metavar="FILE", rich_help_panel=MADE),
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(
            help="Lines, zones and bays from a TOML file (streamdet zones).", metavar="FILE", rich_help_panel=MADE
        ),
    ] = None,
    counts: Annotated[
        Path | None,
        typer.Option(
            help="What happens at lines, zones and bays, a row each, as CSV.", metavar="FILE", rich_help_panel=MADE
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            help="Rules for events, and whom to tell, from a TOML file (docs/events.md).",
            metavar="FILE",
            rich_help_panel=MADE,
        ),
    ] = None,
    blur: Annotated[
        str | None,
        typer.Option(
            help="Make these unrecognisable, such as person, in all that is drawn.",
            metavar="NAMES",
            rich_help_panel=MADE,
        ),
    ] = None,
    blur_only: Annotated[
        bool,
        typer.Option("--blur-only", help="Not even clips of events show them clearly.", rich_help_panel=MADE),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=HOW)] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.", rich_help_panel=HOW)] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            help="auto (the fastest of the next three here), torch, winograd, openvino or openvino-int8 "
            "(streamdet quantize).",
            rich_help_panel=HOW,
        ),
    ] = "auto",
    batch: Annotated[
        int | None, typer.Option(help="Frames per pass. Default: measured on a GPU, 2 on a CPU.", rich_help_panel=HOW)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Short x long side that frames are scaled to, such as 480x800.", rich_help_panel=HOW),
    ] = None,
    decode: Annotated[
        Processor,
        typer.Option(help="gpu: files by NVDEC, where it can; told where it can't.", rich_help_panel=HOW),
    ] = "cpu",
    encode: Annotated[
        Processor,
        typer.Option(help="gpu: files by NVENC, where it can; told where it can't.", rich_help_panel=HOW),
    ] = "cpu",
    config: Annotated[
        Path | None,
        typer.Option(help="Cameras from a TOML file (docs/cameras.md).", metavar="FILE", rich_help_panel=LIVE),
    ] = None,
    netrc: Annotated[
        Path | None, typer.Option(help="Passwords by host, as curl reads them.", metavar="FILE", rich_help_panel=LIVE)
    ] = None,
    transport: Annotated[
        Transport, typer.Option(help="Of RTSP: tcp loses nothing, udp is faster.", rich_help_panel=LIVE)
    ] = "tcp",
    max_age: Annotated[
        str, typer.Option(help="Drop frames older than this: 500ms, 2s.", metavar="TIME", rich_help_panel=LIVE)
    ] = "500ms",
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Queue frames, not the newest only.", rich_help_panel=LIVE)
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="A folder: wait for new pictures, for ever.", rich_help_panel=LIVE)
    ] = False,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail when a source doesn't answer at first.", rich_help_panel=LIVE)
    ] = False,
    open_timeout: Annotated[
        str, typer.Option(help="For a source to answer.", metavar="TIME", rich_help_panel=LIVE)
    ] = "5s",
    read_timeout: Annotated[
        str, typer.Option(help="Without a packet: connect anew.", metavar="TIME", rich_help_panel=LIVE)
    ] = "10s",
    segment: Annotated[
        str | None,
        typer.Option(help="Record in pieces of this length. Default: 10m.", metavar="TIME", rich_help_panel=LIVE),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="A time, such as 24h: delete older pieces. A score, such as 0.05: keep weaker objects in the JSON "
            "lines, too, without showing them.",
            metavar="TIME|SCORE",
            rich_help_panel=LIVE,
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(help="Delete the oldest pieces above this: 50GB.", metavar="SIZE", rich_help_panel=LIVE),
    ] = None,
    reserve: Annotated[
        str, typer.Option(help="Stop recording when the disk has less room.", metavar="SIZE", rich_help_panel=LIVE)
    ] = "500MB",
    show: Annotated[
        bool, typer.Option("--show", help="A window, where there is a screen.", rich_help_panel=LIVE)
    ] = False,
) -> None:
    """Detect objects in videos, pictures and cameras, and write them annotated, with every frame at its own time.

    Exit codes: 0 done, 1 failed, 2 usage, 3 source, 4 model, 5 output covers only part of the source, 130 interrupted.
    """
    from streamdet.cli.live import is_live, run_live
    from streamdet.cli.quantities import parse_bytes, parse_seconds
    from streamdet.cli.run_parsing import parse_conf, parse_keep

    typed = tuple(sources or ())
    if not typed and config is None:
        raise UsageError("there is no source; give a video file, a camera such as 0, an address, or --config FILE")
    keep_s, kept_score = parse_keep(keep or ())
    common = CommonOptions(
        jsonl=jsonl,
        report=report,
        counts=counts,
        events=events,
        model=model,
        conf=parse_conf(conf),
        classes=parse_classes(classes),
        end_s=end,
        every=every,
        device=device,
        precision=precision,
        engine=engine,
        batch=batch,
        size=parse_size(size),
        quality=quality,
        overwrite=overwrite,
        strict=strict,
        analysis=AnalysisOptions(
            track=track,
            kept_score=kept_score,
            lines=tuple(line or ()),
            zones=tuple(zone or ()),
            bays=bays,
            places=places,
            blur=parse_classes(blur, "--blur") or (),
            blur_only=blur_only,
        ),
    )
    if config is not None or is_live(typed, follow=follow):
        _refuse({"--start": start is not None, "--resume": resume}, "is for files: a camera begins now; leave it out")
        _refuse({"--decode gpu": decode == "gpu", "--encode gpu": encode == "gpu"}, "is for files: leave it out")
        live_options = LiveRunOptions(
            sources=typed,
            config=config,
            netrc=netrc,
            out=out,
            video=not no_video,
            segment_s=None if segment is None else parse_seconds(segment, "--segment"),
            keep_s=keep_s,
            max_bytes=None if max_size is None else parse_bytes(max_size, "--max-size"),
            reserve_bytes=parse_bytes(reserve, "--reserve"),
            show=show,
            require_all=require_all,
            live=LiveOptions(
                transport=transport,
                max_age_s=parse_seconds(max_age, "--max-age"),
                every_frame=every_frame,
                open_timeout_s=parse_seconds(open_timeout, "--open-timeout"),
                read_timeout_s=parse_seconds(read_timeout, "--read-timeout"),
            ),
            common=common,
        )
        raise typer.Exit(run_live(live_options, os.environ))
    from streamdet.cli.file_run import run_file

    of_cameras = {
        "--netrc": netrc,
        "--every-frame": every_frame,
        "--require-all": require_all,
        "--segment": segment,
        "--keep with a time": keep_s,
        "--max-size": max_size,
        "--show": show,
    }
    _refuse(of_cameras, "is for cameras and streams: leave it out for files")
    options = [
        RunOptions(
            source=source,
            out=place,
            video=not no_video,
            start_s=start,
            resume=resume,
            decode=decode,
            encode=encode,
            common=common,
        )
        for source, place in zip(typed, places_of(typed, out), strict=True)
    ]
    if len(options) > 1 and any(target is not None for target in (jsonl, report, counts)):
        raise UsageError(
            "--jsonl, --counts and --report hold one file each; give one source, or run them one after the other"
        )
    raise typer.Exit(max(run_file(each) for each in options))


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Raises UsageError for the first option that was given."""
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} {why}")


def places_of(sources: Sequence[str], out: str | None) -> list[Path | None]:
    """Where each file's annotated video goes: `out`, or a file of the source's name in the folder `out`.

    Raises UsageError when several would go into one file.
    """
    if out is None:
        return [None] * len(sources)
    folder = Path(out)
    if out.endswith("/") or os.path.isdir(out):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        return [folder / f"{Path(source).stem or 'pictures'}.annotated.mp4" for source in sources]
    if len(sources) > 1:
        raise UsageError(f"--out {out} is one file for {len(sources)} sources; give a folder, such as --out annotated/")
    return [folder]
