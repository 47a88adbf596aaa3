"""The mean of models' weights (Wortsman et al., arXiv 2203.05482): steps of training and where they began, say.

    python models/average.py A.safetensors B.safetensors [C.safetensors ...] --out MEAN.safetensors [--input 432x683]

A model that is given twice counts twice. All must be of the same network, classes and input, but for the sides of the
input where `--input` tells those that the mean scales pictures to. Class logits are averaged without calibration, and
the mean has none: `streamdet eval --calibrate --save` fits its scores. Its card is the first one's, without the
metrics, which are not its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError

from streamdet.detection.checkpoint import Model, load_model, save_model
from streamdet.detection.resize import PAD_MULTIPLE
from streamdet.errors import ModelError, StreamdetError, UsageError
from streamdet.options import parse_size
from streamdet.training.calibration import take_out_scaling


def averaged(models: Sequence[Model]) -> Model:
    """The mean of `models`, at least one. Takes over their networks: don't use them any more.

    Raises ModelError where they differ.
    """
    first = models[0]
    for model in models:
        for what in ("class_names", "config", "input_rule"):
            one, other = getattr(first.card, what), getattr(model.card, what)
            if one != other:
                raise ModelError(f"the models differ in {what}: {one} and {other}; give runs of one network")
        take_out_scaling(model.network, model.card.logit_scaling)
    weights = [model.network.state_dict() for model in models]
    with torch.no_grad():
        for name, tensor in weights[0].items():
            if tensor.is_floating_point():
                tensor.copy_(torch.stack([each[name] for each in weights]).mean(0))
    return replace(first, card=replace(first.card, logit_scaling=(1.0, 0.0), metrics={}))


def with_input(model: Model, size: tuple[int, int] | None) -> Model:
    """The model with these sides, in pixels, of what pictures are scaled to; None: with its own."""
    if size is None:
        return model
    rule = replace(model.card.input_rule, short_side=min(size), long_side=max(size))
    return replace(model, card=replace(model.card, input_rule=rule))


def main() -> int:
    """Read them, write the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--input", metavar="SHORTxLONG", help="sides that the mean scales pictures to")
    chosen = parser.parse_args()
    try:
        size = parse_size(chosen.input)
        if size is not None and min(size) < PAD_MULTIPLE:
            raise UsageError(f"the input size is {size[0]}x{size[1]}; each side needs at least {PAD_MULTIPLE} pixels")
        mean = averaged([with_input(load_model(path), size) for path in chosen.models])
        save_model(chosen.out, mean.network, mean.card)
    except StreamdetError as error:
        print(f"average: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, SafetensorError) as error:
        print(f"average: cannot write {chosen.out}: {error}; choose another place for --out", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
