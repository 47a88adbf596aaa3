"""Against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamdet.results.places.geometry import Polygons, edges_cross, homography_of, on_ground, side_distances

SIZE = (640, 480)


@pytest.mark.parametrize("seed", range(4))
def test_distances_to_polygons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = []
    for corners in (3, 4, 9):
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = rng.uniform(40, 200, corners)
        around = np.stack((320 + reach * np.cos(angles), 240 + reach * np.sin(angles)), 1)
        polygons.append(around.round(1))
    points = rng.uniform((1, 1), (639, 479), (200, 2))
    found = Polygons(polygons, SIZE).distances(points)
    for polygon, distances in zip(polygons, found, strict=True):
        contour = polygon.astype(np.float32).reshape(-1, 1, 2)
        expected = [cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in points]
        assert distances == pytest.approx(expected, abs=0.01)


def test_edges_on_the_border_have_nothing_beyond_them() -> None:
    lower = Polygons([np.array([(0, 240), (640, 240), (640, 480), (0, 480)], float)], SIZE)
    assert lower.distances(np.array([(320.0, 480.0), (2.0, 300.0), (320.0, 230.0)])).ravel() == pytest.approx(
        [239.5, 60, -10]
    )
    whole = Polygons([np.array([(0, 0), (640, 0), (640, 480), (0, 480)], float)], SIZE)
    assert whole.distances(np.array([(0.0, 0.0), (640.0, 480.0)])).min() > 100


def test_sides_of_lines() -> None:
    lines = np.array([[(0, 100), (50, 100)], [(10, 90), (10, 10)]], float)
    distances = side_distances(lines, np.array([(300.0, 110.0), (0.0, 80.0)]))
    assert distances.tolist() == [[10, -20], [290, -10]]


def test_the_ground_under_pixels() -> None:
    pixels = np.array([(100, 300), (540, 310), (640, 470), (5, 460), (300, 380)], float)
    metres = np.array([(0, 0), (20, 0), (20, 12), (0, 12)], float)
    ours = homography_of(pixels[:4], metres)
    theirs, _ = cv2.findHomography(pixels[:4], metres)
    expected = cv2.perspectiveTransform(pixels[None], theirs)[0]
    assert on_ground(ours, pixels) == pytest.approx(expected, abs=1e-6)
    trembling = expected + np.random.default_rng(0).normal(0, 0.02, expected.shape)
    assert on_ground(homography_of(pixels, trembling), pixels) == pytest.approx(expected, abs=0.1)


def test_points_on_a_line_give_no_ground() -> None:
    on_line = np.array([(0, 0), (10, 0), (20, 0), (30, 0)], float)
    with pytest.raises(ValueError, match="straight line"):
        homography_of(on_line, on_line)


def test_edges_that_cross() -> None:
    assert edges_cross(np.array([(0, 0), (10, 10), (10, 0), (0, 10)], float))
    assert not edges_cross(np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float))
    assert not edges_cross(np.array([(0, 0), (10, 0), (5, 4), (10, 10), (0, 10)], float))
