"""Who and what stands and moves where in the parking lot: the sample clip's play, and any number of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from parking_ground import draw_ground, lay_out
from parking_mesh import Floats, Mesh, Rng
from parking_people import bicycle, look_of, motorcycle, person, rider
from parking_raster import Camera, Light, day, dusk, night, part_of
from parking_scene import BICYCLE, BUS, CAR, MOTORCYCLE, PERSON, SCENERY, TRUCK, Pose, Scene, View
from parking_scenery import building, lamp_post, tree
from parking_vehicles import CAR_SHAPES, bus, car, paint_of, truck


def new_scene(seed: int, ground_px: int, modules: int, slanted: bool) -> Scene:
    """An empty lot with its scenery."""
    rng = np.random.default_rng(seed)
    layout = lay_out(rng, slanted, modules)
    scene = Scene(layout, draw_ground(rng, layout, ground_px), ground_px, rng)
    _add_scenery(scene)
    return scene


def _add_scenery(scene: Scene) -> None:
    rng, layout = scene.rng, scene.layout

    def put(meshes: tuple[Mesh, ...] | Mesh, x: float, y: float, heading: float = 0.0) -> None:
        for mesh in meshes if isinstance(meshes, tuple) else (meshes,):
            scene.scenery.append(part_of(mesh, SCENERY, x, y, heading))

    for x0, y0, x1, y1 in layout.greens:
        y = (y0 + y1) / 2
        for x in np.arange(x0 + rng.uniform(2, 7), x1, rng.uniform(8, 13)):
            put(tree(rng, rng.uniform(4, 6.5), rng.uniform(1.2, 2.1)), float(x), y)
        for x in np.arange(x0 + 5.5, x1, 16.0):
            _put_lamp(scene, float(x), y, np.pi / 2 * rng.choice([-1, 1]))
    for x in (-layout.half_width - 7.3, layout.half_width + 7.3):
        for y in np.arange(8, layout.end, 17.0):
            _put_lamp(scene, x, float(y), 0.0 if x < 0 else np.pi)
        for y in np.arange(rng.uniform(4, 9), layout.end - 3, rng.uniform(7, 12)):
            put(tree(rng, rng.uniform(5, 9), rng.uniform(1.6, 2.8)), x + np.sign(x) * rng.uniform(2, 5), float(y))
    beyond = layout.street + 8.0
    x = -60.0
    while x < 60:
        long = rng.uniform(14, 26)
        if rng.random() < 0.65:
            put(building(rng, long, 10, int(rng.integers(1, 5))), x + long / 2, beyond + rng.uniform(2, 6))
        else:
            for _ in range(4):
                put(
                    tree(rng, rng.uniform(6, 11), rng.uniform(2, 3.4)),
                    x + rng.uniform(0, long),
                    beyond + rng.uniform(1, 8),
                )
        x += long + rng.uniform(0.5, 3)


def _put_lamp(scene: Scene, x: float, y: float, heading: float) -> None:
    height = 6.5
    scene.scenery.append(part_of(lamp_post(height), SCENERY, x, y, heading))
    scene.lamps.append((x + 1.3 * float(np.cos(heading)), y + 1.3 * float(np.sin(heading)), height))


def random_car(rng: Rng) -> Mesh:
    """Any car."""
    kinds = list(CAR_SHAPES)
    kind = kinds[rng.choice(len(kinds), p=[0.24, 0.26, 0.13, 0.23, 0.07, 0.07])]
    return car(rng, kind, paint_of(rng))


def park_cars(scene: Scene, density: float, keep_free: tuple[int, ...] = ()) -> None:
    """Fill bays by chance, most cars nose in."""
    rng = scene.rng
    for i, (x, y, heading) in enumerate(scene.layout.bays()):
        taken, backwards = rng.random() < density, rng.random() < 0.3
        pose = (x + rng.normal(0, 0.10), y + rng.normal(0, 0.16), heading + np.pi * backwards + rng.normal(0, 0.025))
        if taken and i not in keep_free:
            scene.add(CAR, (random_car(rng),), pose)


def track(
    points: list[tuple[float, float]], times: list[tuple[float, float]], backwards: bool = False
) -> Callable[[float], Pose]:
    """A rounded way through points (m) and how far along it one is: (time s, way m), smoothed."""
    line = np.array(points, float)
    for _ in range(4):  # Chaikin's corner cutting
        a, b = line[:-1], line[1:]
        cut = np.stack((a * 0.75 + b * 0.25, a * 0.25 + b * 0.75), 1).reshape(-1, 2)
        line = np.concatenate((line[:1], cut, line[-1:]))
    way = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))))
    clock, metres = np.array(times, float).T

    def at(s: float) -> Floats:
        if s > way[-1]:
            return line[-1] + (line[-1] - line[-2]) / (way[-1] - way[-2]) * (s - way[-1])
        if s < 0:
            return line[0] + (line[1] - line[0]) / (way[1] - way[0]) * s
        return np.array((np.interp(s, way, line[:, 0]), np.interp(s, way, line[:, 1])))

    def pose(t: float) -> Pose:
        s = float(np.mean([np.interp(t + d, clock, metres) for d in (-0.6, -0.3, 0.0, 0.3, 0.6)]))
        ahead = at(s + 1.3) - at(s - 1.3)
        x, y = at(s)
        turn = np.pi if backwards else 0.0
        return float(x), float(y), float(np.arctan2(ahead[1], ahead[0]) + turn)

    return pose


def walker(scene: Scene, points: list[tuple[float, float]], speed: float, start: float = 0.0) -> None:
    """A person who walks along points at `speed` m/s, the way begun `start` metres ago."""
    look = look_of(scene.rng)
    offset = scene.rng.uniform(0, 6.28)
    pose = track(points, [(0.0, start), (60.0, start + 60 * speed)])
    step = 2 * np.pi * speed / (0.86 * look.height)
    scene.add_moving(PERSON, lambda t: (person(look, offset + step * t, min(1.0, speed / 1.3)),), pose)


def cyclist(scene: Scene, points: list[tuple[float, float]], speed: float, start: float = 0.0) -> None:
    """A person on a bicycle: two things, each with its own box."""
    look, frame = look_of(scene.rng), bicycle(paint_of(scene.rng))
    pose = track(points, [(0.0, start), (60.0, start + 60 * speed)])
    scene.add_moving(BICYCLE, lambda t: (frame,), pose)
    scene.add_moving(PERSON, lambda t: (rider(look, -speed * t * 1.3),), pose)


def sample_scene(seed: int) -> tuple[View, Callable[[float], Light]]:
    """The lot of the sample clip, 13 s into dusk."""
    return View(*sample_stage(seed)), lambda t: dusk(t / 13.0, azimuth=2.75)


def sample_stage(seed: int) -> tuple[Scene, Camera]:
    """All that stands and moves in the sample clip, and the camera that sees it."""
    scene = new_scene(seed, ground_px=26, modules=2, slanted=False)
    layout = scene.layout
    bays = layout.bays()
    per_row = len(bays) // len(layout.rows)
    arrives, leaves, waits = per_row + per_row // 2 + 1, 2 * per_row + per_row // 2 - 3, per_row // 2 + 1
    park_cars(scene, 0.72, keep_free=(arrives, leaves, waits, 5, per_row + 5))
    rng, (first, second), street = scene.rng, layout.aisles, layout.street
    scene.add(CAR, (car(rng, "sedan", np.float32((0.30, 0.11, 0.035))),), bays[waits], lit=True)
    bx, by, _ = bays[arrives]
    mover = car(rng, "hatchback", np.float32((0.03, 0.022, 0.36)))
    way = [(-34.0, first - 0.9), (bx - 5.2, first - 0.9), (bx, first - 0.7), (bx, by - 1.0), (bx, by)]
    total = bx + 34 - 5.2 + 5.2 + (by - first)
    pose = track(way, [(0, 10), (5.5, total - 13), (10.4, total - 0.4), (60, total - 0.4)])
    scene.add_moving(CAR, lambda t: (mover,), pose, lit=True)
    lx, ly, _ = bays[leaves]
    leaver = car(rng, "suv", np.float32((0.78, 0.78, 0.77)))
    back = track(
        [
            (lx, ly),
            (lx, second - 2.2),
            (lx, second - 0.8),
            (lx, second + 0.3),
            (lx - 2.2, second + 0.3),
            (lx - 6.5, second),
        ],
        [(0, 0), (1.5, 0), (6.5, 9.2), (60, 9.2)],
        True,
    )
    end = back(30.0)
    forth = track([(end[0], end[1]), (end[0] + 20, second), (60, second)], [(0, 0), (7.2, 0), (14.0, 24), (60, 200)])
    scene.add_moving(CAR, lambda t: (leaver,), lambda t: back(t) if t < 7.2 else forth(t), lit=True)
    for y, way_sign, speed, start, mesh, category in (
        (street - 1.8, 1, 8.0, 4.0, (car(rng, "sedan", paint_of(rng)),), CAR),
        (street - 1.8, 1, 8.0, -38.0, (car(rng, "estate", paint_of(rng)),), CAR),
        (street + 1.8, -1, 7.0, 12.0, truck(rng, paint_of(rng)), TRUCK),
        (street + 1.8, -1, 7.0, -42.0, (bus(rng, np.float32((0.04, 0.25, 0.5))),), BUS),
    ):
        road = track([(-60.0 * way_sign, y), (60.0 * way_sign, y)], [(0, start), (60, start + 60 * speed)])
        scene.add_moving(category, lambda t, m=mesh: m, road, lit=True)  # type: ignore[misc]
    walker(scene, [(-14, first + 1.75), (30, first + 1.7)], 1.35)
    walker(scene, [(16, second - 2.3), (-30, second - 2.5)], 1.2)
    walker(scene, [(16.2, second - 1.7), (-30, second - 1.9)], 1.2)
    walker(scene, [(3, first - 2.45), (-30, first - 2.5)], 1.45)
    walker(scene, [(layout.half_width + 1.5, 8.0), (layout.half_width + 1.5, street)], 1.3)
    walker(scene, [(-30, street - 4.4), (30, street - 4.6)], 1.4, 12.0)
    through = bays[5][0]  # two bays that are kept free
    walker(scene, [(through, 4.5), (through, second + 3)], 1.25, -1.6)
    cyclist(scene, [(28, first + 0.8), (-40, first + 0.8)], 4.2, 2.0)
    camera = Camera((1280, 720), 1080, np.array((-3.0, -7.0, 10.5)), 0.10, 0.41)
    return scene, camera


def random_scene(seed: int) -> Scene:
    """Any lot with standing and (for an instant) moving things."""
    pick = np.random.default_rng(seed + 77_000_000)
    scene = new_scene(seed, ground_px=16, modules=int(pick.integers(1, 4)), slanted=bool(pick.random() < 0.35))
    rng, layout = scene.rng, scene.layout
    park_cars(scene, float(rng.choice([0.2, 0.5, 0.75, 0.92])))
    half = layout.half_width
    for y in layout.aisles:
        for side in (-1, 1):
            if rng.random() < 0.5:
                turn = (0.0 if side > 0 else np.pi) + rng.normal(0, 0.08)
                scene.add(CAR, (random_car(rng),), (rng.uniform(-half, half), y + side * -1.4, turn), lit=True)
    for side in (-1, 1):
        x = -48 + rng.uniform(0, 14)
        while x < 45:
            kind = rng.choice([CAR, TRUCK, BUS, MOTORCYCLE, 0], p=[0.5, 0.16, 0.12, 0.08, 0.14])
            pose = (float(x), layout.street - side * 1.8, 0.0 if side > 0 else np.pi)
            _add_vehicle(scene, int(kind), pose)
            x += rng.uniform(13, 24)
    if rng.random() < 0.45:  # deliveries in the lot itself
        y = float(rng.choice(layout.aisles)) + 1.5
        _add_vehicle(
            scene, int(rng.choice([TRUCK, BUS], p=[0.75, 0.25])), (rng.uniform(-half, half), y, np.pi * rng.integers(2))
        )
    for _ in range(int(rng.choice([2, 6, 12, 24]))):
        beside = float(rng.choice(layout.aisles)) + rng.choice([-2.4, 2.4]) + rng.normal(0, 0.3)
        places = [
            (rng.uniform(-half, half), beside),
            (rng.uniform(-40, 40), layout.street + rng.choice([-4.5, 4.5]) + rng.normal(0, 0.3)),
            (rng.uniform(-half, half), rng.uniform(-4, 4)),
        ]
        x, y = places[rng.choice(3, p=[0.5, 0.3, 0.2])]
        walking = rng.random() < 0.8
        body = person(look_of(rng), rng.uniform(0, 6.3), 1.0 if walking else 0.1)
        scene.add(PERSON, (body,), (x, y, rng.uniform(0, 6.3)))
    for _ in range(int(rng.integers(0, 5))):
        y = float(rng.choice([*layout.aisles, layout.street - 3.0, 4.2]))
        pose = (rng.uniform(-half, half), y + rng.normal(0, 0.5), rng.choice([0, np.pi]) + rng.normal(0, 0.2))
        if rng.random() < 0.6:
            scene.add(BICYCLE, (bicycle(paint_of(rng)),), pose)
            if rng.random() < 0.75:
                scene.add(PERSON, (rider(look_of(rng), rng.uniform(0, 6.3)),), pose)
        else:
            _add_vehicle(scene, MOTORCYCLE, pose)
    return scene


def add_passers_by(scene: Scene, seed: int) -> None:
    """More people, in groups too, and cyclists, in the aisles and along the street."""
    rng, layout = np.random.default_rng(seed + 99_000_000), scene.layout
    half = layout.half_width
    for _ in range(int(rng.integers(5, 11))):
        aisle = float(rng.choice(layout.aisles))
        along = rng.random() < 0.75
        x, y = rng.uniform(-half, half), aisle + rng.uniform(-2.6, 2.6)
        if rng.random() < 0.35:
            y = layout.street + rng.choice([-4.5, 4.5])
        heading = (0.0 if along else np.pi / 2) + np.pi * rng.integers(2) + rng.normal(0, 0.1)
        for _ in range(int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15]))):
            body = person(look_of(rng), rng.uniform(0, 6.3), 1.0 if rng.random() < 0.85 else 0.1)
            scene.add(PERSON, (body,), (x, y, heading + rng.normal(0, 0.1)))
            x, y = x + rng.normal(0, 0.4), y + rng.choice([-1, 1]) * rng.uniform(0.5, 0.8)
    for _ in range(int(rng.integers(1, 4))):
        y = float(rng.choice([*layout.aisles, layout.street])) + rng.uniform(-2.2, 2.2)
        pose = (rng.uniform(-half, half), y, np.pi * rng.integers(2) + rng.normal(0, 0.15))
        scene.add(BICYCLE, (bicycle(paint_of(rng)),), pose)
        scene.add(PERSON, (rider(look_of(rng), rng.uniform(0, 6.3)),), pose)


def _add_vehicle(scene: Scene, category: int, pose: Pose) -> None:
    rng = scene.rng
    if category == CAR:
        scene.add(CAR, (random_car(rng),), pose, lit=True)
    elif category == TRUCK:
        scene.add(TRUCK, truck(rng, paint_of(rng)), pose, lit=True)
    elif category == BUS:
        scene.add(BUS, (bus(rng, paint_of(rng)),), pose, lit=True)
    elif category == MOTORCYCLE:
        ridden = rng.random() < 0.6
        scene.add(MOTORCYCLE, (motorcycle(paint_of(rng)),), pose, lit=bool(ridden))
        if ridden:
            scene.add(PERSON, (rider(look_of(rng), 3.6, 0.82, (0.36, 1.05)),), pose)


def random_view(scene: Scene, rng: Rng, size: tuple[int, int]) -> tuple[View, Light, str]:
    """A camera on a mast somewhere at the lot's edge and some light."""
    layout = scene.layout
    height = rng.uniform(4.5, 13)
    position = np.array((rng.uniform(-layout.half_width, layout.half_width), rng.uniform(-9, 8), height))
    target = np.array((rng.uniform(-0.8, 0.8) * layout.half_width, rng.uniform(9, layout.end * 0.85)))
    way = target - position[:2]
    yaw = np.arctan2(way[0], way[1]).clip(-1.0, 1.0)
    pitch = np.arctan2(height, np.linalg.norm(way)).clip(np.radians(11), np.radians(52))
    focal = size[0] / 2 / np.tan(np.radians(rng.uniform(24, 46)))
    camera = Camera(size, focal, position, yaw, pitch, np.radians(rng.normal(0, 1.2)))
    kind = str(rng.choice(["day", "overcast", "dusk", "night"], p=[0.42, 0.22, 0.2, 0.16]))
    azimuth = rng.uniform(0, 2 * np.pi)
    light = {
        "day": lambda: day(np.radians(rng.uniform(18, 65)), azimuth, rng.uniform(0, 0.3)),
        "overcast": lambda: day(1.0, azimuth, rng.uniform(0.75, 1.0)),
        "dusk": lambda: dusk(rng.uniform(0, 1), azimuth),
        "night": lambda: night(rng.uniform(0, 1)),
    }[kind]()
    return View(scene, camera), light, kind
