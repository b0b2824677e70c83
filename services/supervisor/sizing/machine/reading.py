"""Reads this machine: nvidia-smi, /proc/meminfo, control groups (v1 and v2), processors, disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from services.supervisor.sizing.machine.hardware import Gpu, Hardware, Ram

_MIB = 2**20
_FIELDS = "index,uuid,name,memory.total,memory.free"
_SMI_TIMEOUT_SECONDS = 20.0  # waking a driver without persistence mode takes seconds
_DEVICES = ("nvidiactl", "kfd", "davinci_manager", "dxg")  # of NVIDIA, AMD, Ascend, and of GPUs in WSL


class MachineReader:
    """Reads the machine this process runs on."""

    def __init__(self, folder: Path, *, root: Path = Path("/"), nvidia_smi: str | None = None) -> None:
        """Nothing is read yet.

        Args:
            folder: weights lie there or will; its disk is measured.
            root: where /proc, /sys and /dev are found.
            nvidia_smi: the program; None: looked for on the path.
        """
        self._folder = folder
        self._root = root
        self._nvidia_smi = nvidia_smi

    def read(self) -> Hardware:
        return Hardware(
            gpus=self._gpus(),
            ram=self._ram(),
            cores=self._cores(),
            has_bfloat16=self._has_bfloat16(),
            free_disk_bytes=self._disk(),
        )

    def _gpus(self) -> tuple[Gpu, ...] | None:
        program = self._nvidia_smi or shutil.which("nvidia-smi")
        if program is None:
            return None if any((self._root / "dev" / name).exists() for name in _DEVICES) else ()
        command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
        try:
            asked = subprocess.run(  # noqa: S603 - fixed arguments, no shell
                command, capture_output=True, text=True, timeout=_SMI_TIMEOUT_SECONDS, check=True
            )
            return tuple(_gpu(line) for line in asked.stdout.splitlines() if line.strip())
        except (OSError, subprocess.SubprocessError, ValueError):
            return None

    def _ram(self) -> Ram | None:
        try:
            text = (self._root / "proc" / "meminfo").read_text(encoding="ascii")
            kib = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
            total, free = kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
        except (OSError, ValueError, KeyError):
            return None
        for folder in self._groups("memory"):
            limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
            if limit is None or limit > total:
                continue
            used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
            total, free = limit, min(free, max(0, limit - used + _reclaimable(folder)))
        return Ram(total, free, kib.get("SwapFree", 0) * 1024)

    def _cores(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        for folder in self._groups("cpu"):
            quota = _quota(folder)
            if quota is not None:
                cores = min(cores, max(1, round(quota)))
        return cores

    def _has_bfloat16(self) -> bool:
        try:
            text = (self._root / "proc" / "cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return re.search(r"^flags\s*:.*\b(avx512_bf16|amx_bf16)\b", text, re.MULTILINE) is not None

    def _disk(self) -> int | None:
        there = next((place for place in (self._folder, *self._folder.resolve().parents) if place.exists()), None)
        return None if there is None else shutil.disk_usage(there).free

    def _groups(self, controller: str) -> Iterator[Path]:
        """The folders of this process's control groups, the innermost first, for either version."""
        try:
            lines = (self._root / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        mount = self._root / "sys" / "fs" / "cgroup"
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = mount / controller if controllers else mount
            inner = top / path.lstrip("/")
            places = [inner, *inner.parents]
            yield from places[: places.index(top) + 1]


def _gpu(line: str) -> Gpu:
    """One line of nvidia-smi; a name may hold commas, and "[N/A]" is no number."""
    index, uuid, *name, total, free = (part.strip() for part in line.split(","))
    return Gpu(int(index), uuid, ", ".join(name), int(total) * _MIB, int(free) * _MIB)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None


def _reclaimable(folder: Path) -> int:
    """Page cache of the group that gives way; counted as used, though it is free for whoever asks."""
    try:
        text = (folder / "memory.stat").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^(?:total_)?inactive_file (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _quota(folder: Path) -> float | None:
    """Processors' worth of time the group may take."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        quota, period = str(_number(folder / "cpu.cfs_quota_us")), str(_number(folder / "cpu.cfs_period_us"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None
