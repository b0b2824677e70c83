"""A machine is read from what nvidia-smi and the kernel say; what they do not say is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.supervisor.sizing.machine.hardware import GIB, Gpu, Hardware, HardwareReader
from services.supervisor.sizing.machine.reading import MachineReader

MIB = 2**20
MEMINFO = "MemTotal:       24684096 kB\nMemFree:  1000 kB\nMemAvailable:   20000000 kB\nSwapFree:   1048576 kB\n"
LINES = """\
0, GPU-11111111-a, NVIDIA A100-SXM4-80GB, 81920, 81000
1, GPU-22222222-b, Some, odd name, 24576, 1024
"""


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "proc/meminfo", MEMINFO)
    return tmp_path


def write(root: Path, place: str, text: str) -> Path:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def smi(root: Path, script: str) -> str:
    program = write(root, "nvidia-smi", f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def read(root: Path, **fields) -> Hardware:
    reader: HardwareReader = MachineReader(root, root=root, **fields)
    return reader.read()


def test_gpus(root):
    gpus = read(root, nvidia_smi=smi(root, f"cat <<'.'\n{LINES}.")).gpus
    assert gpus == (
        Gpu(0, "GPU-11111111-a", "NVIDIA A100-SXM4-80GB", 81920 * MIB, 81000 * MIB),
        Gpu(1, "GPU-22222222-b", "Some, odd name", 24576 * MIB, 1024 * MIB),
    )


def test_what_nvidia_smi_is_asked(root):
    read(root, nvidia_smi=smi(root, f'echo "$@" > {root}/asked'))
    asked = (root / "asked").read_text(encoding="ascii").split()
    assert asked == ["--query-gpu=index,uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"]


@pytest.mark.parametrize(
    "script", ["exit 9", "echo 0, GPU-1, NVIDIA GB10, [N/A], [N/A]", "echo nonsense", "printf '\\377'"]
)
def test_gpus_that_cannot_be_read(root, script):
    assert read(root, nvidia_smi=smi(root, script)).gpus is None


def test_no_gpu_and_one_of_another_kind(root):
    """The real machine of the test may have nvidia-smi: an empty answer stands for none."""
    assert read(root, nvidia_smi=smi(root, "true")).gpus == ()
    assert read(root, nvidia_smi=str(root / "absent")).gpus is None


def test_without_nvidia_smi_a_device_says_that_there_is_something(root, monkeypatch):
    monkeypatch.setenv("PATH", str(root))
    assert read(root).gpus == ()
    write(root, "dev/kfd", "")
    assert read(root).gpus is None


def test_main_memory(root):
    ram = read(root, nvidia_smi="absent").ram
    assert ram is not None
    assert (ram.total_bytes, ram.free_bytes) == (24684096 * 1024, 20000000 * 1024)
    assert ram.free_swap_bytes == GIB


@pytest.mark.parametrize("text", ["", "MemTotal: many kB\n"])
def test_main_memory_that_cannot_be_read(root, text):
    write(root, "proc/meminfo", text)
    assert read(root, nvidia_smi="absent").ram is None


def test_a_limit_of_control_groups_version_2(root):
    write(root, "proc/self/cgroup", "0::/app/inner\n")
    write(root, "sys/fs/cgroup/app/inner/memory.max", "max\n")
    write(root, "sys/fs/cgroup/app/memory.max", f"{8 * GIB}\n")
    write(root, "sys/fs/cgroup/app/memory.current", f"{5 * GIB}\n")
    write(root, "sys/fs/cgroup/app/memory.stat", f"anon 1\ninactive_file {2 * GIB}\n")
    write(root, "sys/fs/cgroup/app/cpu.max", "150000 100000\n")
    found = read(root, nvidia_smi="absent")
    assert found.ram is not None
    assert (found.ram.total_bytes, found.ram.free_bytes) == (8 * GIB, 5 * GIB)
    assert found.cores <= 2


def test_a_limit_of_control_groups_version_1(root):
    write(root, "proc/self/cgroup", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n1:name=systemd:/\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{4 * GIB}\n")
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", f"{GIB}\n")
    write(root, "sys/fs/cgroup/memory/memory.stat", f"inactive_file 7\ntotal_inactive_file {GIB // 2}\n")
    write(root, "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "100000\n")
    write(root, "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n")
    found = read(root, nvidia_smi="absent")
    assert found.ram is not None
    assert found.ram.total_bytes == 4 * GIB
    assert found.cores == 1


def test_no_limit(root):
    write(root, "proc/self/cgroup", "4:memory:/x\n0::/\n")
    write(root, "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n")
    write(root, "sys/fs/cgroup/cpu.max", "max 100000\n")
    ram = read(root, nvidia_smi="absent").ram
    assert ram is not None
    assert ram.total_bytes == 24684096 * 1024


@pytest.mark.parametrize(("flags", "able"), [("fpu avx512_bf16 sse", True), ("fpu avx512f", False)])
def test_processors_that_compute_in_bfloat16(root, flags, able):
    write(root, "proc/cpuinfo", f"processor : 0\nflags\t\t: {flags}\n")
    assert read(root, nvidia_smi="absent").has_bfloat16 is able


def test_the_disk_of_a_folder_that_is_not_there_yet(root):
    found = MachineReader(root / "model" / "m", root=root, nvidia_smi="absent").read()
    assert found.free_disk_bytes is not None
    assert found.free_disk_bytes > 0


def test_this_machine_can_be_read(tmp_path):
    found = MachineReader(tmp_path).read()
    assert found.cores >= 1
    assert found.ram is None or 0 < found.ram.free_bytes <= found.ram.total_bytes


def test_a_gpu_by_its_number_or_its_uuid():
    machine = Hardware(gpus=(Gpu(0, "GPU-aa-1", "A", 1, 1), Gpu(3, "GPU-bb-2", "B", 2, 2)))
    assert [gpu and gpu.index for gpu in map(machine.gpu, ("0", "3", "GPU-bb", "1", "GPU-cc"))] == [0, 3, 3, None, None]
    assert machine.has_unlike_gpus
