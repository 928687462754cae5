"""The waits of a command for others, which take no time."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tools.list_editor.turns import Patience


@dataclass
class Waits:
    """A clock that only waiting moves, and what it is said to be for."""

    now_s: float = 0.0
    said: list[str] = field(default_factory=list)
    while_waiting: Callable[[], object] = lambda: None

    def patience(self) -> Patience:
        return Patience(self.said.append, lambda: self.now_s, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.while_waiting()
