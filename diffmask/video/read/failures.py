"""Clips that failed while a run read them: noted by whichever process met them, counted and named at the end."""

import json
import os
from pathlib import Path


class FailureLog:
    """A file of JSON lines that several processes append to.

    Args:
        path: The file; a run that is resumed goes on with it.
    """

    def __init__(self, path: Path):
        self.path = path

    def add(self, clip: str, reason: str, visit: int) -> None:
        """Note a clip that could not be read.

        Args:
            clip: Its path.
            reason: What went wrong.
            visit: Which visit of the data set it was for.
        """
        line = json.dumps({"clip": clip, "reason": reason, "visit": visit}) + "\n"
        # one write to a file opened for appending is not torn apart by other processes
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def read(self) -> dict[str, str]:
        """Return the clips that failed, each with its last reason; visits that a resumed run read again count once."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").split("\n")
        entries = [json.loads(line) for line in lines[:-1]]  # what a full disk cut off has no end of line
        return {entry["clip"]: entry["reason"] for entry in entries}
