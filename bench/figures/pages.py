"""The site's time for each page with ten thousand rows of whatever it lists, and what travels for it."""

import gzip
import re
import sys
import time
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import uuid4

from bench.network import database

ROWS = 10_000
ROUNDS = 7
ASSET = re.compile(rb'(?:href|src)="/static/([^"]+\.(?:css|js))"')


def measure() -> list[dict[str, Any]]:
    """The slowest and the heaviest page as figures; every page on standard error."""
    with database():
        sys.stderr.write("making rows …\n")
        pages = fill()
        shown = {path: look(client, path) for path, client in pages.items()}
    for path, (milliseconds, kilobytes) in shown.items():
        sys.stderr.write(f"{milliseconds:8.1f} ms {kilobytes:7.1f} kB  {path}\n")
    slowest, heaviest = max(shown, key=lambda path: shown[path][0]), max(shown, key=lambda path: shown[path][1])
    admin = "/admin/operators/application/?status=all"
    rest = f"{ROWS} rows of each kind; median of {ROUNDS} after one to warm up"
    return [
        row(
            "pages",
            shown[slowest][0],
            "ms",
            len(shown),
            f"slowest of {len(shown)} pages: {slowest}; {rest}; goal < 200",
        ),
        row("pages_median", median(ms for ms, _ in shown.values()), "ms", len(shown), "the middle one of all pages"),
        row("pages_admin", shown[admin][0], "ms", ROWS, f"the review queue with {ROWS} applications; goal < 200"),
        row(
            "pages_transfer",
            shown[heaviest][1],
            "kB gz",
            len(shown),
            f"page, style and scripts: {heaviest}; goal ≤ 130",
        ),
    ]


def row(figure: str, ours: float, unit: str, n: int, note: str) -> dict[str, Any]:
    """One figure; there is no peer for a site's own pages."""
    return {
        "figure": figure,
        "ours": round(ours, 1),
        "unit": unit,
        "peer": None,
        "theirs": None,
        "ratio": None,
        "n": n,
        "note": note,
    }


def look(client: Any, path: str) -> tuple[float, float]:
    """Milliseconds on the server, and kB that a first visit transfers, compressed: page, style sheets and scripts."""
    spent = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        response = client.get(path)
        spent.append(1000 * (time.perf_counter() - start))
        if response.status_code != 200:
            raise RuntimeError(f"{path} answered {response.status_code}")
    page = response.content
    sizes = [len(gzip.compress(page, 6)), *(asset(name.decode()) for name in set(ASSET.findall(page)))]
    return median(spent[1:]), sum(sizes) / 1000


def asset(name: str) -> int:
    """Bytes of a static file, compressed."""
    from django.contrib.staticfiles import finders

    found = finders.find(name)
    if not isinstance(found, str):
        raise TypeError(f"{name} is missing")
    with open(found, "rb") as file:  # noqa: PTH123 - a path of Django's
        return len(gzip.compress(file.read(), 6))


def fill() -> dict[str, Any]:
    """Rows of every kind; returns the pages to look at, each with somebody who may."""
    from django.test import Client

    from apps.core.models import User
    from apps.ledger.models import Block, Transfer
    from apps.operators.models import Node
    from bench.ledger_rows import make
    from workers.protocol.ids import show_uuid

    make(ROWS, per_block=1_000)
    staff = User.objects.create_superuser(email="staff@example.org", password=None)
    requester = people(staff)
    visitor, admin, person = Client(), Client(), Client()
    admin.force_login(staff)
    person.force_login(requester)
    transfer = show_uuid("txn", Transfer.objects.sealed()[5].pk)
    height = Block.objects.all()[2].height
    ledger = (
        "",
        "/transfers",
        "/transfers?kind=bench",
        "/transfers?account=wallet:bench:7",
        "/accounts/treasury:system",
    )
    public = ["/", "/overview", "/models", *(f"/ledger{part}" for part in ledger)]
    public += [f"/ledger/transfers/{transfer}", "/ledger/blocks", f"/ledger/blocks/{height}", "/ledger/audit"]
    public += ["/trading", "/trading/signals", "/trading/scans", "/api/v1/ledger/transfers"]
    lists = ("operators/application/?status=all", "operators/node/", "operators/operator/", "core/user/")
    lists += ("ledger/transfer/", "ledger/account/", "ledger/block/", "pool/job/")
    lists += tuple(f"operators/{name}/" for name in ("ban", "appeal", "reputationchange", "apikey"))
    node = f"/nodes/{Node.objects.filter(operator__user=requester).earliest('pk').pk}"
    own = ("/jobs", "/jobs/new", "/nodes", node, f"{node}/idle", f"{node}/reputation", "/keys", "/apply")
    own += ("/wallet", "/rewards", "/mandates", "/hosts", "/bans", "/account")
    return {
        **dict.fromkeys(public, visitor),
        **dict.fromkeys(own, person),
        **dict.fromkeys((f"/admin/{name}" for name in ("", *lists)), admin),
    }


def people(staff: Any) -> Any:
    """Applicants with their applications, operators with nodes, and one requester with jobs."""
    from django.db import connection

    from apps.core.models import User
    from apps.operators.models import Application, Node, NodeStatus, Operator
    from apps.pool.models import Job, TaskStatus
    from workers.protocol.clock import utcnow
    from workers.protocol.ids import new_id

    now = utcnow()
    users = User.objects.bulk_create(User(email=f"bench-{i}@example.org", name=f"Bench {i}") for i in range(ROWS))
    hardware = {"gpu_type": "cpu", "gpu_model": "none", "gpu_memory_gb": 0, "cpu_cores": 8, "memory_gb": 32}
    hardware |= {"operating_system": "Debian 12", "bandwidth_mbps": 100}
    statuses = ("submitted", "approved", "rejected")
    Application.objects.bulk_create(
        Application(
            id=new_id("app", now),
            user=user,
            tier="ORACLE",
            region="eu-west",
            hardware=hardware,
            status=statuses[i % 3],
            reason="the GPU is too small" if i % 3 == 2 else "",
            submitted_at=now - timedelta(minutes=i),
            reviewed_at=now if i % 3 else None,
            reviewed_by=staff if i % 3 else None,
            created_at=now - timedelta(minutes=i),
        )
        for i, user in enumerate(users)
    )
    owners = Operator.objects.bulk_create(
        Operator(id=new_id("op", now), user=user, tier="ORACLE", region="eu-west", approved_at=now) for user in users
    )
    Node.objects.bulk_create(
        Node(
            id=(name := new_id("node", now)),
            operator=owners[i % 500],
            name=f"bench-{i}",
            status=NodeStatus.ONLINE,
            status_at=now,
            sign_public=name,
            seal_public=name,
            kid=f"{i:016x}",
            probe={"cpu_name": "A processor", "gflops": 100},
            lanes={"inference.cpu": 2},
            free_slots={"inference.cpu": 2},
            last_seen_at=now,
            enrolled_at=now,
        )
        for i in range(ROWS)
    )
    Job.objects.bulk_create(
        Job(
            id=new_id("job", now),
            requester=users[0],
            kind="embed",
            model="all-MiniLM-L6-v2",
            version="1",
            status=TaskStatus.COMPLETED,
            tasks_total=4,
            tasks_done=4,
            price=4_000_000,
            price_per_chunk=1_000_000,
            hold_id=uuid4(),
            closed_at=now,
            created_at=now - timedelta(seconds=i),
            expires_at=now + timedelta(days=1),
            finished_at=now,
        )
        for i in range(ROWS)
    )
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze")
    return users[0]
