"""Leave to use the tile registers (AMX) of newer Xeons. vLLM calls it in each of its processes, as a general plugin.

vLLM's CPU build picks AMX kernels wherever the processor names AMX, but asks the kernel for leave nowhere: without it
the first tile instruction ends the process with SIGILL. The plugin is declared in `plugin/`, which `arguments` puts on
the path. Nothing here may need a package that vLLM's environment lacks.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import sys
from pathlib import Path

log = logging.getLogger(__name__)
_SYS_ARCH_PRCTL = 158  # on x86-64
_ARCH_REQ_XCOMP_PERM = 0x1023
_XFEATURE_XTILEDATA = 18
_PROCESSORS = Path("/proc/cpuinfo")


def allow_tiles() -> None:
    """Ask Linux for AMX's tile data, once for all threads of this process; elsewhere there is nothing to ask.

    Source: the kernel's Documentation/arch/x86/xstate.rst. The leave is inherited by fork and lost by exec.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or not names_amx(_PROCESSORS.read_text()):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) != 0:
        reason = os.strerror(ctypes.get_errno())
        log.error("this processor has AMX, but the kernel does not let it be used (%s): vLLM may die of SIGILL", reason)


def names_amx(text: str) -> bool:
    """Whether the text of /proc/cpuinfo lists AMX's tiles among the processor's features."""
    return any(line.startswith("flags") and "amx_tile" in line.split() for line in text.splitlines())
