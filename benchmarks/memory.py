"""Does memory stay flat over a long 1080p clip? Prints the resident memory of a run as it goes.

python benchmarks/memory.py [--frames 15000] [--size 96x160]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from end_to_end import make_clip


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def main() -> None:
    """Make the clip, run over it, print samples, the peak, and the growth after the first tenth of the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=15_000, help="10 minutes at 25 frames/s")
    parser.add_argument("--size", default="96x160", help="of the network's input: small, so that video dominates")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        piece = folder / "piece.mp4"
        make_clip(piece, 250)
        clip = repeat(piece, folder / "clip.mp4", chosen.frames // 250)
        command = [sys.executable, "-m", "streamdet", "run", str(clip), "--size", chosen.size, "--out", "out.mp4"]
        process = subprocess.Popen(command, cwd=folder)
        started, samples = time.perf_counter(), []
        while process.poll() is None:
            samples.append((time.perf_counter() - started, resident_mib(process.pid)))
            if len(samples) % 30 == 0:
                print(f"{samples[-1][0]:6.0f} s  {samples[-1][1]:7.0f} MiB", flush=True)
            time.sleep(1)
    samples = [sample for sample in samples if sample[1]]
    settled = [mib for seconds, mib in samples if seconds > samples[-1][0] / 10]
    quarter = max(1, len(settled) // 4)
    first, last = sum(settled[:quarter]) / quarter, sum(settled[-quarter:]) / quarter
    print(
        f"exit code {process.returncode}, peak {max(mib for _, mib in samples):.0f} MiB, "
        f"first quarter {first:.0f} MiB, last quarter {last:.0f} MiB: {last - first:+.0f} MiB"
    )


def repeat(piece: Path, target: Path, times: int) -> Path:
    """`piece` many times over in one file, without encoding again."""
    import av

    with av.open(str(target), "w") as out:
        stream = None
        for turn in range(times):
            with av.open(str(piece)) as source:
                template = source.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(template)
                length = template.duration
                for packet in source.demux(template):
                    if packet.dts is None:
                        continue
                    packet.pts += turn * length
                    packet.dts += turn * length
                    packet.stream = stream
                    out.mux(packet)
    return target


if __name__ == "__main__":
    main()
