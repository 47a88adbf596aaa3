"""The training loop: samples, step, check, log, evaluate, save."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamdet.detection.checkpoint import Model, ModelCard
from streamdet.detection.precision import Placement
from streamdet.detection.retinanet import RetinaNet
from streamdet.errors import StreamdetError, UsageError
from streamdet.training.arguments import check_same, run_arguments
from streamdet.training.cache import cache_budget
from streamdet.training.dataset import Dataset, LabelledImage
from streamdet.training.diagnosis import DivergedError, Watch, bad_step, note_of
from streamdet.training.distributed import Processes
from streamdet.training.evaluate import Scores, evaluation_detector, find_objects, score
from streamdet.training.learner import Learner
from streamdet.training.loader import Batch, SampleSet, batches
from streamdet.training.progress import Pace, Progress, StepResult
from streamdet.training.runs import RunFolder
from streamdet.training.schedule import TrainOptions

__all__ = ["Outcome", "Progress", "TrainOptions", "Trainer"]

LOG_EVERY_STEPS, LEAST_LOGGED = 10, 200
"""Every so many steps are logged; more often in runs that would have fewer rows than that."""
SAVE_EVERY_S = 60.0
SAVING_SHARE = 0.05
"""Saving the state may take this share of the time: a large network's is saved less often."""
NO_PRIOR = 0.5
"""Prior of a class head whose biases start from 0."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    scores: dict[str, Scores]
    """Of the last evaluation, per validation set."""
    stopped: bool = False
    """It was asked to stop before its end; its state is saved."""


class Trainer:
    """One run."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        network: RetinaNet,
        images: list[LabelledImage],
        validation: list[Dataset],
        options: TrainOptions,
        placement: Placement,
        *,
        processes: Processes | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """`network` starts the run; `placement` says where, and in which mixed precision; `about` goes into args.json.

        Raises UsageError when a batch can't be shared among the `processes`.
        """
        self.processes = processes or Processes()
        if options.batch_size % self.processes.count:
            raise UsageError(
                f"--batch is {options.batch_size}, which {self.processes.count} processes can't share evenly; give a "
                "multiple of their number"
            )
        self.files = RunFolder(folder, [each.name for each in validation], writes=self.processes.is_main)
        self.card = card
        self.options = options
        self.placement = placement
        self.validation = validation
        self.arguments = {**(about or {}), **run_arguments(card, options, images, validation, placement.precision)}
        self.steps = options.steps
        self.learner = Learner(card, network, options, placement, self.processes)
        self.watch = Watch(has_prior=card.config.prior < NO_PRIOR)
        self.step = 0
        self.best = -1.0
        self.samples = SampleSet(
            images,
            options.repeats,
            [size for size in options.step_sizes() for _ in range(options.accumulate)],
            options.batch_size,
            options.augment,
            options.seed,
            cache_bytes=cache_budget(options.cache, self.processes.count),
            share=(self.processes.rank, self.processes.count),
        )
        self._save_at = 0.0

    def run(self, show: Callable[[Progress], None], *, asked_to_stop: Callable[[], bool] = lambda: False) -> Outcome:
        """Train to the end, or to the end of the step in which `asked_to_stop` says so.

        Raises DivergedError when several steps in a row give no finite loss, or the loss grows without end.
        """
        options, first_step = self.options, self.step
        self.files.start(self.arguments, self.step)
        self._save_at = time.perf_counter() + SAVE_EVERY_S
        scores: dict[str, Scores] = {}
        pace = Pace()
        log_every = max(1, min(LOG_EVERY_STEPS, self.steps // LEAST_LOGGED))
        on_gpu = self.placement.device.type == "cuda"
        made = batches(self.samples, self.step * options.accumulate, options.workers, pin=on_gpu)
        with closing(made), closing(self.files):
            while self.step < self.steps:
                with pace.waiting():
                    taken = list(islice(made, options.accumulate))
                rate = options.rate(self.step)
                result = self.learner.learn(taken, self.step, rate, stop=asked_to_stop())
                self.step += 1
                pace.step_done(options.effective_batch)
                note = self._report_bad_step(taken, result, rate) if result.problem else ""
                self.watch.judge(self.step, rate, result, note, self._what_stands())
                evaluated = self.step % options.evaluate_every_steps == 0 or self.step == self.steps
                if evaluated:
                    scores = self.evaluate()
                speed = pace.look()  # images per second, share of waiting
                if evaluated or note or result.stop or self.step % log_every == 0:
                    self.files.log(self.step, result, rate, scores if evaluated else {}, speed[0])
                    pace.begin_anew()
                # After the log: killed between the two, the resumed run drops and repeats a row; it would lack it else.
                if evaluated:
                    self.save(scores)
                elif result.stop or time.perf_counter() > self._save_at:
                    self.save(None)
                counts, losses = (self.step, self.steps, first_step), (result.classification_loss, result.box_loss)
                show(Progress(*counts, *losses, rate, *speed, note, scores if evaluated else None))
                if result.stop and self.step < self.steps:
                    return Outcome(scores, stopped=True)
        return Outcome(scores)

    def _report_bad_step(self, taken: list[Batch], result: StepResult, rate: float) -> str:
        """Log the samples of a step that was skipped; a note that names the guilty ones."""
        own = bad_step(taken, self.learner.is_finite, self.card.class_names)
        samples = [sample for others in self.processes.gather(own) for sample in others]
        self.files.log_bad_step(self.step, result, rate, samples)
        return note_of(result.problem, samples)

    def _what_stands(self) -> str:
        return f"; {self.files.last_model} is from before" if self.files.last_model.exists() else ""

    def evaluate(self) -> dict[str, Scores]:
        """Scores of the averaged network on each validation set; every process looks at its part of the pictures."""
        model = Model(self.learner.averaged(), self.card, "")
        detector = evaluation_detector(model, Placement(self.placement.device, torch.float32))
        scores, count = {}, self.processes.count
        for dataset in self.validation:
            own = find_objects(detector, dataset.images[self.processes.rank :: count]).detections
            parts = self.processes.gather(own)
            found = [parts[place % count][place // count] for place in range(len(dataset.images))]
            scores[dataset.name] = score(dataset, found)
        return scores

    def save(self, scores: dict[str, Scores] | None) -> None:
        """Write the models, and the state that `resume` continues from; on the way, not while steps are bad.

        `scores`: of the present weights; None when they weren't evaluated. Raises DivergedError when the run ends with
        weights that are not finite.
        """
        at_end, finite = self.step == self.steps, self.learner.average.is_finite()
        if at_end and not finite:
            raise DivergedError(
                f"training diverged: the weights after its last step are not finite; lower the learning rate"
                f"{self._what_stands()}"
            )
        if not finite or (self.watch.bad_in_a_row and not at_end):
            return
        started = time.perf_counter()
        card = replace(self.card, metrics={name: each.to_json() for name, each in (scores or {}).items()})
        is_best = False
        if scores is not None:
            measured = [each.ap50 for each in scores.values() if np.isfinite(each.ap50)]
            mean_ap50 = float(np.mean(measured)) if measured else 0.0
            is_best = mean_ap50 >= self.best
            self.best = max(self.best, mean_ap50)
        self.files.save_models(self.learner.averaged(), card, best=is_best)
        own = {"step": self.step, "best": self.best, "watch": self.watch.state()}
        self.files.save_state({**own, **self.learner.state()})
        ended = time.perf_counter()
        self._save_at = ended + max(SAVE_EVERY_S, (ended - started) / SAVING_SHARE)

    def resume(self) -> None:
        """Go on from the run's last saved state.

        Raises StreamdetError when there is none that fits, UsageError when an option that matters has changed.
        """
        if self.files.arguments.exists() and self.files.state.exists():
            check_same(self.files.path, json.loads(self.files.arguments.read_text(encoding="utf-8")), self.arguments)
        state = self.files.load_state(self.placement.device)
        try:
            self.learner.restore(state)
            self.watch.restore(state["watch"])
            self.step, self.best = state["step"], state["best"]
        except (RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StreamdetError(
                f"the state in {self.files.path} is another run's ({reason}); give the options it was started with"
            ) from error
