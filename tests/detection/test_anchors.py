from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import _default_anchorgen

from streamdet.detection.anchors import AnchorRule, anchors_per_level, level_shapes

CPU = torch.device("cpu")
THEIRS = AnchorRule(torchvision=True)
OURS = AnchorRule()
# Anchors of the padded input, 9 per cell: reference sheet, 5c.
TOTALS = {
    (800, 1344): 201_600,
    (768, 1344): 193_374,
    (800, 800): 120_087,
    (608, 1024): 116_712,
    (640, 640): 76_725,
    (512, 512): 49_104,
    (480, 864): 77_805,
    (736, 1280): 176_580,
    (1088, 1920): 391_365,
    (224, 224): 9_441,
}


def of_torchvision(generator: AnchorGenerator, height: int, width: int) -> torch.Tensor:
    features = [torch.empty(1, 1, *shape) for shape in level_shapes(height, width)]
    (anchors,) = generator(ImageList(torch.empty(1, 3, height, width), [(height, width)]), features)
    return anchors


@pytest.mark.parametrize(("height", "width"), [(800, 1344), (768, 1344), (640, 640), (96, 160), (32, 32), (1088, 608)])
def test_equal_to_torchvisions_generator(height: int, width: int) -> None:
    ours = torch.cat(anchors_per_level(THEIRS, height, width, CPU))
    assert torch.equal(ours, of_torchvision(_default_anchorgen(), height, width))


def test_equal_to_torchvisions_generator_with_other_sizes() -> None:
    rule = AnchorRule((16, 32, 64, 128, 256), (1.0, 1.5), (0.25, 1.0, 3.0), torchvision=True)
    generator = AnchorGenerator(tuple((side, int(side * 1.5)) for side in rule.base_sides), ((0.25, 1.0, 3.0),) * 5)
    assert torch.equal(torch.cat(anchors_per_level(rule, 128, 224, CPU)), of_torchvision(generator, 128, 224))


@pytest.mark.parametrize(("size", "total"), TOTALS.items())
def test_totals(size: tuple[int, int], total: int) -> None:
    assert 9 * sum(height * width for height, width in level_shapes(*size)) == total


def test_cells_of_torchvision() -> None:
    cells = THEIRS.cell_anchors(0)
    half_sides = [(23, 11), (28, 14), (35, 18), (16, 16), (20, 20), (25, 25), (11, 23), (14, 28), (18, 35)]
    assert cells[:, 2:].tolist() == [list(map(float, sides)) for sides in half_sides]
    assert torch.equal(cells[:, :2], -cells[:, 2:])
    assert THEIRS.cell_anchors(4)[0].tolist() == [-362, -181, 362, 181]


def test_strides_of_torchvision_differ_where_levels_do_not_divide_the_input() -> None:
    levels = anchors_per_level(THEIRS, 800, 1344, CPU)
    centres = (levels[3][:, :2] + levels[3][:, 2:]) / 2
    shape = level_shapes(800, 1344)[3]
    grid = centres.reshape(*shape, 9, 2)[:, :, 3]
    assert (grid[0, 1] - grid[0, 0]).tolist() == [64, 0]
    assert (grid[1, 0] - grid[0, 0]).tolist() == [0, 61]


def test_our_own_rule_puts_unrounded_anchors_amid_the_cells() -> None:
    sides = [(32, 40.3175, 50.7968), (64, 80.6349, 101.5937), (128, 161.2699, 203.1873)]
    for level, (stride, expected) in enumerate(zip((8, 16, 32), sides, strict=True)):
        anchors = anchors_per_level(OURS, 64, 96, CPU)[level].reshape(64 // stride, 96 // stride, 9, 4)
        sizes = anchors[..., 2:] - anchors[..., :2]
        torch.testing.assert_close(sizes.prod(dim=-1).sqrt()[0, 0, :3], torch.tensor(expected))
        torch.testing.assert_close((sizes[..., 1] / sizes[..., 0])[0, 0, ::3], torch.tensor([0.5, 1.0, 2.0]))
        centres = (anchors[..., :2] + anchors[..., 2:]) / 2
        torch.testing.assert_close(centres[1, 0, 4], torch.tensor([0.5 * stride, 1.5 * stride]))
        torch.testing.assert_close(centres[0, 1, 4], torch.tensor([1.5 * stride, 0.5 * stride]))


def test_made_once_and_usable_for_training() -> None:
    with torch.inference_mode():
        made = anchors_per_level(AnchorRule(ratios=(0.7,)), 64, 64, CPU)
    assert not made[0].is_inference()
    assert anchors_per_level(AnchorRule(ratios=(0.7,)), 64, 64, CPU) is made


@pytest.mark.parametrize(
    "wrong", [{"base_sides": (32.0, 64.0)}, {"scales": ()}, {"ratios": (1.0, -1.0)}, {"scales": (0.0,)}]
)
def test_wrong_rules_are_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="base_sides"):
        AnchorRule(**wrong)  # type: ignore[arg-type]
