"""FastChat's control wire over a Fleet, 0.2.10's /release_worker, and ours: GET /leases, /drain_worker."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from services.controller.fleet import Fleet
from services.controller.release import Release
from services.foundation.errors import InvalidRequest
from services.wire.control import (
    DrainWorker,
    HeartBeat,
    HeartBeatAnswer,
    LeaseList,
    ModelNames,
    ModelQuery,
    RegisterWorker,
    ReleaseAnswer,
    ReleaseWorker,
    WorkerAddress,
    WorkerStatus,
)


def router(fleet: Fleet, release: Release) -> APIRouter:
    """Every route of the controller."""
    routes = APIRouter()
    routes.include_router(_membership(fleet))
    routes.include_router(_lookup(fleet))
    routes.include_router(_as_worker(fleet))
    routes.include_router(_switching(release))
    return routes


def _membership(fleet: Fleet) -> APIRouter:
    routes = APIRouter(tags=["membership"])

    @routes.post("/register_worker")
    async def register_worker(worker: RegisterWorker) -> None:
        await fleet.register_worker(worker)

    @routes.post("/receive_heart_beat")
    async def receive_heart_beat(beat: HeartBeat) -> HeartBeatAnswer:
        return HeartBeatAnswer(exist=fleet.receive_heart_beat(beat))

    @routes.post("/drain_worker")
    async def drain_worker(worker: DrainWorker) -> HeartBeatAnswer:
        return HeartBeatAnswer(exist=fleet.drain_worker(worker.worker_name))

    @routes.post("/refresh_all_workers")
    async def refresh_all_workers() -> None:
        await fleet.refresh_all_workers()

    return routes


def _lookup(fleet: Fleet) -> APIRouter:
    routes = APIRouter(tags=["look-up"])

    @routes.post("/list_models")
    async def list_models() -> ModelNames:
        return ModelNames(models=fleet.list_models())

    @routes.post("/list_multimodal_models")
    async def list_multimodal_models() -> ModelNames:
        return ModelNames(models=fleet.list_multimodal_models())

    @routes.post("/list_language_models")
    async def list_language_models() -> ModelNames:
        return ModelNames(models=fleet.list_language_models())

    @routes.post("/get_worker_address")
    async def get_worker_address(query: ModelQuery) -> WorkerAddress:
        return fleet.route(query.model)

    @routes.get("/leases")
    async def leases() -> LeaseList:
        return LeaseList(leases=fleet.leases())

    @routes.get("/test_connection")
    async def test_connection() -> str:
        return "success"

    return routes


def _as_worker(fleet: Fleet) -> APIRouter:
    routes = APIRouter(tags=["the fleet as one worker"])

    @routes.post("/worker_get_status")
    async def worker_get_status() -> WorkerStatus:
        return fleet.worker_api_get_status()

    @routes.post("/worker_generate_stream")
    async def worker_generate_stream(parameters: dict[str, JsonValue]) -> StreamingResponse:
        if not isinstance(parameters.get("model"), str):
            raise InvalidRequest(field="model", reason="it is missing")
        return StreamingResponse(fleet.worker_api_generate_stream(parameters))

    return routes


def _switching(release: Release) -> APIRouter:
    routes = APIRouter(tags=["switching models"])

    @routes.post("/release_worker", response_model_exclude_none=True)
    async def release_worker(wanted: ReleaseWorker) -> ReleaseAnswer:
        return await release.carry_out(wanted)

    return routes
