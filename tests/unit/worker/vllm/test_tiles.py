"""The plugin by which vLLM's processes ask for AMX: found where the command points, and doing no harm anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from services.worker.engines.local.vllm import tiles
from services.worker.engines.local.vllm.arguments import environment_for
from services.worker.engines.local.vllm.options import read_vllm_options
from services.worker.engines.local.vllm.tiles import allow_tiles, names_amx
from tests.unit.worker.vllm.making import spec

_LEAVE = """
import ctypes
from services.worker.engines.local.vllm.tiles import allow_tiles, names_amx
allow_tiles()
allowed = ctypes.c_uint64()
ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(allowed))
print(bool(allowed.value & 1 << 18) == names_amx(open("/proc/cpuinfo").read()))
"""
"""ARCH_GET_XCOMP_PERM (0x1022) tells what has been asked for."""


def test_vllm_finds_the_plugin_on_the_path_it_is_given():
    made = environment_for(spec(), read_vllm_options(spec()), Path("/models/qwen"))
    folders = made["PYTHONPATH"].split(os.pathsep)
    declared = [point for found in distributions(path=folders[1:]) for point in found.entry_points]
    assert [(point.group, point.name) for point in declared] == [("vllm.general_plugins", "chatchat")]
    assert declared[0].load() is allow_tiles


def test_a_process_that_asked_may_use_tiles_where_the_processor_has_them():
    found = subprocess.run([sys.executable, "-c", _LEAVE], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"


def test_amx_is_read_off_the_features_only():
    assert names_amx("model name\t: Xeon\nflags\t\t: fpu amx_bf16 amx_tile amx_int8\n")
    assert not names_amx("model name\t: amx_tile\nflags\t\t: fpu avx512_bf16\n")


def test_nothing_is_imported_that_vllms_environment_may_lack():
    source = Path(tiles.__file__).read_text(encoding="utf-8")
    imported = {
        line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported - {"__future__"} <= sys.stdlib_module_names
