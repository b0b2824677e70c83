"""Why vLLM's server did not start: its last lines read, and named as a failure of ours. Used by `engine`."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from services.foundation.errors import ChatchatError, EngineFailed, InvalidSetting, OutOfMemory
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.vllm.options import VllmOptions
from services.worker.engines.options import option_path

_MEMORY = re.compile(
    r"(?:[\w.]*OutOfMemoryError: .*|CUDA out of memory.*|"
    r"No available memory for the cache blocks.*|"
    r"To serve at least one request with .*|"
    r"(?:Free memory on device|Available memory on node) .* is less than desired .*|"
    r"MemoryError.*|.*Cannot allocate memory.*)"
)
_TOO_LONG = re.compile(r"User-specified max_model_len \(\d+\) is greater than the derived max_model_len \(\w+=(\d+)")
_FLAG = re.compile(r"error: (unrecognized arguments: .*|argument (--[\w-]+)[^:]*: .*|.*expected .* argument.*)")
_SETTING = re.compile(r"Value error, (.*?)(?: \[type=value_error.*)?$")
_PORT = re.compile(r"address already in use", re.IGNORECASE)
_REASON = re.compile(r"^(?:\(.*?\) )?(?:ERROR .*?\] )?((?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)): (.+)$")
_UNTELLING = "Engine core initialization failed"
_REASON_CHARS = 600


def failure_to_start(spec: EngineSpec, options: VllmOptions, code: int | None, lines: Sequence[str]) -> ChatchatError:
    """The failure that the last lines of a server that ended, or failed its first request, tell of."""
    memory = _first(_MEMORY, lines)
    if memory is not None:
        return OutOfMemory(model=spec.model, reason=_cut(memory[0]) + _asked_for(spec, options))
    return _wrong_setting(spec, lines) or EngineFailed(model=spec.model, reason=_reason(code, lines))


def _wrong_setting(spec: EngineSpec, lines: Sequence[str]) -> InvalidSetting | None:
    longest = _first(_TOO_LONG, lines)
    if longest is not None:
        reason = f"the model takes at most {longest[1]} tokens, but {spec.context_tokens} are asked for"
        return InvalidSetting(setting=f"models.served.{spec.model}.context_tokens", reason=reason)
    flag = _first(_FLAG, lines)
    if flag is not None:
        name = (flag[2] or "").removeprefix("--").replace("-", "_")
        known = name if name in VllmOptions.model_fields else "arguments"
        return InvalidSetting(setting=option_path(spec, known), reason=f"vLLM says: {_cut(flag[1])}")
    if _first(_PORT, lines) is not None:
        return InvalidSetting(setting=option_path(spec, "server_port"), reason="something else listens on this port")
    value = _first(_SETTING, lines)
    if value is not None:
        return InvalidSetting(setting=f"models.served.{spec.model}.options", reason=f"vLLM says: {_cut(value[1])}")
    return None


def _reason(code: int | None, lines: Sequence[str]) -> str:
    told = [found for found in map(_REASON.search, lines) if found and _UNTELLING not in found[2]]
    if told:
        return _cut(f"{told[-1][1]}: {told[-1][2]}")
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        return f"vLLM's server was ended by {name} while it started{hint}"
    last = f": {lines[-1]}" if lines else ""
    return _cut(f"vLLM's server left with code {code} while it started{last}")


def _asked_for(spec: EngineSpec, options: VllmOptions) -> str:
    """What was asked for, so that the reader sees what to lower."""
    memory = ("gpu_memory_utilization", "kv_cache_memory_bytes", "max_num_seqs")
    asked = [f"{name} {getattr(options, name)}" for name in memory if getattr(options, name) is not None]
    return f" (asked for: {', '.join([f'context_tokens {spec.context_tokens}', *asked])})"


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> re.Match[str] | None:
    return next((found for found in map(pattern.search, lines) if found), None)


def _cut(reason: str) -> str:
    without_link = re.sub(r"\s*See https?://\S+ for more details\.?", "", reason)
    return without_link[:_REASON_CHARS].rstrip(". ")
