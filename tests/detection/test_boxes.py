from __future__ import annotations

import math

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image

from streamdet.detection.boxes import MAX_LOG_SCALE, clip, decode, encode

CODER = BoxCoder((1.0, 1.0, 1.0, 1.0))


def random_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 1000
    return torch.cat((corners, corners + 20 + torch.rand(count, 2, generator=generator) * 500), dim=1)


def test_vectors_of_the_reference() -> None:
    anchor = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    deltas = encode(torch.tensor([[8.0, 4.0, 40.0, 68.0]]), anchor)
    torch.testing.assert_close(deltas, torch.tensor([[0.25, 0.625, 0.0, 0.693147]]))
    decoded = decode(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), anchor)
    torch.testing.assert_close(decoded, torch.tensor([[-984.0, -984.0, 1016.0, 1016.0]]))
    assert pytest.approx(math.log(1000 / 16)) == MAX_LOG_SCALE


def test_equal_to_torchvisions_coder() -> None:
    boxes, anchors = random_boxes(500, 0), random_boxes(500, 1)
    torch.testing.assert_close(encode(boxes, anchors), CODER.encode_single(boxes, anchors))
    deltas = torch.randn(500, 4, generator=torch.Generator().manual_seed(2)) * 3
    torch.testing.assert_close(decode(deltas, anchors), CODER.decode_single(deltas, anchors), atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_deltas_are_decoded_in_float32(dtype: torch.dtype) -> None:
    anchors = torch.tensor([[1800.0, 1000.0, 1832.0, 1032.0]])
    deltas = torch.tensor([[0.0625, 0.03125, 0.0, 0.0]], dtype=dtype)
    assert decode(deltas, anchors).dtype == torch.float32
    assert decode(deltas, anchors).tolist() == [[1802.0, 1001.0, 1834.0, 1033.0]]  # steps of 1 or 8 px in half


def test_clip() -> None:
    boxes = torch.cat((random_boxes(100, 3) - 300, torch.tensor([[-10.0, -20.0, 2000.0, 3000.0]])))
    assert torch.equal(clip(boxes, 480, 640), clip_boxes_to_image(boxes, (480, 640)))
    assert clip(boxes, 480, 640)[-1].tolist() == [0, 0, 640, 480]


def test_extreme_deltas_stay_finite() -> None:
    anchors = random_boxes(4, 4)
    deltas = torch.full((4, 4), 1e4, requires_grad=True)
    decoded = decode(deltas, anchors)
    decoded.sum().backward()
    assert torch.isfinite(decoded).all()
    assert torch.isfinite(deltas.grad).all()  # type: ignore[arg-type]
