"""What stands in an address by a random key, so that no number does: what a form was sent."""

import secrets
from collections import deque
from typing import Generic, TypeVar

_MOST = 100

T = TypeVar("T")


class Kept(Generic[T]):
    """The last hundred things that were kept, for as long as the program runs."""

    def __init__(self) -> None:
        self._things = deque[tuple[str, T]](maxlen=_MOST)

    def keep(self, thing: T) -> str:
        """Keep a thing; return the key to it, which nobody can guess."""
        key = secrets.token_urlsafe(6)
        self._things.append((key, thing))
        return key

    def find(self, key: str) -> T | None:
        """Return what has this key, if it is still kept."""
        return dict(list(self._things)).get(key)
