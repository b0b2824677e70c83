"""Settings of 0.2.x's vLLM worker that vLLM no longer has, and what takes their place. Asked by `options`."""

from __future__ import annotations

from collections.abc import Mapping

REMOVED: Mapping[str, str] = {
    "awq_ckpt": "set path to the folder of the AWQ weights; vLLM sees the format, or quantization: awq names it",
    "awq_groupsize": "the weights say it themselves; leave it out",
    "awq_wbits": "the weights say it themselves; leave it out",
    "cpu_offloading": "set arguments: [--cpu-offload-gb, '4'] for 4 GiB of weights in the machine's memory",
    "device": "the build decides: make vllm-gpu installs the one for GPUs, make vllm the one for CPUs",
    "disable_log_requests": "vLLM logs no requests unless arguments: [--enable-log-requests] asks for it; leave it out",
    "download_dir": "models.model_dir says where weights lie, models.downloads whether they are fetched",
    "engine_use_ray": "the engine never runs in Ray; worker_use_ray: true puts the GPU workers there",
    "gptq_ckpt": "set path to the folder of the GPTQ weights; vLLM sees the format, or quantization: gptq names it",
    "gptq_groupsize": "the weights say it themselves; leave it out",
    "gptq_wbits": "the weights say it themselves; leave it out",
    "gpus": "the model's entry says it: gpus beside engine, not under options",
    "infer_turbo": "engine: vllm says it; leave it out",
    "load_8bit": "set quantization: bitsandbytes, or use weights that are quantised already",
    "max_context_len_to_capture": "set arguments: [--max-cudagraph-capture-size, N]; it counts sequences today",
    "max_gpu_memory": "set gpu_memory_utilization, the share of the GPU's memory",
    "max_paddings": "vLLM no longer pads; max_num_batched_tokens bounds the work of one step",
    "model_path": "the option is called path",
    "no_register": "a worker always registers with its controller; leave it out",
    "num_speculative_tokens": "set arguments: [--speculative-config, '{…}']",
    "swap_space": (
        "vLLM recomputes what it preempts instead of swapping it out; arguments: [--kv-offloading-size, '4'] keeps up "
        "to 4 GiB of its cache in the machine's memory"
    ),
    "use_v2_block_manager": "there is only one today; leave it out",
}
"""Name → what to do instead; a sentence without its full stop."""
