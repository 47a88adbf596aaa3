"""Do interrupted runs leave what they promise? Kills, terminates and interrupts runs at random moments.

kill -9: the output must open and reach to within 2 seconds of the kill. SIGTERM and SIGINT: a plain mp4 whose frames
are all that the receipt counts, and exit code 130.

    python benchmarks/endings.py CLIP [--times 20] [--model street]
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av


def start(clip: Path, model: str, folder: Path) -> subprocess.Popen[bytes]:
    """A run of the command, as a user starts it, that has written its first frames."""
    command = [sys.executable, "-m", "streamdet", "run", str(clip.resolve()), "--model", model, "--overwrite"]
    command += ["--out", "out.mp4", "--jsonl", "out.jsonl", "--report", "run.json"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and frames_told(folder / "out.jsonl")[0] < 2:
        time.sleep(0.02)
    return process


def frames_told(path: Path) -> tuple[int, float]:
    """Frames in the JSON lines so far, and the time of the last one in seconds."""
    if not path.exists():
        return 0, 0.0
    lines = [line for line in path.read_bytes().split(b"\n")[:-1] if b'"frame"' in line]
    return len(lines), json.loads(lines[-1])["time_s"] if lines else 0.0


def frames_played(path: Path) -> tuple[int, float]:
    """Frames that decode, and the time of the last one in seconds."""
    with av.open(str(path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    return len(times), times[-1] if times else 0.0


def killed(clip: Path, model: str, folder: Path, delay_s: float) -> str | None:
    """What is wrong after a kill -9; None when all is well."""
    process = start(clip, model, folder)
    time.sleep(delay_s)
    if process.poll() is not None:
        return "the run ended before the kill: give a longer clip"
    process.kill()
    process.wait()
    told, last_told_s = frames_told(folder / "out.jsonl")
    played, last_played_s = frames_played(folder / "out.mp4")
    behind_s = last_told_s - last_played_s
    print(f"  killed after {delay_s:.2f} s: {told} frames detected, {played} play, {behind_s:.2f} s of video behind")
    return None if played and behind_s <= 2 else f"{behind_s:.2f} s behind"


def interrupted(clip: Path, model: str, folder: Path, delay_s: float, number: signal.Signals) -> str | None:
    """What is wrong after a signal; None when all is well."""
    process = start(clip, model, folder)
    time.sleep(delay_s)
    if process.poll() is not None:
        return "the run ended before the signal: give a longer clip"
    process.send_signal(number)
    code = process.wait(timeout=60)
    written = json.loads((folder / "run.json").read_text())["frames"]["written"]
    played, _ = frames_played(folder / "out.mp4")
    plain = b"moof" not in (folder / "out.mp4").read_bytes()
    print(f"  {number.name} after {delay_s:.2f} s: exit code {code}, {written} written, {played} play, plain: {plain}")
    return None if code == 130 and played == written and plain else "not as promised"


def main() -> None:
    """Run all endings and print how many were as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--model", default="street")
    parser.add_argument("--longest", type=float, default=4.0, help="longest time before the signal, in seconds")
    chosen = parser.parse_args()
    dice = random.Random(0)
    model = str(Path(chosen.model).resolve()) if Path(chosen.model).exists() else chosen.model
    failures = 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        good = 0
        for _ in range(chosen.times):
            delay_s = dice.uniform(0, chosen.longest)
            with tempfile.TemporaryDirectory() as name:
                if number == signal.SIGKILL:
                    problem = killed(chosen.clip, model, Path(name), delay_s)
                else:
                    problem = interrupted(chosen.clip, model, Path(name), delay_s, number)
            good += problem is None
            if problem:
                print(f"  FAILED: {problem}")
        failures += chosen.times - good
        print(f"{number.name}: {good} of {chosen.times}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
