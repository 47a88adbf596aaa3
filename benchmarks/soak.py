"""Hours of cameras in minutes: `streamdet run` on RTSP cameras that fail on a seeded schedule, and the whole account.

    python benchmarks/soak.py                                   4 cameras, 20 minutes, 30 faults of 9 kinds
    python benchmarks/soak.py --dead 1 --cameras 8 --minutes 3  is a dead camera felt by the 7 others?
    python benchmarks/soak.py --loss 0.05 --minutes 5           UDP packets get lost, with H.264 and with H.265

Needs Debian's gst-rtsp-server (see .ci/run). Cameras are 640x360 with a key frame a second. What comes after
`--` goes to `streamdet run`, such as `-- --device cpu --size 224x400`. Exit code 1 when a promised number is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.soaking import judging  # noqa: E402
from benchmarks.soaking.faults import QUIET_AT_LAST_S, FaultInjector, draw_schedule  # noqa: E402
from benchmarks.soaking.running import run_product  # noqa: E402
from tests.live_servers import rtsp  # noqa: E402
from tests.live_servers.clip import Clip, make_clip, pictures_of  # noqa: E402
from tests.live_servers.rtsp import RtspServer  # noqa: E402
from tests.live_servers.silent import SilentServer  # noqa: E402

SIZE, OTHER_SIZE = (640, 360), (480, 270)
SAMPLE = ROOT / "samples" / "parking.mp4"
KEY_FRAME_S = 1.0
MOST_UNEQUAL = 0.05


def camera_clip(fps: int, codec: str = "h264", size: tuple[int, int] = SIZE) -> Clip:
    """Ten seconds of a car park, with a key frame a second."""
    return make_clip(codec, size=size, rate=fps, gop=fps, frames=10 * fps, pictures=pictures_of(SAMPLE, size, fps))


def soak(arguments: argparse.Namespace, folder: Path, verdict: judging.Verdict) -> None:
    """Cameras with faults."""
    run_s, clip = 60 * arguments.minutes, camera_clip(arguments.fps)
    schedule = draw_schedule(arguments.cameras, arguments.faults, run_s, arguments.seed)
    with ExitStack() as stack:
        servers = [stack.enter_context(RtspServer(clip, seed=arguments.seed + n)) for n in range(arguments.cameras)]
        injector = FaultInjector(servers, schedule, camera_clip(arguments.fps, size=OTHER_SIZE))
        options = ["--out", f"{folder / 'rec'}/", "--segment", "2m", *common(arguments)]
        run = run_product(
            [server.url() for server in servers], folder, run_s, options, lambda since_s: injector.work(since_s, print)
        )
        sent = [server.sent_ever() for server in servers]
        streams = stream_names(servers)
    report, lines = judging.read_report(folder), judging.read_lines(folder)
    judging.judge_end(run, report, verdict)
    judging.judge_accounts(report, lines, arguments.max_age, verdict, sent=sent)
    judging.judge_recovery(schedule, streams, lines, verdict)
    judging.judge_process(run.samples, QUIET_AT_LAST_S, verdict)
    judging.judge_segments(folder, report, verdict)


def dead(arguments: argparse.Namespace, folder: Path, verdict: judging.Verdict) -> None:
    """Live cameras alone, and with others that accept and stay silent, in turn."""
    living = arguments.cameras - arguments.dead
    rates: dict[str, list[float]] = {"alone": [], "beside the dead": []}
    ages: dict[str, list[float]] = {"alone": [], "beside the dead": []}
    with ExitStack() as stack:
        clip = camera_clip(arguments.fps)
        servers = [stack.enter_context(RtspServer({f"cam{n}": clip}, seed=arguments.seed + n)) for n in range(living)]
        silent = [stack.enter_context(SilentServer()) for _ in range(arguments.dead)]
        live_urls = [server.url(f"cam{n}") for n, server in enumerate(servers)]
        dead_urls = [f"rtsp://127.0.0.1:{server.port}/cam" for server in silent]
        runs = [("alone", live_urls), ("beside the dead", dead_urls + live_urls)]
        for number in range(arguments.rounds):
            # Turn by turn the other first: a machine that grows warm or busy is to harm both alike.
            for name, urls in runs if number % 2 == 0 else reversed(runs):
                place = folder / f"{number} {name}"
                options = ["--no-video", *common(arguments)]
                run = run_product(urls, place, 60 * arguments.minutes, options)
                verdict.check(run.ended_well, f"round {number}, {name}: ended when told to")
                report = judging.read_report(place)
                seen = [judged for judged in report.get("cameras", []) if judged["frames"]["decoded"]]
                rate = sum(camera["frames"]["detected"] for camera in seen) / report["wall_s"]
                age_s = statistics.mean(camera["age_detected"]["p50_s"] for camera in seen)
                p95_s = statistics.mean(camera["age_detected"]["p95_s"] for camera in seen)
                print(f"         {len(seen)} live, {rate:.2f} fps, age p50 {1e3 * age_s:.0f} p95 {1e3 * p95_s:.0f} ms")
                rates[name].append(rate)
                ages[name].append(age_s)
    # The best of the rounds: what else the machine does can only make them worse.
    print(f"\nWith {arguments.dead} dead against without, the best of {arguments.rounds} rounds each")
    for what, found, best in (("frame rate", rates, max), ("age", ages, min)):
        ratio = best(found["beside the dead"]) / best(found["alone"])
        verdict.check(abs(ratio - 1) <= MOST_UNEQUAL, f"{what}: ratio {ratio:.3f}")


def loss(arguments: argparse.Namespace, folder: Path, verdict: judging.Verdict) -> None:
    """One camera with H.264 and one with H.265, by UDP, losing packets all the time."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(RtspServer(camera_clip(arguments.fps, codec), loss=arguments.loss, seed=arguments.seed))
            for codec in ("h264", "hevc")
        ]
        urls, streams = [server.url() for server in servers], stream_names(servers)
        options = ["--no-video", "--transport", "udp", *common(arguments)]
        run = run_product(urls, folder, 60 * arguments.minutes, options)
        sent = [server.sent_ever() for server in servers]
    report, lines = judging.read_report(folder), judging.read_lines(folder)
    judging.judge_end(run, report, verdict)
    judging.judge_accounts(report, lines, arguments.max_age, verdict, sent=sent)
    print("\nDamage")
    for camera in report.get("cameras", []):
        frames, own = camera["frames"], lines.get(camera["name"], [])
        marked = sum(line.damaged for line in own)
        verdict.check(
            frames["damaged"] >= marked > 0, f"{camera['name']}: {frames['damaged']} damaged, {marked} lines say so"
        )
        verdict.check(camera["sessions"] == 1, f"{camera['name']}: {camera['sessions']} session")
    judging.judge_gaps(streams, lines, KEY_FRAME_S + arguments.max_age, verdict)


def common(arguments: argparse.Namespace) -> list[str]:
    """Options of every run."""
    return ["--model", arguments.model, "--max-age", f"{arguments.max_age:g}", *arguments.rest]


def stream_names(servers: list[RtspServer]) -> list[str]:
    """As the product calls cameras without credentials."""
    return [server.url() for server in servers]


def parse_arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--fps", type=int, default=15, help="of a camera; below what the machine can do for --dead")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--dead", type=int, default=0, help="compare runs with and without so many dead cameras")
    parser.add_argument("--rounds", type=int, default=2, help="of --dead")
    parser.add_argument("--loss", type=float, default=0.0, help="share of UDP packets lost, H.264 and H.265")
    parser.add_argument("--model", default="street")
    parser.add_argument("--max-age", type=float, default=0.5, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for what the runs write (default: one that is deleted)")
    place = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:place])
    arguments.rest = sys.argv[place + 1 :]
    return arguments


def main() -> None:
    """Run what was asked for."""
    arguments = parse_arguments()
    if reason := rtsp.missing():
        raise SystemExit(reason)
    verdict = judging.Verdict()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = arguments.keep or Path(temporary)
        mode = loss if arguments.loss else dead if arguments.dead else soak
        mode(arguments, folder, verdict)
    print(f"\n{len(verdict.missed)} missed" if verdict.missed else "\nall promised numbers met")
    raise SystemExit(bool(verdict.missed))


if __name__ == "__main__":
    main()
