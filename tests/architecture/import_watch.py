"""Run as a program: import the modules named on stdin and print, as JSON, every effect that importing had, and which
packages were loaded after the first of them.

A program of its own, because an audit hook cannot be taken off again and `sys.modules` must begin empty.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = {
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.chmod",
    "os.truncate",
    "shutil.rmtree",
    "shutil.copyfile",
    "sqlite3.connect",
    "tempfile.mkstemp",
    "tempfile.mkdtemp",
}


EXCUSED = {"urllib3.util.connection"}
"""Third parties whose probe we cannot help: urllib3 binds ::1, port 0, to learn whether there is IPv6."""


def _excused() -> bool:
    frame = sys._getframe()
    while frame.f_back is not None:
        if frame.f_globals.get("__name__") in EXCUSED:
            return True
        frame = frame.f_back
    return False


class Watch:
    """An audit hook that notes what importing does beyond importing."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.importing: str | None = None

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.importing is None:
            return
        if event == "open" and self._writes(*args):
            self.effects.append(f"{self.importing}: wrote {args[0]}")
        if event in FORBIDDEN and not (event == "socket.bind" and _excused()):
            self.effects.append(f"{self.importing}: {event} {str(args)[:200]}")
            if event.startswith("socket."):
                raise PermissionError(f"{event} while importing")

    @staticmethod
    def _writes(path: object, _: object, flags: object) -> bool:
        return isinstance(flags, int) and bool(flags & WRITING) and path not in {"/dev/null", -1}


def main(names: list[str]) -> dict[str, Any]:
    watch = Watch()
    sys.addaudithook(watch)
    streams = sys.stdout, sys.stderr, sys.excepthook
    failures: list[str] = []
    loaded: list[list[str]] = []
    for name in names:
        watch.importing = name
        try:
            importlib.import_module(name)
        except Exception as failure:  # noqa: BLE001 - one module that fails must not hide the others
            failures.append(f"{name}: {type(failure).__name__}: {failure}")
        if (sys.stdout, sys.stderr, sys.excepthook) != streams:
            watch.effects.append(f"{name}: replaced a stream or the exception hook")
            sys.stdout, sys.stderr, sys.excepthook = streams
        loaded.append(sorted({name.partition(".")[0] for name in sys.modules}))
    watch.importing = None
    return {"effects": watch.effects, "failures": failures, "loaded_first": loaded[0]}


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
