"""Where a device is: ``ssh://[USER@]HOST[:PORT][?python=…&dir=…&trtexec=…]``, as git and other tools write it.

What an address says ends up in command lines, so nothing in it can be taken for an option or for syntax of a shell: names hold
letters, digits and a few signs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

SCHEME = "ssh://"
EXAMPLE = "write ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT"
FOLDER = "~/.cache/edgenas/kits"
MAX_LENGTH = 1024
SETTINGS = {
    "python": "a Python 3.8 or later there, e.g. ?python=/usr/bin/python3.10",
    "dir": "a folder there, e.g. ?dir=/data/edgenas",
    "trtexec": "TensorRT's tool there, e.g. ?trtexec=/usr/src/tensorrt/bin/trtexec",
}
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}\$?")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")
_PROGRAM = re.compile(r"(~?/)?[\w.+][\w.+/ -]*")
_FOLDER = re.compile(r"~?/[\w.+/ -]*|~")


@dataclass(frozen=True, slots=True)
class Address:
    """A device that OpenSSH reaches.

    Attributes:
        host: a name, an alias of ``~/.ssh/config``, or an IP address.
        user: None leaves it to the configuration of OpenSSH; so does ``port``.
        python: what starts Python there, a path or a name.
        folder: in which every kit has a folder; ``~`` is the user's home there.
        trtexec: TensorRT's tool there; None looks for it.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str = "python3"
    folder: str = FOLDER
    trtexec: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            ValueError: with everything that is wrong with it, and what is allowed.
        """
        if len(text) > MAX_LENGTH:
            raise ValueError(f"the address has {len(text)} characters, at most {MAX_LENGTH} are read")
        if not text.isprintable():
            raise ValueError("the address holds characters that cannot be printed")
        try:
            parts = urlsplit(text)
            if parts.password is not None:
                raise ValueError("it holds a password, and everybody sees command lines: use a key (ssh-copy-id)")
            port = parts.port
        except ValueError as error:
            raise ValueError(f"the address cannot be read: {error}; {EXAMPLE}") from error
        problems = [*_doubts(text, parts, port), *_query_doubts(parts.query)]
        if problems:
            raise ValueError(f"{'; '.join(problems)}; {EXAMPLE}")
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        return cls(
            host=_host(parts),
            user=_user(parts),
            port=port,
            python=asked.get("python", "python3"),
            folder=asked["dir"].rstrip("/") or "/" if "dir" in asked else FOLDER,
            trtexec=asked.get("trtexec"),
        )

    @property
    def login(self) -> str:
        """What a person gives to `ssh`, without the port."""
        return self.host if self.user is None else f"{self.user}@{self.host}"

    @property
    def by_hand(self) -> str:
        """The command that connects a person."""
        return f"ssh {self.login}" if self.port is None else f"ssh -p {self.port} {self.login}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = "" if self.user is None else f"{self.user}@"
        return f"{SCHEME}{user}{host}" + ("" if self.port is None else f":{self.port}")


def _host(parts: SplitResult) -> str:
    """The host as it was written: `urlsplit` makes it lower case, and aliases of OpenSSH are not."""
    rest = parts.netloc.rpartition("@")[2]
    if rest.startswith("["):
        return rest[1:].partition("]")[0].replace("%25", "%")
    return rest.partition(":")[0]


def _user(parts: SplitResult) -> str | None:
    user, at, _ = parts.netloc.rpartition("@")
    return user if at else None


def _doubts(text: str, parts: SplitResult, port: int | None) -> list[str]:
    """What is wrong with everything before the query."""
    user, host = _user(parts), _host(parts)
    problems = []
    if not text.startswith(SCHEME):
        problems.append(f"{text} does not begin with {SCHEME}")
    if user is not None and not _USER.fullmatch(user):
        problems.append(f"{user!r} is no name of a user")
    if not _HOST.fullmatch(host):
        problems.append(f"{host!r} is no name of a host")
    if port == 0:
        problems.append("port 0 is none")
    if parts.path not in ("", "/"):
        problems.append(f"{parts.path} follows the host: a folder there is given by ?dir={parts.path}")
    if parts.fragment:
        problems.append(f"#{parts.fragment} means nothing here")
    return problems


def _query_doubts(query: str) -> list[str]:
    """What is wrong with what follows the question mark."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=2 * len(SETTINGS))
    except ValueError as error:
        return [f"?{query} cannot be read: {error}"]
    names = [name for name, _ in pairs]
    problems = [
        f"?{name} is not known; there are {', '.join(f'?{one}=' for one in SETTINGS)}" for name in names if name not in SETTINGS
    ]
    problems += [f"?{name} is given {names.count(name)} times" for name in SETTINGS if names.count(name) > 1]
    for name, value in pairs:
        pattern = _FOLDER if name == "dir" else _PROGRAM
        if name in SETTINGS and not (pattern.fullmatch(value) and ".." not in value.split("/")):
            problems.append(f"?{name}={value} is not {SETTINGS[name]}")
    return problems
