"""The program that is the window: whole pictures come in by standard input, keys go out.

A process of its own, as Xlib ends the process whose screen goes away, and as a slow screen (`ssh -X`) would keep the
run from hearing Ctrl-C.

In: a line of JSON, {"title": text}, and then for each picture a line of JSON, {"size": [width, height], "labels":
[[x, y, text], ...]}, and width * height * 3 bytes of RGB. Out, lines of JSON: {"size": [width, height]} of the window
at first and when it changes, {"ready": true} when the next picture may come, {"stop": why} when the user has had
enough, {"error": "tk" or "screen"}.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, BinaryIO

FIRST_SIZE = (1280, 720)
"""Width and height of the window in pixels, if the screen has so many."""
_SHARE_OF_SCREEN = 0.9
_BACKGROUND = "#101114"
_FONT = ("TkDefaultFont", 11, "bold")


class Screen:
    """The window."""

    def __init__(self, title: str, pictures: BinaryIO) -> None:
        """Open it. Raises ImportError or tkinter.TclError."""
        import tkinter

        self._pictures = pictures
        self._root = root = tkinter.Tk(className="streamdet")
        root.title(title)
        width = min(FIRST_SIZE[0], int(root.winfo_screenwidth() * _SHARE_OF_SCREEN))
        height = min(FIRST_SIZE[1], int(root.winfo_screenheight() * _SHARE_OF_SCREEN))
        root.geometry(f"{width}x{height}")
        self._canvas = tkinter.Canvas(root, bg=_BACKGROUND, highlightthickness=0)
        self._canvas.pack(fill="both", expand=True)
        self._image = tkinter.PhotoImage(master=root)
        self._canvas.create_image(0, 0, image=self._image, anchor="nw")
        self._labels: list[Any] = []
        self._canvas.bind("<Configure>", lambda event: say(size=[event.width, event.height]))
        root.protocol("WM_DELETE_WINDOW", lambda: say(stop="the window was closed"))
        for key in ("q", "Q", "<Escape>"):
            root.bind(key, lambda _: say(stop="q in the window"))
        root.update()
        root.tk.createfilehandler(pictures, tkinter.READABLE, self._take)
        say(ready=True)

    def run(self) -> None:
        """Until the pictures end."""
        self._root.mainloop()

    def _take(self, _file: object, _mask: int) -> None:
        line = self._pictures.readline()
        head: dict[str, Any] = json.loads(line) if line else {"size": [0, 0], "labels": []}
        width, height = head["size"]
        data = self._pictures.read(width * height * 3)
        if not data:
            self._root.tk.deletefilehandler(self._pictures)
            self._root.quit()
            return
        self._image.configure(data=b"P6 %d %d 255 " % (width, height) + data, format="ppm")
        if head["labels"] != self._labels:
            self._labels = head["labels"]
            self._canvas.delete("label")
            for x, y, text in self._labels:
                for shift, fill in ((1, "black"), (0, "white")):
                    place = (x + shift, y + shift)
                    self._canvas.create_text(*place, text=text, fill=fill, anchor="sw", font=_FONT, tags="label")
        self._root.update_idletasks()
        say(ready=True)


def say(**words: object) -> None:
    """Tell the run."""
    sys.stdout.buffer.write(json.dumps(words).encode() + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    """Be the window; the exit code."""
    pictures = sys.stdin.buffer
    title = json.loads(pictures.readline())["title"]
    try:
        import tkinter
    except ImportError:
        say(error="tk")
        return 1
    try:
        screen = Screen(title, pictures)
    except tkinter.TclError:
        say(error="screen")
        return 1
    with contextlib.suppress(BrokenPipeError):  # the run is over
        screen.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
