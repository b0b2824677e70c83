"""What a machine has, as far as models care. Made by `reading.py`; tests make their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

GIB = 2**30
_USABLE_SHARE = 0.98  # CUDA reports 1-2 % less than nvidia-smi: 44.42 of 44.99 GiB (L40S), 23.58 of 24.00 (3090)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as nvidia-smi counts and measures it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    free_bytes: int

    @property
    def usable_bytes(self) -> int:
        """What a program sees of it."""
        return int(self.memory_bytes * _USABLE_SHARE)


@dataclass(frozen=True, slots=True)
class Ram:
    """Main memory this process may use: the machine's or, where that is less, its control group's.

    Attributes:
        free_bytes: available without swapping; what can be reclaimed counts as free.
    """

    total_bytes: int
    free_bytes: int
    free_swap_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine. None stands for what could not be read.

    Attributes:
        gpus: empty: there is none.
        cores: processors this process may use at a time.
        has_bfloat16: they compute in bfloat16; engines then load weights in it.
        free_disk_bytes: on the disk of the model folder.
    """

    gpus: tuple[Gpu, ...] | None = ()
    ram: Ram | None = None
    cores: int = 1
    has_bfloat16: bool = False
    free_disk_bytes: int | None = None

    @property
    def has_unlike_gpus(self) -> bool:
        """CUDA may count unlike GPUs in another order than nvidia-smi: a number does not say which is meant."""
        return len({gpu.memory_bytes for gpu in self.gpus or ()}) > 1

    def gpu(self, name: str) -> Gpu | None:
        """The GPU of this index or UUID (its beginning suffices, as for CUDA); None: there is none."""
        for gpu in self.gpus or ():
            if name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name)):
                return gpu
        return None


class HardwareReader(Protocol):
    """Looks at a machine."""

    def read(self) -> Hardware:
        """What it has now. Never raises: what cannot be read is None."""
        ...
