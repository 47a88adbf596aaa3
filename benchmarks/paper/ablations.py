"""What is compared: the paper's Tables 1a to 1e and 3 (arXiv 1708.02002), in small, with the paper's own numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamdet.training.losses import LossRule

ONE_RATIO, THREE_RATIOS = (1.0,), (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Configuration:
    """A network and a way to train it. What isn't said is the same for all; see `run.py`."""

    name: str
    """Of its folder."""
    loss: LossRule = field(default_factory=LossRule)
    prior: float = 0.01
    """0.5: none, the biases of the class head start from 0."""
    scales: int = 3
    """Anchors per octave."""
    ratios: tuple[float, ...] = THREE_RATIOS
    height: int = 256
    width: int = 352
    backbone: str = "mobilenet_v2"
    unprotected: bool = False
    """As in the paper: SGD at 0.01, no clipping, no norms in the heads. With ours almost any start is survived."""


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    label: str
    configuration: Configuration
    paper: str
    """AP / AP50 / AP75 on COCO, as published."""


@dataclass(frozen=True)
class Claim:
    """What the paper found: the first of two configurations is better, or as good."""

    sentence: str
    first: Configuration
    second: Configuration
    metric: str = "AP"
    equal: bool = False


@dataclass(frozen=True)
class Table:
    """An ablation."""

    key: str
    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    has_sizes: bool = False
    """Show AP by the objects' sizes, and time."""


FOCAL = Configuration("focal")
CE = Configuration("ce", LossRule("ce"))
BALANCED = {
    alpha: Configuration(f"ce-alpha{alpha}", LossRule("balanced-ce", alpha=alpha)) for alpha in (0.25, 0.75, 0.9)
}
BEST_CE = BALANCED[0.75]
PLAIN_CE = Configuration("ce-plain", LossRule("ce"), unprotected=True)
PLAIN_CE_NO_PRIOR = Configuration("ce-plain-noprior", LossRule("ce"), prior=0.5, unprotected=True)
GAMMAS = {
    gamma: Configuration(f"focal-gamma{gamma}", LossRule(gamma=gamma, alpha=alpha))
    for gamma, alpha in ((0.5, 0.5), (1.0, 0.25), (5.0, 0.25))
}
FOCAL_STAR = Configuration("focal-star", LossRule("focal-star"))
ANCHORS = {
    (scales, len(ratios)): Configuration(f"anchors-{scales}x{len(ratios)}", scales=scales, ratios=ratios)
    for scales, ratios in ((1, ONE_RATIO), (3, ONE_RATIO), (1, THREE_RATIOS), (2, THREE_RATIOS), (4, THREE_RATIOS))
}
OHEM = Configuration("ohem-128", LossRule("ohem"))
OHEM_512 = Configuration("ohem-512", LossRule("ohem", ohem_examples=512))
OHEM_NMS7 = Configuration("ohem-128-nms0.7", LossRule("ohem", ohem_nms=0.7))
OHEM_RATIO = Configuration("ohem-128-1to3", LossRule("ohem", ohem_negatives=3))
SMALL_INPUT = Configuration("input-160", height=160, width=224)
LARGE_INPUT = Configuration("input-352", height=352, width=480)
RESNETS = {depth: Configuration(f"resnet{depth}", backbone=f"resnet{depth}") for depth in (18, 34, 50)}

TABLES = (
    Table(
        "loss",
        "Loss and alpha (Table 1a; the first two rows: section 4.1, with SGD, no clipping, no norms in the heads)",
        (
            Row("CE without the prior, unprotected", PLAIN_CE_NO_PRIOR, "diverges"),
            Row("CE with the prior, unprotected", PLAIN_CE, "30.2"),
            Row("CE", CE, "30.2"),
            Row("balanced CE, alpha 0.25", BALANCED[0.25], "10.8 / 16.0 / 11.7"),
            Row("balanced CE, alpha 0.75", BALANCED[0.75], "31.1 / 49.4 / 33.0"),
            Row("balanced CE, alpha 0.90", BALANCED[0.9], "30.8 / 49.7 / 32.3"),
            Row("focal, gamma 2, alpha 0.25", FOCAL, "34.0 / 52.5 / 36.5"),
        ),
        (
            Claim("focal loss is above balanced CE", FOCAL, BEST_CE),
            Claim("balanced CE is above CE", BEST_CE, CE),
            Claim("alpha 0.75 is above 0.25", BEST_CE, BALANCED[0.25]),
        ),
    ),
    Table(
        "gamma",
        "Gamma (Table 1b), and FL* (Table 3)",
        (
            Row("gamma 0, alpha 0.75 (balanced CE)", BEST_CE, "31.1 / 49.4 / 33.0"),
            Row("gamma 0.5, alpha 0.50", GAMMAS[0.5], "32.9 / 51.7 / 35.2"),
            Row("gamma 1, alpha 0.25", GAMMAS[1.0], "33.7 / 52.0 / 36.2"),
            Row("gamma 2, alpha 0.25", FOCAL, "34.0 / 52.5 / 36.5"),
            Row("gamma 5, alpha 0.25", GAMMAS[5.0], "32.2 / 49.6 / 34.8"),
            Row("FL*, gamma 2, beta 1", FOCAL_STAR, "33.8 / 52.7 / 36.3"),
        ),
        (
            Claim("gamma 2 is above 0.5", FOCAL, GAMMAS[0.5]),
            Claim("gamma 2 is above 5", FOCAL, GAMMAS[5.0]),
            Claim("FL* is as good as focal loss", FOCAL_STAR, FOCAL, equal=True),
        ),
    ),
    Table(
        "anchors",
        "Anchors per cell: scales x ratios (Table 1c)",
        (
            Row("1 x 1", ANCHORS[1, 1], "30.3 / 49.0 / 31.8"),
            Row("3 x 1", ANCHORS[3, 1], "31.8 / 49.4 / 33.7"),
            Row("1 x 3", ANCHORS[1, 3], "32.4 / 52.3 / 33.9"),
            Row("2 x 3", ANCHORS[2, 3], "34.2 / 53.1 / 36.5"),
            Row("3 x 3", FOCAL, "34.0 / 52.5 / 36.5"),
            Row("4 x 3", ANCHORS[4, 3], "33.8 / 52.1 / 36.2"),
        ),
        (
            Claim("3 x 3 is above 1 x 1", FOCAL, ANCHORS[1, 1]),
            Claim("2 x 3 is as good as 3 x 3", ANCHORS[2, 3], FOCAL, equal=True),
            Claim("4 x 3 is no better than 3 x 3", ANCHORS[4, 3], FOCAL, equal=True),
        ),
    ),
    Table(
        "ohem",
        "Hard example mining against focal loss (Table 1d, R101)",
        (
            Row("OHEM, 128 examples, NMS 0.7", OHEM_NMS7, "31.1 / 47.2 / 33.2"),
            Row("OHEM, 128 examples, NMS 0.5", OHEM, "32.8 / 50.3 / 35.1"),
            Row("OHEM, 512 examples, NMS 0.5", OHEM_512, "27.6 / 42.0 / 29.2"),
            Row("OHEM 1:3, 128 examples, NMS 0.5", OHEM_RATIO, "31.1 / 47.2 / 33.2"),
            Row("focal, gamma 2, alpha 0.25", FOCAL, "36.0 / 54.9 / 38.7"),
        ),
        (
            Claim("focal loss is above OHEM", FOCAL, OHEM),
            Claim("OHEM without a ratio is above 1:3", OHEM, OHEM_RATIO),
        ),
    ),
    Table(
        "scale",
        "Size of the input against speed (Table 1e, R50 at 400, 600 and 800 pixels)",
        (
            Row("160 x 224", SMALL_INPUT, "30.5 / 47.8 / 32.7; S 11.2, M 33.8, L 46.1; 64 ms"),
            Row("256 x 352", FOCAL, "34.3 / 53.2 / 36.9; S 16.2, M 37.4, L 47.4; 98 ms"),
            Row("352 x 480", LARGE_INPUT, "35.7 / 55.0 / 38.5; S 18.9, M 38.9, L 46.3; 153 ms"),
        ),
        (
            Claim("a larger input is better", LARGE_INPUT, FOCAL),
            Claim("a smaller input is worse", FOCAL, SMALL_INPUT),
            Claim("small objects gain from a larger input", LARGE_INPUT, SMALL_INPUT, "AP_small"),
        ),
        has_sizes=True,
    ),
    Table(
        "depth",
        "Backbone (NVIDIA's retinanet-examples at 800 pixels: the paper has no ResNet below 50)",
        (
            Row("MobileNetV2", FOCAL, "33.3"),
            Row("ResNet-18", RESNETS[18], "31.8"),
            Row("ResNet-34", RESNETS[34], "34.3"),
            Row("ResNet-50", RESNETS[50], "35.8"),
        ),
        (
            Claim("ResNet-34 is above ResNet-18", RESNETS[34], RESNETS[18]),
            Claim("ResNet-50 is above ResNet-34", RESNETS[50], RESNETS[34]),
        ),
        has_sizes=True,
    ),
)


def chosen_tables(keys: list[str]) -> list[Table]:
    """The tables of these keys, all for none, in the paper's order. Raises SystemExit naming an unknown key."""
    known = [table.key for table in TABLES]
    if unknown := [key for key in keys if key not in known]:
        raise SystemExit(f"--only names {', '.join(unknown)}; choose among {', '.join(known)}")
    return [table for table in TABLES if not keys or table.key in keys]


def configurations_of(tables: list[Table]) -> list[Configuration]:
    """All that must be trained for some tables, each once."""
    return list({row.configuration.name: row.configuration for table in tables for row in table.rows}.values())
