"""The whole job against the loop that everybody writes first, on the same clip, in one run.

The plain loop: cv2.VideoCapture, torchvision's retinanet_resnet50_fpn_v2 in float32 (min_size 480, max_size 800),
cv2.rectangle, cv2.VideoWriter (mp4v). Ours: `streamdet run` with the same network and weights at --size 480x800.
Weights are random: both sides compute the same, whatever they find. Medians of several rounds, ours and plain in turn.

    python benchmarks/end_to_end.py [--frames 24] [--rounds 3] [--history]
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torchvision.models.detection import retinanet_resnet50_fpn_v2

from streamdet.cli.file_run import run_file
from streamdet.options import OTHERS, CommonOptions, RunOptions

HISTORY = Path(__file__).with_name("HISTORY.md")
SIZE = (1920, 1080)


def make_clip(path: Path, frames: int) -> None:
    """A 1080p H.264 clip with camera-like motion: textured background that pans, moving blocks, noise."""
    rng = np.random.default_rng(0)
    background = cv2.resize(rng.integers(40, 200, (270, 960, 3), np.uint8), (3840, 1080), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "21"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(frames):
            picture = background[:, 4 * index % 1900 :][:, : SIZE[0]].copy()
            for block in range(12):
                x, y = (97 * block + 11 * index) % 1800, (173 * block) % 980
                picture[y : y + 90, x : x + 110] = (30 * block % 255, 90, 200 - 12 * block)
            noisy = cv2.add(picture, rng.integers(0, 6, picture.shape, np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode(None))


def save_weights(path: Path) -> None:
    """Random weights as torchvision saves them, with a class prior low enough that few boxes come out."""
    torch.manual_seed(0)
    torch.save(retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict(), path)


def plain_loop(clip: Path, weights: Path, out: Path, frames: int) -> float:
    """Frames per second of the plain loop."""
    model = retinanet_resnet50_fpn_v2(weights=None, weights_backbone=None, min_size=480, max_size=800).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    with torch.inference_mode():
        model([torch.zeros(3, 1080, 1920)])  # warm
    capture = cv2.VideoCapture(str(clip))
    writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), SIZE)
    started = time.perf_counter()
    for _ in range(frames):
        _, image_bgr = capture.read()
        tensor = torch.from_numpy(image_bgr[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            found = model([tensor])[0]
        for box in found["boxes"][found["scores"] > 0.4].int().tolist():
            cv2.rectangle(image_bgr, tuple(box[:2]), tuple(box[2:]), (0, 255, 0), 2)
        writer.write(image_bgr)
    writer.release()
    return frames / (time.perf_counter() - started)


def our_run(clip: Path, weights: Path, folder: Path) -> tuple[float, dict[str, dict[str, float]], str]:
    """Frames per second of our run from its first frame on, its stages, and the precision it chose."""
    report = folder / "run.json"
    options = RunOptions(
        source=str(clip),
        out=folder / "ours.mp4",
        common=CommonOptions(report=report, model=str(weights), conf={OTHERS: 0.4}, size=(480, 800), overwrite=True),
    )
    if run_file(options) != 0:
        raise SystemExit("our run was not complete: no number")
    result = json.loads(report.read_text())
    return result["fps"], result["stages"], result["precision"]


def main() -> None:
    """Run both sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24, help="frames of the clip for ours")
    parser.add_argument("--plain-frames", type=int, default=6, help="frames that the plain loop takes per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--history", action="store_true", help="append a row to HISTORY.md")
    chosen = parser.parse_args()
    plain, ours, stages, precision = [], [], {}, ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, weights = folder / "clip.mp4", folder / "weights.pth"
        make_clip(clip, chosen.frames)
        save_weights(weights)
        for round_ in range(chosen.rounds):
            plain.append(plain_loop(clip, weights, folder / "plain.mp4", min(chosen.plain_frames, chosen.frames)))
            fps, stages, precision = our_run(clip, weights, folder)
            ours.append(fps)
            print(
                f"round {round_ + 1}: plain loop {plain[-1]:.2f} frames/s, "
                f"streamdet {fps:.2f}, ratio {fps / plain[-1]:.2f}"
            )
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"\n{'stage':12} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}   (of a batch for resize, network, postprocess)")
    for stage, times in stages.items():
        print(f"{stage:12}" + "".join(f" {times[key] * 1000:8.1f}" for key in ("p50_s", "p95_s", "p99_s")))
    print(
        f"\nmedian of {chosen.rounds}: plain {statistics.median(plain):.2f} frames/s, streamdet "
        f"{statistics.median(ours):.2f} frames/s ({precision}): {ratio:.2f} times as fast"
    )
    if chosen.history:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        network = stages["network"]
        row = [
            datetime.date.today().isoformat(),
            "end_to_end",
            f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads, {precision}",
            f"torch {torch.__version__}",
            commit.stdout.strip(),
            f"{statistics.median(plain):.2f}",
            f"{statistics.median(ours):.2f}",
            f"{ratio:.2f}",
            "/".join(f"{network[key] * 1000:.0f}" for key in ("p50_s", "p95_s", "p99_s")),
        ]
        with HISTORY.open("a") as file:
            file.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
