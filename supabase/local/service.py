"""A program in the background: started once, found again by a later command, stopped for good."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cluster import ROOT, Trouble, clean_environment, comes_free, tail
from keys import write_private


class Service:
    """Keeps `<name>.json` (who it is) and `<name>.log` (what it says) in `directory`.

    `config` is a file to write before the start; a change in it, in the command, the environment
    or the `version` means that what runs is no longer what is wanted.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        port: int,
        port_variable: str,
        command: Sequence[str | Path] = (),
        environment: Mapping[str, str] | None = None,
        config: tuple[Path, str] | None = None,
        version: str = "",
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.port = port
        self.port_variable = port_variable
        self.command = [str(part) for part in command]
        self.environment = {**clean_environment(), **(environment or {})}
        self.is_ready = is_ready
        self.log = directory / f"{name}.log"
        self._record = directory / f"{name}.json"
        self._config = config
        settings = sorted((environment or {}).items())
        parts = [*self.command, str(settings), str(config), str(port), version]
        self._fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def start(self) -> None:
        """Nothing to do where it runs as wanted; where it runs otherwise it is started anew."""
        if self.pid() and self._read().get("fingerprint") == self._fingerprint:
            return
        self.stop()
        if not comes_free(self.port):
            raise Trouble(
                f"Port {self.port}, wanted for {self.name}, is taken: "
                f"set {self.port_variable} to a free one."
            )
        if self._config:
            write_private(*self._config)
        with self.log.open("w") as log:
            process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        born = birth(process.pid)
        self._record.write_text(
            json.dumps({"pid": process.pid, "born": born, "fingerprint": self._fingerprint})
        )

    def wait(self, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not self.is_ready():
            if not self.pid() or time.monotonic() > end:
                raise Trouble(f"{self.name} did not start; its last words:\n{tail(self.log)}")
            time.sleep(0.05)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """For as long as the block lasts."""
        self.start()
        try:
            self.wait()
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 5
            if pid := self.pid():
                os.kill(pid, number)
            while self.pid() and time.monotonic() < end:
                time.sleep(0.02)
        self._record.unlink(missing_ok=True)

    def pid(self) -> int | None:
        """Ours or none: a pid is used again, its hour of birth with it is not."""
        pid, born = self._read().get("pid"), self._read().get("born")
        return int(pid) if pid and born and birth(int(pid)) == born else None

    def _read(self) -> dict[str, str | int]:
        try:
            return dict(json.loads(self._record.read_text()))
        except (FileNotFoundError, ValueError):
            return {}


def birth(pid: int) -> str | None:
    """When the process started, in ticks since the machine did; None when it is over."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state == "Z" else f"{boot} {fields[18]}"
