"""A disk and a clock of a server process that fail as a test sets them to."""

from mmap import mmap
from pathlib import Path
from struct import calcsize, pack_into, unpack_from


class Disk:
    """The faults of a process's disk and clock, by the names in `faulty_disk.c`; 0 is none."""

    environment: dict[str, str]
    """With it a process has this disk."""

    _FIELDS = (
        "sync_takes_us",
        "sync_errno",
        "write_errno",
        "open_errno",
        "clock_ahead_s",
        "syncs",
        "writes",
    )

    def __init__(self, library: Path, path: Path) -> None:
        path.write_bytes(bytes(calcsize("q") * len(self._FIELDS)))
        with path.open("r+b") as file:
            object.__setattr__(self, "_map", mmap(file.fileno(), 0))
        environment = {"LD_PRELOAD": str(library), "FAULTY_DISK": str(path)}
        object.__setattr__(self, "environment", environment)

    def __getattr__(self, name: str) -> int:
        place = self._FIELDS.index(name) * calcsize("q")
        return int(unpack_from("q", self.__dict__["_map"], place)[0])

    def __setattr__(self, name: str, value: int) -> None:
        pack_into("q", self.__dict__["_map"], self._FIELDS.index(name) * calcsize("q"), value)

    def repair(self) -> None:
        """End every fault."""
        for name in self._FIELDS[:5]:
            setattr(self, name, 0)
