"""FastChat's control wire over a Fleet, and ours: GET /leases."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from services.controller.fleet import Fleet
from services.foundation.errors import InvalidRequest
from services.wire.control import (
    HeartBeat,
    HeartBeatAnswer,
    LeaseList,
    ModelNames,
    ModelQuery,
    RegisterWorker,
    WorkerAddress,
    WorkerStatus,
)


def router(fleet: Fleet) -> APIRouter:
    """Every route of the controller."""
    routes = APIRouter()
    routes.include_router(_membership(fleet))
    routes.include_router(_lookup(fleet))
    routes.include_router(_as_worker(fleet))
    return routes


def _membership(fleet: Fleet) -> APIRouter:
    routes = APIRouter(tags=["membership"])

    @routes.post("/register_worker")
    async def register_worker(worker: RegisterWorker) -> None:
        await fleet.register_worker(worker)

    @routes.post("/receive_heart_beat")
    async def receive_heart_beat(beat: HeartBeat) -> HeartBeatAnswer:
        return HeartBeatAnswer(exist=fleet.receive_heart_beat(beat))

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
