"""Ultralytics' side of against_ultralytics.py: runs under a Python that has `ultralytics`, and knows nothing of ours.

    python ultralytics_side.py CLIP NETWORK INPUT_SIDE BOXES

Prints a line of JSON about the network, then one for each line that it reads: a round over the whole clip.

The network is random. So that its boxes are like those of a trained one its batch norms take their statistics from the
clip, class scores are spread, boxes are made a few strides wide, and `conf` is chosen so that BOXES a frame are found.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import mean
from typing import Any

os.environ |= {"YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false", "YOLO_AUTOINSTALL": "false"}

import cv2
import torch
import ultralytics
from ultralytics.data.augment import LetterBox
from ultralytics.data.build import load_inference_source

STAGES = ("preprocess", "inference", "postprocess")
PROBED = 8
"""Frames, spread over the clip, that the network's statistics are taken from."""
LEAST_CONF = 0.001
"""Of the pass that all scores are taken from; `predict` keeps the best 300 boxes of a frame at most."""
LOGIT, SPREAD = -5.0, 1.0
"""Mean and deviation of class logits."""
BOX_SPREAD, BOX_STEP = 0.5, 0.5
"""Of the logits of a box's distances: their deviation, and by how much each is less likely than the one before, which
makes boxes of some 3 strides."""


class Side:
    """The pipeline `YOLO(...).predict(stream=True)`, its stages measured from outside."""

    def __init__(self, clip: str, network: str, input_side: int, boxes: int) -> None:
        torch.manual_seed(0)
        self._clip, self._input_side = clip, input_side
        self._yolo = ultralytics.YOLO(network)
        pictures = _pictures(clip)
        enliven(self._yolo.model, torch.cat([_tensor(picture, input_side) for picture in pictures]))
        self._cpu_s: dict[str, float] = {}
        self._conf = self._choose_conf(boxes)
        self._predictor = self._yolo.predictor
        for name in STAGES:
            # the network works in the calling thread: its time is that thread's, whatever decodes meanwhile
            clock = time.thread_time if name == "inference" else time.process_time
            setattr(self._predictor, name, self._measured(name, getattr(self._predictor, name), clock))

    def about(self) -> dict[str, Any]:
        """What ran."""
        versions = {"ultralytics": ultralytics.__version__, "torch": torch.__version__, "opencv": cv2.__version__}
        return {"versions": versions, "conf": self._conf}

    def round(self) -> dict[str, Any]:
        """CPU time per frame in ms of the whole, of each stage, and by Ultralytics' own `speed`; boxes per frame."""
        self._cpu_s = dict.fromkeys((*STAGES, "plot", "to YUV"), 0.0)
        boxes, speeds = [], []
        started = time.process_time()
        for result in self._predict(self._conf):
            before = time.process_time()
            drawn = result.plot()
            between = time.process_time()
            cv2.cvtColor(drawn, cv2.COLOR_BGR2YUV_I420)  # what encoders take, and ours is all along
            self._cpu_s["plot"] += between - before
            self._cpu_s["to YUV"] += time.process_time() - between
            boxes.append(len(result.boxes))
            speeds.append(result.speed)
        whole_s = time.process_time() - started
        count = len(boxes)
        cpu_ms = {name: seconds / count * 1000 for name, seconds in self._cpu_s.items()}
        return {
            "frames": count,
            "boxes": mean(boxes),
            "overhead_ms": whole_s / count * 1000 - cpu_ms["inference"],
            "cpu_ms": cpu_ms | {"decode": self._decode_ms()},
            "speed_ms": {name: mean(speed[name] for speed in speeds) for name in STAGES},
        }

    def _predict(self, conf: float) -> Any:
        return self._yolo.predict(
            self._clip, stream=True, conf=conf, imgsz=self._input_side, device="cpu", verbose=False, save=False
        )

    def _decode_ms(self) -> float:
        """Reading alone, by the loader that `predict` uses."""
        started = time.process_time()
        count = sum(1 for _ in load_inference_source(self._clip, batch=1))
        return (time.process_time() - started) / count * 1000

    def _measured(self, name: str, work: Callable[..., Any], clock: Callable[[], float]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            started = clock()
            done = work(*given, **options)
            self._cpu_s[name] = self._cpu_s.get(name, 0.0) + clock() - started
            return done

        return call

    def _choose_conf(self, boxes: int) -> float:
        """The score above which there are `boxes` objects a frame.

        A higher limit takes from what NMS keeps what lies below it, and nothing else: one pass tells all.
        """
        scores = [result.boxes.conf for result in self._predict(LEAST_CONF)]
        return conf_of(torch.cat(scores).tolist(), boxes * len(scores))


def conf_of(scores: list[float], count: int) -> float:
    """The score that `count` of them are above, or the least of them."""
    return sorted(scores, reverse=True)[min(count, len(scores) - 1)]


@torch.no_grad()
def enliven(network: Any, images: torch.Tensor) -> None:
    """Give a random network statistics, scores and boxes like those of a trained one."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    network(images)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.running_var.clamp_(min=float(norm.running_var.mean()) / 4)  # magnify no channel that is dead on the probe
    head = network.model[-1]
    outputs = [tower[-1] for tower in (*head.cv3, *head.cv2)]
    values: dict[Any, torch.Tensor] = {}
    hooks = [each.register_forward_hook(lambda module, _, out: values.update({module: out})) for each in outputs]
    network(images)
    for hook in hooks:
        hook.remove()
    for output in outputs:
        spread = SPREAD if output.out_channels == head.nc else BOX_SPREAD
        output.weight.mul_(spread / (values[output] - output.bias[:, None, None]).std())
    for tower in head.cv3:
        tower[-1].bias.fill_(LOGIT)
    for tower in head.cv2:
        tower[-1].bias.copy_((-BOX_STEP * torch.arange(head.reg_max)).repeat(4))


def _pictures(clip: str) -> list[Any]:
    """Some frames, (H, W, 3) uint8 BGR."""
    capture = cv2.VideoCapture(clip)
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = {round(place * (total - 1) / (PROBED - 1)) for place in range(PROBED)}
    frames = ((index, capture.read()[1]) for index in range(total))
    return [picture for index, picture in frames if index in wanted and picture is not None]


def _tensor(picture: Any, side: int) -> torch.Tensor:
    """(1, 3, H, W) as the network gets it from `predict`."""
    fitted = LetterBox((side, side), auto=True, stride=32)(image=picture)
    return torch.from_numpy(cv2.cvtColor(fitted, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None].float() / 255


def main() -> None:
    """Answer lines until there are no more."""
    torch.set_num_threads(1)  # threads that wait for each other spin: that would count as work
    answers, sys.stdout = sys.stdout, sys.stderr
    clip, network, input_side, boxes = sys.argv[1:]
    side = Side(clip, network, int(input_side), int(boxes))
    print(json.dumps(side.about()), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(side.round()), file=answers, flush=True)


if __name__ == "__main__":
    main()
