"""FastChat's control messages, with and without our additions."""

from __future__ import annotations

from services.wire.control import HeartBeatAnswer, RegisterWorker, WorkerAddress


def test_a_stock_worker_registers():
    sent = (
        '{"worker_name": "http://localhost:21002", "check_heart_beat": true, "multimodal": false,'
        ' "worker_status": {"model_names": ["vicuna"], "speed": 1, "queue_length": 0}}'
    )
    status = RegisterWorker.model_validate_json(sent).worker_status
    assert status is not None
    assert (status.model_names, status.dialect, status.tasks) == (["vicuna"], "fastchat", {})


def test_a_worker_may_leave_its_status_to_be_asked():
    assert RegisterWorker.model_validate_json('{"worker_name": "http://w"}').worker_status is None


def test_a_stock_controller_answers():
    assert WorkerAddress.model_validate_json('{"address": ""}').dialect == "fastchat"
    assert HeartBeatAnswer.model_validate_json('{"exist": true}').exist
