"""The RTSP server itself: gst-rtsp-server under Debian's own Python. `rtsp.py` starts it and talks to it.

One line of JSON comes in on standard input when it starts, then one for every command, and each is answered by one on
standard output. It ends when its standard input does. It imports nothing of this project, whose environment lacks gi.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

CHAINS = {
    "h264": "appsrc name=feed caps=video/x-h264,stream-format=byte-stream,alignment=au "
    "! rtph264pay config-interval=-1 pt=96 ! identity name=loss",
    "hevc": "appsrc name=feed caps=video/x-h265,stream-format=byte-stream,alignment=au "
    "! rtph265pay config-interval=-1 pt=96 ! identity name=loss",
    "mjpeg": "appsrc name=feed ! rtpjpegpay pt=26 ! identity name=loss",
}
WHOLE_BYTES = 48
"""Bytes at the head of a slice that a damaged frame keeps, so that it is still taken for a frame."""


class Clip:
    """Packets of a file that `clip.Clip.save` wrote."""

    def __init__(self, path: str) -> None:
        head, content = Path(path).read_bytes().split(b"\n", 1)
        fields = json.loads(head)
        self.codec: str = fields["codec"]
        self.frame_ns = Gst.SECOND * fields["rate"][1] // fields["rate"][0]
        self.size: list[int] = fields["size"]
        self.keys: list[bool] = fields["keys"]
        self.packets: list[bytes] = []
        for size in fields["sizes"]:
            self.packets.append(content[:size])
            content = content[size:]

    def key_from(self, index: int) -> int:
        """Number of the first key frame at `index` or after it, round the end."""
        return next(
            i % len(self.keys) for i in range(index, index + len(self.keys) + 1) if self.keys[i % len(self.keys)]
        )


class Camera(GstRtspServer.RTSPMediaFactory):
    """A stream that plays a clip round and round while somebody watches, with the faults it is told to have."""

    def __init__(self, clip: Clip, loss: float, seed: int) -> None:
        super().__init__()
        self.clip, self.loss, self.dice = clip, loss, random.Random(seed)
        self.phase_ns = self.dice.randrange(self.clip.frame_ns)
        self.mode = "play"
        self.sent = 0
        self.watchers = 0
        self.feed: Any = None
        self.loss_element: Any = None
        self.index = 0
        self.needs_key = True
        self.due_ns: int | None = None
        self.still_ns = 0
        self.set_shared(True)
        self.connect("media-configure", self.on_media)

    def do_create_element(self, url: Any) -> Any:
        # gst-rtsp-server looks for an element named pay0; as a bin it may hold the loss behind the payloader.
        inner = Gst.parse_bin_from_description(CHAINS[self.clip.codec], True)
        inner.set_name("pay0")
        outer = Gst.Bin.new(None)
        outer.add(inner)
        return outer

    def on_media(self, factory: Any, media: Any) -> None:
        element = media.get_element()
        self.feed = element.get_by_name("feed")
        self.loss_element = element.get_by_name("loss")
        self.loss_element.set_property("drop-probability", self.loss)
        if self.clip.codec == "mjpeg":
            width, height = self.clip.size
            caps = f"image/jpeg,width={width},height={height},framerate=(fraction)0/1"
            self.feed.set_property("caps", Gst.Caps.from_string(caps))
        for name, value in (("is-live", True), ("format", Gst.Format.TIME), ("block", False)):
            self.feed.set_property(name, value)
        self.due_ns, self.needs_key = None, True
        media.connect("unprepared", self.on_end, self.feed)
        GLib.timeout_add(1, self.tick, self.feed)

    def on_end(self, media: Any, feed: Any) -> None:
        if self.feed is feed:
            self.feed = self.loss_element = None

    def set_loss(self, share: float) -> None:
        self.loss = share
        if self.loss_element is not None:
            self.loss_element.set_property("drop-probability", share)

    def tick(self, feed: Any) -> bool:
        """Send what is due and come again for the next frame."""
        if feed is not self.feed:
            return False
        clock = feed.get_clock()
        if clock is None or feed.get_base_time() == 0 or feed.get_state(0).state != Gst.State.PLAYING:
            GLib.timeout_add(2, self.tick, feed)
            return False
        now_ns = clock.get_time() - feed.get_base_time()
        if self.due_ns is None or self.due_ns - now_ns > self.clip.frame_ns:
            # As a sensor's, the rhythm has nothing to do with who connects when; the seed tells it from other cameras'.
            self.due_ns = now_ns + (self.phase_ns - clock.get_time()) % self.clip.frame_ns
        if self.due_ns <= now_ns:
            missed = (now_ns - self.due_ns) // self.clip.frame_ns
            if missed > 5:  # this process was stopped: the frames of that time are gone, as from a real camera
                self.due_ns += missed * self.clip.frame_ns
                self.needs_key = True
            self.send(feed, self.due_ns)
            self.due_ns += self.clip.frame_ns
        GLib.timeout_add(max(1, (self.due_ns - now_ns) // Gst.MSECOND), self.tick, feed)
        return False

    def send(self, feed: Any, pts_ns: int) -> None:
        # While nobody has said PLAY, and while the network is full, frames pile up: begin again at a key frame then.
        if self.mode == "stall" or feed.get_property("current-level-buffers") > 2:
            self.needs_key = True
            return
        if self.needs_key:
            self.index, self.needs_key = self.clip.key_from(self.index), False
        if self.mode == "frozen picture":
            self.index = self.clip.key_from(self.index - self.index % len(self.clip.keys))
        data = self.clip.packets[self.index]
        if self.mode == "damaged":
            data = self.damaged(data)
        if self.mode == "times stand still":
            pts_ns = self.still_ns
        self.still_ns = pts_ns
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = buffer.dts = pts_ns
        buffer.duration = self.clip.frame_ns
        feed.emit("push-buffer", buffer)
        self.sent += 1
        if self.mode != "frozen picture":
            self.index = (self.index + 1) % len(self.clip.packets)

    def damaged(self, data: bytes) -> bytes:
        """The packet with noise for pictures: parameter sets and slice headers stay, no start code appears."""
        head = data.rfind(b"\x00\x00\x01") + WHOLE_BYTES
        return data[:head] + bytes(self.dice.randint(1, 255) for _ in range(len(data) - head))

    def switch(self, clip: Clip) -> None:
        """Go on with another clip of the same codec (another size, say) at once."""
        self.clip, self.index, self.needs_key = clip, 0, True


def receiver(path: str) -> Any:
    """Takes H.264 that a client pushes (ANNOUNCE, RECORD) and adds it to a file, each frame as soon as it is there."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.set_launch(
        "( rtph264depay name=depay0 ! video/x-h264,stream-format=byte-stream,alignment=au "
        f"! filesink location={path} append=true buffer-mode=unbuffered sync=false )"
    )
    return factory


class Process:
    """The server with its cameras, and the commands."""

    def __init__(self, config: dict[str, Any]) -> None:
        GLib.random_set_seed(config["seed"])  # `identity` draws from GLib's dice
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(config["port"]))
        self.cameras: dict[str, Camera] = {}
        self.clients = 0
        for number, (name, fields) in enumerate(config["cameras"].items()):
            camera = Camera(Clip(fields["clip"]), fields["loss"], config["seed"] + number)
            self.cameras[name] = camera
            self.server.get_mount_points().add_factory(f"/{name}", camera)
        if config["user"] is not None or config["tls"] is not None:
            self.guard(config)
        if config["receives"] is not None:
            self.server.get_mount_points().add_factory("/push", receiver(config["receives"]))
        self.server.connect("client-connected", self.on_client)
        if not self.server.attach(None):
            raise SystemExit(f"port {config['port']} cannot be had")
        GLib.timeout_add_seconds(1, self.clean_up)

    def guard(self, config: dict[str, Any]) -> None:
        auth = GstRtspServer.RTSPAuth()
        if config["tls"] is not None:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(config["tls"]))
        self.server.set_auth(auth)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        if config["user"] is None:
            auth.set_default_token(token)
        elif config["auth"] == "digest":
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(config["user"], config["password"], token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(config["user"], config["password"]), token)
        for camera in self.cameras.values():
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)
            camera.set_permissions(permissions)

    def on_client(self, server: Any, client: Any) -> None:
        self.clients += 1
        client.connect("closed", self.on_closed)

    def on_closed(self, client: Any) -> None:
        self.clients -= 1

    def clean_up(self) -> bool:
        self.server.get_session_pool().cleanup()
        return True

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        camera = self.cameras.get(command.get("camera", ""))
        if command["do"] == "status":
            sent = {name: camera.sent for name, camera in self.cameras.items()}
            return {"sent": sent, "clients": self.clients}
        assert camera is not None, f"no camera {command}"
        if command["do"] == "mode":
            camera.mode = command["mode"]
        elif command["do"] == "loss":
            camera.set_loss(command["share"])
        elif command["do"] == "switch":
            camera.switch(Clip(command["clip"]))
        else:
            raise ValueError(command["do"])
        return {}


def answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    Gst.init(None)
    process = Process(json.loads(sys.stdin.readline()))
    loop = GLib.MainLoop()
    answer({"port": process.server.get_bound_port()})

    def obey(line: str) -> bool:
        try:
            answer(process.obey(json.loads(line)))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})
        return False

    def listen() -> None:
        for line in sys.stdin:
            GLib.idle_add(obey, line)
        GLib.idle_add(loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
