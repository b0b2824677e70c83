"""0.2.10's /release_worker: stop a model, or switch to another, through the supervisors of its workers."""

from __future__ import annotations

import logging

from pydantic import SecretStr

from services.clients.supervisor import SupervisorClient
from services.controller.fleet import Fleet
from services.foundation.errors import ChatchatError
from services.foundation.sse import closing
from services.wire.control import ReleaseAnswer, ReleaseWorker, ReplaceModel

log = logging.getLogger(__name__)
_FAILED = 500


class Release:
    """Asks supervisors, whose addresses come from leases and must be on the list of workers' addresses.

    Args:
        fleet: knows the leases.
        token: shown to supervisors.
    """

    def __init__(self, fleet: Fleet, token: SecretStr | None) -> None:
        self._fleet = fleet
        self._token = token

    async def carry_out(self, wanted: ReleaseWorker) -> ReleaseAnswer:
        """Answers when it is done, in the words of 0.2.10 (`sucess` is theirs); a failure is in the answer."""
        old, new = wanted.model_name, wanted.new_model_name
        listed = self._fleet.list_models()
        if new and new in listed:
            return ReleaseAnswer(code=_FAILED, msg=f"要切换的LLM模型 {new} 已经存在")
        if old not in listed:
            return ReleaseAnswer(code=_FAILED, msg=f"the model {old} is not available")
        try:
            supervisors = self._fleet.supervisors(old)
        except ChatchatError as failure:
            log.warning("%s is not released: %s", old, failure)
            return ReleaseAnswer(code=_FAILED, msg=str(failure))
        what = f"change model from {old} to {new}" if new else f"to release model: {old}"
        try:
            for address in supervisors[:1] if wanted.keep_origin else supervisors:
                await self._ask(address, wanted)
        except ChatchatError as failure:
            log.warning("failed %s: %s", what, failure)
            return ReleaseAnswer(code=_FAILED, msg=f"failed {what}", reason=str(failure))
        log.info("sucess %s", what)
        return ReleaseAnswer(msg=f"sucess {what}")

    async def _ask(self, address: str, wanted: ReleaseWorker) -> None:
        new = wanted.new_model_name
        if wanted.keep_origin and not new:  # 0.2.10 does nothing then
            return
        async with SupervisorClient(address, token=self._token) as supervisor:
            if not new:
                steps = supervisor.stop(wanted.model_name)
            elif wanted.keep_origin:
                steps = supervisor.start(new)
            else:
                steps = supervisor.replace(wanted.model_name, ReplaceModel(by=new))
            async with closing(steps):
                async for _ in steps:
                    pass
