"""The program that is the window of `streamdet zones`: a frame on which lines, zones and bays are drawn with the mouse.

A process of its own, as Xlib ends the process whose screen goes away.

In: a line of JSON, {"title": text, "size": [width, height]}, and width * height * 3 bytes of RGB. Out, lines of JSON:
{"ready": true} when it is there, and at the end {"places": [{"kind": "lines", "zones" or "bays", "name": text,
"points": [[x, y], ...]}, ...]} in pixels of the frame, or {"left": true} when nothing is to be saved, or {"error": "tk"
or "screen"}.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

_SHARE_OF_SCREEN = 0.85
_COLOURS = {"lines": "#ffd60a", "zones": "#40c8ff", "bays": "#46e66e"}
_SINGULAR = {"lines": "line", "zones": "zone", "bays": "bay"}
_MOST_POINTS = {"lines": 2, "zones": 64, "bays": 4}
_HELP = (
    "{kind}: click its corners{end}\nl line   z zone   b bay   |   Backspace takes back   |   n names the last   |   "
    "s saves   |   q leaves"
)
_ARROW_PX = 26
_FONT = ("TkDefaultFont", 11)


Point = tuple[float, float]


@dataclass
class Place:
    """One that was drawn."""

    kind: str
    name: str
    points: list[Point] = field(default_factory=list)


class Board:
    """The window."""

    def __init__(self, title: str, image: Image.Image) -> None:
        """Open it. Raises ImportError or tkinter.TclError."""
        import tkinter

        self._root = root = tkinter.Tk(className="streamdet")
        root.title(title)
        most = root.winfo_screenwidth() * _SHARE_OF_SCREEN, root.winfo_screenheight() * _SHARE_OF_SCREEN
        self._scale = min(1.0, most[0] / image.width, most[1] / image.height)
        shown = image.resize((max(1, round(image.width * self._scale)), max(1, round(image.height * self._scale))))
        data = b"P6 %d %d 255 " % shown.size + shown.tobytes()
        self._picture = tkinter.PhotoImage(master=root, data=data, format="ppm")
        self._canvas = tkinter.Canvas(root, width=shown.width, height=shown.height, highlightthickness=0)
        self._canvas.pack(anchor="nw")
        self._canvas.create_image(0, 0, image=self._picture, anchor="nw")
        self._status = tkinter.Label(root, anchor="w", justify="left", font=_FONT, wraplength=shown.width)
        self._status.pack(fill="x")
        self._places: list[Place] = []
        self._kind = "lines"
        self._points: list[Point] = []
        self._canvas.bind("<Button-1>", lambda event: self._click(event.x, event.y))
        self._canvas.bind("<Button-3>", lambda _: self._complete())
        self._canvas.bind("<Motion>", lambda event: self._paint((event.x / self._scale, event.y / self._scale)))
        for key, kind in (("l", "lines"), ("z", "zones"), ("b", "bays")):
            root.bind(key, lambda _, kind=kind: self._choose(kind))  # type: ignore[misc]
        root.bind("<Return>", lambda _: self._complete())
        root.bind("<BackSpace>", lambda _: self._take_back())
        root.bind("n", lambda _: self._rename())
        root.bind("s", lambda _: self._save())
        for key in ("q", "<Escape>"):
            root.bind(key, lambda _: self._leave())
        root.protocol("WM_DELETE_WINDOW", self._leave)
        self._paint()
        root.update()
        root.focus_force()
        say(ready=True)

    def run(self) -> None:
        """Until it is saved or left."""
        self._root.mainloop()

    def _choose(self, kind: str) -> None:
        self._kind, self._points = kind, []
        self._paint()

    def _click(self, x: float, y: float) -> None:
        self._points.append((round(x / self._scale, 1), round(y / self._scale, 1)))
        if len(self._points) == _MOST_POINTS[self._kind]:
            self._complete()
        self._paint()

    def _complete(self) -> None:
        if len(self._points) >= (2 if self._kind == "lines" else 3):
            taken = {place.name for place in self._places}
            names = (f"{_SINGULAR[self._kind]}{number}" for number in range(1, len(taken) + 2))
            self._places.append(Place(self._kind, next(name for name in names if name not in taken), self._points))
            self._points = []
        self._paint()

    def _take_back(self) -> None:
        if self._points:
            self._points.pop()
        elif self._places:
            self._places.pop()
        self._paint()

    def _rename(self) -> None:
        from tkinter import simpledialog

        if self._places:
            last = self._places[-1]
            name = (
                simpledialog.askstring("streamdet", f"Name instead of {last.name}:", parent=self._root) or ""
            ).strip()
            if name and all(place.name != name for place in self._places):
                last.name = name
            self._paint()

    def _save(self) -> None:
        places = [{"kind": place.kind, "name": place.name, "points": place.points} for place in self._places]
        say(places=places)
        self._root.destroy()

    def _leave(self) -> None:
        say(left=True)
        self._root.destroy()

    def _paint(self, mouse: Point | None = None) -> None:
        self._canvas.delete("drawn")
        for place in self._places:
            self._draw(place.points, place.kind, place.name)
        if self._points:
            self._draw([*self._points, *([mouse] if mouse else [])], self._kind, "", closed=False)
        end = {"lines": ", from and to", "zones": ", Enter ends", "bays": ", four of them"}[self._kind]
        self._status.configure(text=_HELP.format(kind=_SINGULAR[self._kind], end=end))

    def _draw(self, points: list[Point], kind: str, name: str, *, closed: bool = True) -> None:
        corners = [(x * self._scale, y * self._scale) for x, y in points]
        path = [*corners, corners[0]] if closed and kind != "lines" else corners
        if len(path) > 1:
            self._canvas.create_line(path, fill=_COLOURS[kind], width=3, tags="drawn")
        if closed and kind == "lines":
            self._canvas.create_line(arrow_of(corners[0], corners[1]), fill=_COLOURS[kind], arrow="last", tags="drawn")
        for x, y in corners:
            self._canvas.create_oval(x - 4, y - 4, x + 4, y + 4, fill=_COLOURS[kind], outline="black", tags="drawn")
        middle = [sum(corner[axis] for corner in corners) / len(corners) for axis in (0, 1)]
        for shift, fill in ((1, "black"), (0, "white")):
            self._canvas.create_text(
                middle[0] + shift, middle[1] + shift, text=name, fill=fill, font=_FONT, tags="drawn"
            )


def arrow_of(start: Point, end: Point) -> list[Point]:
    """From the middle of a line to its right side: the way "in"."""
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    way = end[0] - start[0], end[1] - start[1]
    length = max((way[0] ** 2 + way[1] ** 2) ** 0.5, 1e-9)
    return [middle, (middle[0] - way[1] / length * _ARROW_PX, middle[1] + way[0] / length * _ARROW_PX)]


def say(**words: object) -> None:
    """Tell the command."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Be the window; the exit code."""
    head: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    width, height = head["size"]
    image = Image.frombytes("RGB", (width, height), sys.stdin.buffer.read(width * height * 3))
    try:
        import tkinter
    except ImportError:
        say(error="tk")
        return 1
    try:
        board = Board(head["title"], image)
    except tkinter.TclError:
        say(error="screen")
        return 1
    board.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
