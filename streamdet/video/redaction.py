"""Takes passwords and tokens out of any text before it is shown: the one place where that is done.

Two nets. Known secrets (`secrets_in` finds those of a command line, `Location.secrets()` has those of a source) are
taken out wherever they stand, in whatever way they were escaped: percent, Python, JSON, HTML, shell, base64. And what
reads as the credentials or the query of an address is taken out although nobody knows it: of FFmpeg's messages, of a
redirect. In doubt more is taken out than needed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from streamdet.video.address import MASK, masked_tail, secrets_of, split_address

_SCHEME = r"[A-Za-z*][A-Za-z0-9+.*-]*"
_SLASHES = r":(?:\\?/){2}"
# An address goes on to the end of the line, as passwords may hold spaces and quotes, or to the next known scheme.
_NEXT = rf"[\s\"'(\[<,=](?:rtsp|rtmp|http|udp|tcp|srt|rtp|tls|ws|file)s?{_SLASHES}"
_ADDRESS = re.compile(rf"({_SCHEME})({_SLASHES})((?:(?!{_NEXT})[^\r\n])*)", re.IGNORECASE)
_ESCAPED_ADDRESS = re.compile(r"(%(?:25)*3A%(?:25)*2F%(?:25)*2F)(\S*)%(?:25)*40", re.IGNORECASE)
_WITHOUT_SCHEME = re.compile(r"(?<![^\s\"'(=\[,])(?!\w+://)[\w.\\-]{1,64}:(?!//)[^\s\"'@][^\s\"']*@(?=[\w\[])")
_FORGOTTEN_SCHEME = re.compile(r"(?:--[\w-]+=)?(?:[a-z]{2,5}:/?)?(?=[^/:@\s]+:[^@]+@)", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"'<>`|]*")
_HEADER = re.compile(r"((?:proxy-)?authorization[\"']?\s*:\s*[\"']?(?:\w+\s+)?)[^\r\n\"']+", re.IGNORECASE)
_PAIR = re.compile(
    r"((?<![A-Za-z])(?:password|passwd|passphrase|pwd|token|secret|api_?key)"
    r"(?:=[\"']?|\\?[\"']\s*:\s*\\?[\"']))((?!\*{3})[^\s\"'&;,)\\]+)",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"(?:[A-Z]+(?::[A-Z]+)?)(?=[/\s,;:.]|$)")
_LEAST_LENGTH = 3
"""Shorter secrets stand in innocent words: only the rules for addresses take them out."""
_WORD_LENGTH = 6
"""Shorter secrets are taken out where they stand alone, not within a longer word or number."""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without passwords, tokens and user names of addresses, and without the given secrets.

    Args:
        text: a sentence, a traceback, JSON, a message of FFmpeg; escaped in any usual way.
        secrets: plain texts that may not be seen.
    """
    known = sorted({secret for secret in secrets if len(secret) >= _LEAST_LENGTH}, key=len, reverse=True)
    if known:
        # messages are often put in lower case
        text = re.sub("|".join(_forms(secret) for secret in known), MASK, text, flags=re.IGNORECASE)
    text = _ESCAPED_ADDRESS.sub(r"\1", text)
    text = _ADDRESS.sub(lambda found: found[1] + found[2] + _shown_address(found[1], found[3]), text)
    text = _WITHOUT_SCHEME.sub(f"{MASK}@", text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    return _PAIR.sub(rf"\1{MASK}", text)


def secrets_in(argument: str) -> tuple[str, ...]:
    """Passwords and tokens of the addresses in an argument of a command line: `URL`, `--out=URL`, `name=URL`."""
    found: list[str] = []
    starts = [(match.end(), match[1].lower()) for match in re.finditer(rf"({_SCHEME})://", argument)]
    forgotten = _FORGOTTEN_SCHEME.match(argument)
    for start, scheme in starts or ([(forgotten.end(), "")] if forgotten else []):
        rest = argument[start:]
        address = split_address(rest)
        if address is not None:
            found += secrets_of(rest, address, scheme)
    return tuple(dict.fromkeys(found))


def _shown_address(scheme: str, rest: str) -> str:
    """What may be shown of what stands behind `scheme://`, up to the end of a line."""
    unslashed = rest.replace(r"\/", "/")
    address = split_address(unslashed, within_text=True)
    if address is None:
        before, at, behind = rest.rpartition("@")
        if at and not re.match(r"[^:@]*[/?#\s]", before):
            return f"{MASK}{behind}"
        # `user:passw...`: cut off before its host
        word = _WORD.match(rest)
        cut = word and re.match(r"[\w.\\-]+:[^/\s]", word[0]) and not _PLACEHOLDER.match(rest)
        return MASK + rest[word.end() :] if word and cut else rest
    tail = address.tail
    word = _WORD.match(tail, address.doubtful)
    end = word.end() if word else len(tail)
    end -= len(tail[:end]) - len(tail[:end].rstrip(".,;:!?)]}\\")) if end > address.doubtful else 0
    shown = masked_tail(tail[:end], scheme=scheme.lower(), doubtful=address.doubtful)
    return address.place + shown + tail[end:]


def _forms(secret: str) -> str:
    """A pattern of a secret in all its escaped forms, mixed ones too."""
    pattern = "".join(_character(character) for character in secret)
    if len(secret) < _WORD_LENGTH:
        return rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"
    encoded = base64.b64encode(secret.encode("utf-8", "replace")).decode().rstrip("=")
    return f"{pattern}|{re.escape(encoded)}"


def _character(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character  # nothing escapes these
    code = ord(character)
    octets = character.encode("utf-8", "surrogateescape" if 0xDC80 <= code <= 0xDCFF else "surrogatepass")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    forms = [
        "".join(rf"%(?:25)*{octet:02x}" for octet in octets),
        "".join(rf"\\+x{octet:02x}" for octet in octets),
        "".join(rf"\\+u{units[place : place + 4]}" for place in range(0, len(units), 4)),
        rf"\\+U{code:08x}",
        rf"&#(?:0*{code}|x0*{code:x});",
    ]
    if code < 256:
        forms.append(rf"\\+x{code:02x}")
    forms += {
        " ": [r"\+"],
        "\n": [r"\\+n"],
        "\r": [r"\\+r"],
        "\t": [r"\\+t"],
        "&": ["&amp;"],
        "<": ["&lt;"],
        ">": ["&gt;"],
        '"': ["&quot;"],
        "'": ["&apos;", r"'\\+''", "'\"'\"'"],
        "\\": [r"\\+"],
    }.get(character, [])
    # Longer forms first: a raw `%` or `\` begins many of them. Shells and JSON put a backslash before a character.
    return f"(?:{'|'.join(forms)}|{'' if character.isalnum() else chr(92) * 2 + '*'}{re.escape(character)})"
