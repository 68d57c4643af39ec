"""What OpenSSH says when it cannot connect, as an error with what fixes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgenas.errors import EdgeNASError, MissingBackendError
from edgenas.escaping import one_line
from edgenas.remote.address import Address

MAX_SAID = 300


class RemoteError(EdgeNASError):
    """A device over the network is there, and does not do what it is asked for."""


class UnreachableError(MissingBackendError):
    """A device over the network cannot be reached.

    Args:
        is_passing: it may be reached again in a moment, once it was reached.
    """

    def __init__(self, message: str, *, hint: str = "", is_passing: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_passing = is_passing


@dataclass(frozen=True, slots=True)
class _Rule:
    """A pattern in what OpenSSH says, the fact and what fixes it; ``is_passing`` as in `UnreachableError`."""

    pattern: str
    fact: str
    hint: str
    is_passing: bool = False


_RULES = (
    _Rule(
        r"could not resolve hostname",
        "{address} is not found: no host is called {host}",
        "check the name, or give it a Host entry in ~/.ssh/config",
        is_passing=True,
    ),
    _Rule(
        r"connection refused",
        "{address} refuses the connection",
        "start sshd there, or name its port: ssh://HOST:PORT",
        is_passing=True,
    ),
    _Rule(
        r"identification has changed|host key .* has changed",
        "{address} shows another host key than the one that is known: it may be another machine that pretends to be it",
        "find out why; if the device was set up anew: `ssh-keygen -R {known}`, then connect once by hand: {by_hand}",
    ),
    _Rule(
        r"host key verification failed|no .* host key is known",
        "the host key of {address} is not known yet",
        "connect once by hand, compare the fingerprint and accept it: {by_hand}",
    ),
    _Rule(
        r"permission denied|too many authentication failures|no supported authentication|unprotected private key",
        "{address} does not let {login} in with a key",
        "install the key there with `ssh-copy-id {login}`, or load it with `ssh-add`; passwords are not asked for",
    ),
    _Rule(
        r"timed out|no route to host|network is unreachable|host is down|not responding",
        "{address} does not answer",
        "check that it is switched on and in this network",
        is_passing=True,
    ),
    _Rule(
        r"bad configuration option|bad owner or permissions|can't open user config|unsupported option|keyword .* extra arguments",
        "OpenSSH cannot use its configuration: {said}",
        "correct it; `{by_hand}` says the same",
    ),
)


def refusal(address: Address, said: str) -> UnreachableError:
    """The error for what OpenSSH said on stderr before it ended."""
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip(" @")]
    names = {
        "address": str(address),
        "host": address.host,
        "known": address.host if address.port in (None, 22) else f"[{address.host}]:{address.port}",
        "login": address.login,
        "by_hand": address.by_hand,
        "said": one_line((lines or ["it says nothing"])[0])[:MAX_SAID],
    }
    for rule in _RULES:
        if re.search(rule.pattern, said, flags=re.IGNORECASE):
            return UnreachableError(rule.fact.format(**names), hint=rule.hint.format(**names), is_passing=rule.is_passing)
    last = one_line((lines or ["ssh ended without a word"])[-1])[:MAX_SAID]
    return UnreachableError(f"the line to {address} broke: {last}", hint=f"try by hand: {address.by_hand}", is_passing=True)
