"""The detector: pictures in, detections out, whatever the device and number format."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from streamdet.detection.anchors import anchors_per_level
from streamdet.detection.checkpoint import Model
from streamdet.detection.conversion import Layout, layout_of, planes_to_input, upload
from streamdet.detection.engines.making import EngineMaker
from streamdet.detection.engines.seam import Engine, check_engine_name
from streamdet.detection.models import find_model
from streamdet.detection.postprocess import ImageDetections, PostprocessRule, postprocess
from streamdet.detection.postprocess_batch import postprocess_batch, to_host
from streamdet.detection.precision import Placement, choose_placement
from streamdet.detection.resize import PAD_MULTIPLE, Fitting, InputRule, Picture, to_batch
from streamdet.detection.retinanet import HeadOutputs
from streamdet.detection.threads import one_thread
from streamdet.detection.weights import default_cache_dir
from streamdet.errors import UsageError
from streamdet.types import Detections

STAGES = ("resize", "copy", "network", "postprocess")
"""`copy`: from bytes to the network's normalised input, on its device."""
STAGES_ON_GPU = ("copy", "resize", "network", "postprocess")
"""Where the decoder's planes travel to the device, and are converted and resized there."""
MOST_REFORMATTERS = 16


class Detector:
    """A model, ready on a device. Make one with `Detector.load`; call it with a list of pictures.

    Attributes:
        card: what the model says about itself.
        placement: device and number format.
        seconds: time that the last call spent, by the names in `STAGES`.
        input_size_wh: width and height of the network's last input in pixels; None before the first call.
        engine: what computes the network; None where only the first pictures tell what is fastest.
        clock: what `seconds` is measured with.
        notes: what the user should know, a sentence each; whoever tells it may empty the list.
    """

    def __init__(
        self,
        model: Model,
        placement: Placement,
        *,
        input_rule: InputRule | None = None,
        rule: PostprocessRule | None = None,
        thresholds: tuple[float, ...] | None = None,
        class_names: Sequence[str] | None = None,
        engine: str = "torch",
        cache_dir: Path | None = None,
    ) -> None:
        """`thresholds`: least score to report per class logit (default: the card's); `class_names`: report only these.

        `engine`: auto, torch, winograd, openvino or openvino-int8; what it has to keep goes into `cache_dir`. `model`
        stays as it is: the detector works on a copy.

        Raises UsageError where the engine can't be had.
        """
        self.card = model.card
        self.sha256 = model.sha256
        self.placement = placement
        self.input_rule = input_rule or model.card.input_rule
        self._unwanted = _unwanted(model, class_names)
        self.set_thresholds(thresholds or tuple(model.card.threshold(name) for name in model.card.class_names))
        if rule is not None:
            self.rule = rule
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.clock: Callable[[], float] = time.perf_counter
        self.input_size_wh: tuple[int, int] | None = None
        self._reformatters: dict[Fitting, VideoReformatter] = {}
        self._maker = EngineMaker(model, placement, engine, cache_dir or default_cache_dir())
        self.engine: Engine | None = self._maker.ready
        self.notes = self._maker.notes

    @classmethod
    def load(
        cls,
        model: str | Path = "street",
        *,
        device: str = "auto",
        precision: str = "auto",
        size: tuple[int, int] | None = None,
        conf: float | None = None,
        classes: Sequence[str] | None = None,
        engine: str = "auto",
        cache_dir: Path | None = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Detector:
        """A detector from a model's name or file.

        `model`: "street" (shipped), "coco-r50", "coco-r50-v2" (fetched on first use into `cache_dir`, telling
        `progress` the bytes done and in all), a `.safetensors` of ours, a run's folder, or a RetinaNet of
        torchvision's (`.pth`).
        `size`: short and long side in pixels that pictures are scaled to. `conf`: least score for every class, in place
        of the model's own thresholds. `classes`: report only these names. `engine`: what computes the network: torch,
        winograd, openvino, openvino-int8, or auto: the fastest of the first three, measured at first use and then
        remembered.

        Raises ModelError when the model can't be found, fetched or loaded, UsageError for a wrong argument.
        """
        if size is not None and min(size) < PAD_MULTIPLE:
            raise UsageError(f"the input size is {size[0]}x{size[1]}; each side needs at least {PAD_MULTIPLE} pixels")
        if conf is not None and not 0 < conf < 1:
            raise UsageError(f"the confidence is {conf}; give a number between 0 and 1")
        check_engine_name(engine)
        placement = choose_placement(device, precision)
        found = find_model(model, cache_dir=cache_dir, progress=progress)
        rule = found.card.input_rule
        if size is not None:
            rule = replace(rule, short_side=min(size), long_side=max(size))
        thresholds = None if conf is None else (conf,) * len(found.card.class_names)
        return cls(
            found,
            placement,
            input_rule=rule,
            thresholds=thresholds,
            class_names=classes,
            engine=engine,
            cache_dir=cache_dir,
        )

    def set_thresholds(self, thresholds: Sequence[float]) -> None:
        """From the next call on report what scores above these, one per class logit; any thread."""
        least = np.array(thresholds, np.float32)
        least[self._unwanted] = np.inf
        self.rule = PostprocessRule(min(float(least.min(initial=1.0)), 0.999), voting=self.card.voting)
        self.thresholds = least

    def __call__(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Detections of each picture, in its own pixels.

        Pictures may differ in size: those that fit the same input share a batch, so that neighbours never change a
        picture's boxes.
        """
        kinds = [(self.input_rule.fit(*_size(picture)), self._layout(picture)) for picture in pictures]
        results: list[Detections | None] = [None] * len(pictures)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        for kind in dict.fromkeys(kinds):
            places = [place for place, other in enumerate(kinds) if other == kind]
            for place, found in zip(places, self._batch([pictures[place] for place in places], *kind), strict=True):
                results[place] = self._to_source(found, kind[0])
        return [result for result in results if result is not None]

    def _batch(self, pictures: list[Picture], fitting: Fitting, layout: Layout | None) -> list[ImageDetections]:
        self.input_size_wh = (fitting.padded_width, fitting.padded_height)
        marks = [self.clock()]
        with torch.inference_mode():
            if layout is None:
                stages, images = STAGES, self._input_by_host(pictures, fitting, marks)
            else:
                stages, images = STAGES_ON_GPU, self._input_by_device(pictures, fitting, layout, marks)
            marks.append(self._now())
            if self.engine is None:
                self.engine = self._maker.make(images)
                marks = [self.clock() - (marks[-1] - mark) for mark in marks]  # choosing is no part of the work
            outputs = self.engine(images)
            marks.append(self._now())
            with one_thread():
                found = to_host(self._postprocess(outputs, fitting))
            marks.append(self._now())
        for stage, begun, ended in zip(stages, marks, marks[1:], strict=False):
            self.seconds[stage] += ended - begun
        return found

    def _layout(self, picture: Picture) -> Layout | None:
        """How the device reads the picture; None where the host makes the network's input."""
        on_gpu = self.placement.device.type == "cuda" and not self.input_rule.exact
        return layout_of(picture) if on_gpu else None

    def _input_by_host(self, pictures: list[Picture], fitting: Fitting, marks: list[float]) -> Tensor:
        exact, reformatter = self.input_rule.exact, self._reformatter(fitting)
        scaled = [fitting.resize(picture, exact=exact, reformatter=reformatter) for picture in pictures]
        marks.append(self.clock())
        with one_thread():
            return to_batch(scaled, fitting, self.input_rule, self.placement.device)

    def _input_by_device(self, pictures: list[Picture], fitting: Fitting, layout: Layout, marks: list[float]) -> Tensor:
        planes = upload(pictures, layout, self.placement.device)
        marks.append(self._now())
        return planes_to_input(planes, fitting, self.input_rule)

    def _postprocess(self, outputs: list[HeadOutputs], fitting: Fitting) -> list[ImageDetections]:
        device = self.placement.device
        anchors = anchors_per_level(self.card.config.anchors, fitting.padded_height, fitting.padded_width, device)
        least = torch.from_numpy(self.thresholds).to(device)
        batch = postprocess_batch if device.type == "cuda" else postprocess
        return [
            found
            for heads in outputs
            for found in batch(heads, anchors, fitting.height, fitting.width, self.rule, least)
        ]

    def _now(self) -> float:
        """The clock, once the device has done its work."""
        if self.placement.device.type == "cuda":
            torch.cuda.synchronize(self.placement.device)
        return self.clock()

    def _reformatter(self, fitting: Fitting) -> VideoReformatter:
        """The scaler for this fitting; a stream has one, a folder of photographs may have many."""
        if fitting not in self._reformatters and len(self._reformatters) >= MOST_REFORMATTERS:
            self._reformatters.clear()
        return self._reformatters.setdefault(fitting, VideoReformatter())

    def _to_source(self, found: ImageDetections, fitting: Fitting) -> Detections:
        return Detections(
            fitting.boxes_to_source(found.boxes.numpy()),
            found.scores.numpy(),
            found.class_ids.numpy(),
            self.card.class_names,
        )


def _size(picture: Picture) -> tuple[int, int]:
    """Width and height in pixels."""
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size or picture.dtype != np.uint8:
            raise UsageError(
                f"a picture has shape {picture.shape} and dtype {picture.dtype}; give (height, width, 3) uint8 RGB"
            )
        return picture.shape[1], picture.shape[0]
    return picture.width, picture.height


def _unwanted(model: Model, class_names: Sequence[str] | None) -> list[int]:
    """Class logits that are not to be reported."""
    card = model.card
    hidden = list(card.hidden_class_ids)
    if class_names is None:
        return hidden
    known = [name for class_id, name in enumerate(card.class_names) if class_id not in card.hidden_class_ids]
    for name in class_names:
        if name not in known:
            raise UsageError(f"{card.name} knows no class {name!r}; it knows {', '.join(known)}")
    return hidden + [class_id for class_id, name in enumerate(card.class_names) if name not in class_names]


def is_out_of_memory(error: BaseException) -> bool:
    """True when `error` says that the device's or the host's memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
