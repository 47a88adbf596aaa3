"""Secrets that can't be shown by accident, and the user name and password of a host from a netrc file."""

from __future__ import annotations

import netrc as netrc_files
from pathlib import Path

from streamdet.errors import UsageError
from streamdet.video.address import MASK
from streamdet.video.base import printable


class Secret:
    """Holds a text that `repr`, `str`, formatting, `vars` and `dataclasses.asdict` don't show."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: never to be shown."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def from_netrc(path: Path, host: str, *, user: str | None = None) -> tuple[str, str] | None:
    """User name and password of `host` (or of `default`) in a netrc file; None when it holds none.

    Args:
        path: the file.
        host: as in the address, without port.
        user: only an entry of this user counts.

    Raises:
        UsageError: the file can't be read or understood.
    """
    shown = printable(str(path))
    try:
        entry = netrc_files.netrc(str(path)).authenticators(host)
    except netrc_files.NetrcParseError as error:
        # its message quotes the file, passwords too
        raise UsageError(
            f"the netrc file {shown} has a mistake in line {error.lineno}: "
            "write machine HOST login USER password PASSWORD"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"the netrc file {shown} is not text: save it as UTF-8") from None
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"the netrc file {shown} can't be read ({why}): check the path and its permissions") from None
    if entry is None or not entry[2] or (user is not None and entry[0] != user):
        return None
    return entry[0], entry[2]
