"""Judging a node's self-tests: does it give the known answers?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from apps.models import catalog
from apps.operators.models import Node, NodeStatus
from apps.pool.kinds import Embed, Generate
from apps.pool.models import Job, Purpose, TaskStatus
from workers.protocol.keys import unb64

NEXT_STEP = "Run `mesh node doctor` on the machine. It is tested again at its next start, and after a while by itself."


def mismatch(job: Job, answer: bytes) -> str:
    """What is wrong with the answer to a self-test; empty if it is the known one within the model's tolerance."""
    manifest = catalog.manifest(catalog.version_of(job.model, job.version))
    expected = unb64(manifest["self_test"]["expected"])
    if job.kind == Embed.name:
        return _vectors_differ(manifest["comparator"], Embed.vectors(expected), Embed.vectors(answer))
    same = Generate.answer(expected)["response"] == Generate.answer(answer)["response"]
    return "" if same else "It generated another text than the known one."


def _vectors_differ(comparator: Mapping[str, Any], expected: np.ndarray, got: np.ndarray) -> str:
    if comparator["kind"] == "cosine":
        norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(got, axis=1)
        cosine = float(np.min(np.sum(expected * got, axis=1) / np.maximum(norms, 1e-12)))
        least = float(comparator["min"])
        return "" if cosine >= least else f"Its vectors have a cosine of {cosine:.4f} with the known ones, not {least}."
    if comparator["kind"] == "tolerance":
        furthest = float(np.max(np.abs(expected - got)))
        most = float(comparator["tolerance"])
        return (
            "" if furthest <= most else f"Its vectors differ by {furthest:.2g} from the known ones, more than {most}."
        )
    return "" if np.array_equal(expected, got) else "Its vectors are not the known ones."


def judge(job: Job, now: datetime) -> None:
    """Once all self-tests of its latest round are closed, move their node to online or to degraded."""
    node_id = job.options["node"]
    # Looked at first without a lock: a node that starts anew takes its old tests back, and no lock may be held then.
    if not Node.objects.filter(pk=node_id, status=NodeStatus.SELF_TEST).exists():
        return
    # Locked after the job, so that of two tests that end at once the second sees the first as closed.
    node = Node.objects.select_for_update(no_key=True).get(pk=node_id)
    if node.status != NodeStatus.SELF_TEST:
        return
    tests = Job.objects.filter(purpose=Purpose.SELF_TEST, options__node=node.pk, created_at__gte=node.status_at)
    if tests.open().exists():
        return
    failed = tests.exclude(status=TaskStatus.COMPLETED).order_by("created_at").first()
    if failed is None:
        node.move(NodeStatus.ONLINE, "", "", now, self_test_passed_at=now)
    else:
        reason = f"Its self-test of {failed.model} failed. {failed.reason}"
        node.move(NodeStatus.DEGRADED, reason, NEXT_STEP, now, self_test_passed_at=None)
