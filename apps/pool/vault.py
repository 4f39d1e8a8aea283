"""Payloads and results at rest: encrypted with the platform's data key, each bound to its task."""

from apps.core import platform_keys
from apps.pool.models import Payload, Result
from workers.protocol.sealing import decrypt_at_rest, encrypt_at_rest


def _aad(what: str, task_id: str) -> bytes:
    return f"{what}:{task_id}".encode()


def lock_payload(task_id: str, plain: bytes) -> bytes:
    """A task's input, encrypted."""
    return encrypt_at_rest(platform_keys.data_key(), plain, _aad("payload", task_id))


def open_payload(payload: Payload) -> bytes:
    """A task's input; raises SealBroken for altered bytes."""
    return decrypt_at_rest(platform_keys.data_key(), bytes(payload.ciphertext), _aad("payload", payload.task_id))


def lock_result(task_id: str, plain: bytes) -> bytes:
    """A task's result, encrypted."""
    return encrypt_at_rest(platform_keys.data_key(), plain, _aad("result", task_id))


def open_result(result: Result) -> bytes:
    """A task's result; raises SealBroken for altered bytes."""
    return decrypt_at_rest(platform_keys.data_key(), bytes(result.ciphertext), _aad("result", result.task_id))
