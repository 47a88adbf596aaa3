"""Render our own parking lot, seen from a mast, with exact ground truth.

python samples/render_parking.py clip --out samples/parking.mp4 --seed 0
python samples/render_parking.py frames --out DIR --count 300 --seed 1000
python samples/render_parking.py frames --out DIR --count 200 --seed 100 --sample-camera
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from parking_raster import Bytes
from parking_scene import CATEGORIES, Truth
from parking_stage import add_passers_by, random_scene, random_view, sample_scene

FPS, SECONDS = 15, 13
TICKS_PER_FRAME = 1024
"""Of the clip's time base, 1 / (FPS * 1024)."""
VIEWS_PER_SCENE = 4


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    clip = verbs.add_parser("clip", help="the sample clip and its truth beside it (same name, .json)")
    clip.add_argument("--out", type=Path, required=True)
    clip.add_argument("--seed", type=int, default=0)
    clip.add_argument("--frames", type=int, default=FPS * SECONDS, help="stop after so many frames")
    frames = verbs.add_parser("frames", help="a training set: DIR/images/*.jpg and DIR/train.json")
    frames.add_argument("--out", type=Path, required=True)
    frames.add_argument("--count", type=int, default=300)
    frames.add_argument("--seed", type=int, default=1000)
    which = frames.add_mutually_exclusive_group()
    which.add_argument("--busy", action="store_true", help="more people, in groups too, and cyclists")
    which.add_argument("--sample-camera", action="store_true", help="what the clip's camera sees, on other days")
    options = parser.parse_args()
    if options.verb == "clip":
        render_clip(options.out, options.seed, options.frames)
    else:
        looks = looks_of_sample_camera() if options.sample_camera else looks_anywhere(options.busy)
        render_frames(options.out, options.count, options.seed, looks)


def annotation(number: int, image_id: int, truth: Truth) -> dict[str, Any]:
    """COCO's form of a truth; box x, y, width, height in pixels."""
    x0, y0, x1, y1 = truth.box_xyxy
    box = [round(v, 1) for v in (x0, y0, x1 - x0, y1 - y0)]
    return {
        "id": number, "image_id": image_id, "category_id": truth.category, "bbox": box,
        "area": round(box[2] * box[3], 1), "iscrowd": int(truth.ignored), "instance_id": truth.ident,
        "visible": round(truth.visible, 2),
    }  # fmt: skip


def categories() -> list[dict[str, Any]]:
    """The six street classes."""
    return [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, 1)]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Tight JSON."""
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def render_clip(out: Path, seed: int, count: int) -> None:
    """H.264 in mp4 and, beside it, the truth of every frame."""
    view, light_at = sample_scene(seed)
    size = view.camera.width, view.camera.height
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def pictures() -> Iterable[Bytes]:
        for i in range(count):
            t = i / FPS
            picture, truths = view.frame(t, light_at(t), i)
            image = {"id": i + 1, "index": i, "pts": i * TICKS_PER_FRAME, "time_s": round(t, 9)}
            images.append(image | {"width": size[0], "height": size[1]})
            for truth in truths:
                annotations.append(annotation(len(annotations) + 1, i + 1, truth))
            print(f"\r{i + 1}/{count} frames", end="", flush=True)
            yield picture

    part = out.with_name(f"{out.stem}.part{out.suffix}")  # a clip in use stays whole until the new one is
    encode(part, size, pictures())
    part.replace(out)
    print()
    cars = {a["instance_id"] for a in annotations if a["category_id"] == 3}
    info = {
        "description": "rendered parking lot, exact boxes of what is visible; no 'visible' means at least 0.9",
        "seed": seed,
        "width": size[0],
        "height": size[1],
        "fps": FPS,
        "frames": count,
        "time_base": [1, FPS * TICKS_PER_FRAME],
        "cars": len(cars),
    }
    for a in annotations:  # what pays for itself in a file that is committed
        del a["area"]
        a["bbox"] = [int(v) if v == int(v) else v for v in a["bbox"]]
        if a["visible"] >= 0.9:
            del a["visible"]
    content = {"info": info, "categories": categories(), "images": images, "annotations": annotations}
    write_json(out.with_suffix(".json"), content)


def encode(out: Path, size: tuple[int, int], pictures: Iterable[Bytes]) -> None:
    """BGR pictures to H.264, yuv420p, BT.709, no B-frames, index at the file's head."""
    with av.open(str(out), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"crf": "22", "preset": "slow", "bf": "0", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, FPS * TICKS_PER_FRAME)
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 1
        stream.codec_context.color_primaries, stream.codec_context.color_trc = 1, 1
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = i * TICKS_PER_FRAME, stream.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class Look:
    """A picture (H, W, 3) BGR, its truth, what the light is called, and a JPEG quality."""

    picture: Bytes
    truths: list[Truth]
    light: str
    quality: int


Looks = Callable[[int], Iterator[Look]]
"""Endless looks at the lot of a seed."""


def looks_anywhere(busy: bool) -> Looks:
    """From any camera, in any light, 640x360."""

    def looks(seed: int) -> Iterator[Look]:
        scene = random_scene(seed)
        if busy:
            add_passers_by(scene, seed)
        rng = np.random.default_rng(seed + 5_000_000)
        while True:
            view, light, kind = random_view(scene, rng, (640, 360))
            index, softness = int(rng.integers(1000)), float(rng.uniform(0.3, 0.9))
            yield Look(*view.frame(0.0, light, index, softness=softness), kind, int(rng.integers(62, 93)))

    return looks


def looks_of_sample_camera() -> Looks:
    """At any time of the sample clip's play, but with other cars and people, 1280x720."""

    def looks(seed: int) -> Iterator[Look]:
        view, light_at = sample_scene(seed)
        rng = np.random.default_rng(seed + 6_000_000)
        while True:
            index = int(rng.integers(FPS * SECONDS))
            yield Look(*view.frame(index / FPS, light_at(index / FPS), index), "dusk", 92)

    return looks


def render_frames(out: Path, count: int, first_seed: int, looks: Looks) -> None:
    """Pictures, and their truth in the form of our training data."""
    folder = out / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for seed in range(first_seed, first_seed + -(-count // VIEWS_PER_SCENE)):
        for look in islice(looks(seed), min(VIEWS_PER_SCENE, count - len(images))):
            number = len(images) + 1
            name = f"parking_{seed:06d}_{number:05d}_{look.light}.jpg"
            cv2.imwrite(str(folder / name), look.picture, [cv2.IMWRITE_JPEG_QUALITY, look.quality])
            rows, columns, _ = look.picture.shape
            images.append(
                {"id": number, "file_name": name, "width": columns, "height": rows, "source": "parking_render",
                 "group": f"parking_{seed:06d}", "labelled_category_ids": [1, 2, 3, 4, 5, 6]}
            )  # fmt: skip
            annotations += [annotation(len(annotations) + k, number, t) for k, t in enumerate(look.truths, 1)]
            print(f"\r{number}/{count} pictures", end="", flush=True)
    print()
    write_json(out / "train.json", {"categories": categories(), "images": images, "annotations": annotations})


if __name__ == "__main__":
    main()
