"""`make demo`: a whole network on this machine, and its two main jobs played through its public interfaces."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from meshwork.local import demo_cast as cast
from meshwork.local import directory, stack
from meshwork.local.demo_search import QUESTIONS, hits, passages
from meshwork.local.demo_setup import prepare_demo
from meshwork.local.demo_trading import SWITCH, TWO_FACED, Trade
from meshwork.local.supervisor import say
from meshwork.local.visitor import StepFailed, Visitor

MODEL = "all-MiniLM-L6-v2"
CHUNK = 8
BLOCK_SECONDS = 10
GRANT_BELOW = 6.0
FEWEST_HITS = 8
JOIN_AT_ONCE = 3


class Play:
    """The scenario on a running stack. Every step raises StepFailed unless it saw what it should."""

    def __init__(self, running: stack.Stack, operators: Sequence[cast.Operator] = cast.OPERATORS) -> None:
        self.stack = running
        self.operators = operators
        self.site = running.urls["site"]
        self.node_api = running.urls["node_api"]
        self.nodes = running.directory.path / "nodes"
        self.outside = running.outside_environment
        self.requester = cast.requester_environment(self.outside, running.directory.path / "requester", self.site)
        self.started = time.monotonic()
        self.facts: dict[str, Any] = {}

    def step(self, words: str) -> None:
        """Progress on the terminal."""
        say(f"[{time.monotonic() - self.started:5.1f} s] {words}")

    def people(self) -> None:
        """Operators sign up and apply; the admin approves six and rejects one; the approved stake and enrol."""
        missing = [o for o in self.operators if not (self.nodes / o.node / "identity.json").exists()]
        if not missing:
            self.step("Operators and nodes of an earlier run are used again.")
            return
        probe = cast.mesh_json("node", "probe", "--json", environment=self.outside)
        visitors = {o: cast.session(self.site, o.email, o.name.title()) for o in (*missing, cast.REJECTED)}
        for operator, visitor in visitors.items():
            cast.apply(visitor, operator, probe)
        self.step(f"{len(visitors)} operators signed up and applied.")
        admin = Visitor(self.site)
        admin.log_in(cast.ADMIN, cast.PASSWORD)
        cast.review(admin, [o.email for o in missing], approve=True)
        cast.review(admin, [cast.REJECTED.email], approve=False, reason=cast.REJECTION)
        if cast.REJECTION not in visitors[cast.REJECTED].get("/apply").text.replace("&#x27;", "'"):
            raise StepFailed("The rejected applicant does not see the reason.")
        self.step(f"The admin approved {len(missing)} and rejected one: {cast.REJECTION}")
        for operator in missing:
            cast.lock_stake(visitors[operator])
        with ThreadPoolExecutor(JOIN_AT_ONCE) as pool:
            list(pool.map(lambda o: self.enrol(o, visitors[o]), missing))
        self.step(f"{len(missing)} stakes locked, {len(missing)} nodes enrolled with one-use tokens.")

    def enrol(self, operator: cast.Operator, visitor: Visitor) -> None:
        """One operator's node joins with its token."""
        cast.enrol(visitor, operator, self.site, self.nodes / operator.node, self.outside)

    def start_nodes(self) -> None:
        """Each node agent is its own process with its own directory, keys, broker account and cache."""
        # One that signed twice in an earlier demo on this directory was slashed, and does not come back.
        out = {node["name"] for node in self.listed("suspended")}
        playing = [operator for operator in self.operators if operator.node not in out]
        for operator in playing:
            folder = str(self.nodes / operator.node)
            extra = SWITCH if operator.node == TWO_FACED else None
            self.stack.start_outside(operator.node, [*cast.MESH, "node", "run", "--dir", folder], extra=extra)
        wanted = len(playing)
        cast.wait_for(f"{wanted} nodes online", lambda: len(self.online()) >= wanted, 120, 0.5)
        self.facts["nodes_online"] = len(self.online())
        self.step(f"{wanted} nodes passed their self-test and are online.")

    def online(self) -> list[dict[str, Any]]:
        """Nodes that the platform says are online."""
        return self.listed("online")

    def listed(self, status: str) -> list[dict[str, Any]]:
        """Nodes that the platform says are in a state."""
        answer = httpx.get(f"{self.node_api}/nodes", params={"status": status}, timeout=10).json()
        return list(answer["nodes"])

    def fund(self) -> None:
        """The requester signs up, logs in on the command line, and has a wallet with the faucet's reward."""
        visitor = cast.session(self.site, cast.REQUESTER, "Rita")
        visitor.close()
        cast.mesh("login", "--url", self.site, "--email", cast.REQUESTER, "--name", "demo", environment=self.requester)
        cast.mesh("wallet", "new", environment=self.requester)
        balance = float(cast.mesh_json("me", "--json", environment=self.requester)["balance"])
        if balance < GRANT_BELOW:
            prepare_demo(self.stack, "grant", cast.REQUESTER, "10")
            balance = float(cast.mesh_json("me", "--json", environment=self.requester)["balance"])
        self.step(f"The requester has {balance:g} MESH.")

    def job(self) -> str:
        """Submit the texts, kill a node while it runs a chunk, and wait for every chunk to be there once."""
        corpus = passages()
        texts = self.stack.directory.path / "requester" / "texts.json"
        texts.write_text(json.dumps([p.text for p in corpus]))
        arguments = ("submit", "--embed", str(texts), "--model", MODEL, "--chunk-size", str(CHUNK), "--json")
        job = cast.mesh_json(*arguments, environment=self.requester)
        self.step(f"Job {job['id']}: {len(corpus)} texts in {job['tasks_total']} chunks for {job['price']} MESH.")
        self.kill_one(job["id"])
        final = cast.wait_for("the job to finish", lambda: self.final(job["id"]), 240, 0.5)
        if final["status"] != "COMPLETED":
            raise StepFailed(f"The job is {final['status']}: {final.get('reason')}")
        tasks = self.tasks(job["id"])
        if {t["status"] for t in tasks} != {"COMPLETED"} or sorted(t["index"] for t in tasks) != list(
            range(len(tasks))
        ):
            raise StepFailed("Not every chunk is completed exactly once.")
        self.facts |= {"jobs_completed": 1, "tasks": len(tasks), "chunks": len(tasks)}
        self.step(f"{len(tasks)} chunks completed, each counted and paid once.")
        return str(job["id"])

    def tasks(self, job_id: str) -> list[dict[str, Any]]:
        """The job's chunks through the API."""
        return list(self.api(lambda mesh: mesh.tasks(job_id)))

    def final(self, job_id: str) -> dict[str, Any] | None:
        """The job once it is final."""
        job: dict[str, Any] = self.api(lambda mesh: mesh.job(job_id))
        return job if job["status"] in {"COMPLETED", "FAILED", "CANCELLED"} else None

    def api(self, call: Callable[[Any], Any]) -> Any:
        """Call the Python client with the requester's key."""
        from workers.client.client import MeshClient

        stored = json.loads((Path(self.requester["XDG_CONFIG_HOME"]) / "meshwork" / "credentials.json").read_text())
        with MeshClient(self.site, stored["key"]) as client:
            return call(client)

    def kill_one(self, job_id: str) -> None:
        """SIGKILL the agent of a node that runs a chunk; measure until another node has that chunk."""

        def running() -> dict[str, Any] | None:
            return next((t for t in self.tasks(job_id) if t["status"] == "RUNNING" and t["node"]), None)

        victim = cast.wait_for("a running chunk", running, 60, 0.05)
        names = {n["id"]: n["name"] for n in httpx.get(f"{self.node_api}/nodes", timeout=10).json()["nodes"]}
        name = names[victim["node"]]
        pid = self.stack.supervisor.pid(name)
        if pid is None:
            raise StepFailed(f"{name} was not running.")
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()

        def elsewhere() -> dict[str, Any] | None:
            task = next(t for t in self.tasks(job_id) if t["id"] == victim["id"])
            moved = task["node"] not in {None, victim["node"]} and task["status"] in {"RUNNING", "COMPLETED"}
            # A result that had left before the kill counts, and leaves nothing to recover.
            return task if moved or task["status"] == "COMPLETED" else None

        task = cast.wait_for("the killed node's chunk to run elsewhere", elsewhere, 60, 0.05)
        self.facts |= {"node_killed": name, "recovered_s": round(time.monotonic() - killed, 2)}
        where = names.get(task["node"], "?")
        self.step(f"{name} was killed while it ran a chunk; {where} had it {self.facts['recovered_s']} s later.")

    def search(self, job_id: str) -> None:
        """Ten fixed questions against the vectors; the questions go through the OpenAI-style endpoint."""
        vectors = np.asarray(self.api(lambda mesh: mesh.result(job_id))["vectors"], np.float32)
        body = {"model": MODEL, "input": [question for question, _ in QUESTIONS]}
        answer = self.api(lambda mesh: mesh.request("POST", "/v1/embeddings", json=body, timeout=120).json())
        questions = np.asarray([row["embedding"] for row in answer["data"]], np.float32)
        found = hits(passages(), vectors, questions)
        self.facts["search_hits"] = found
        self.facts["jobs_completed"] += 1
        if found < FEWEST_HITS:
            raise StepFailed(f"Only {found} of {len(QUESTIONS)} questions found their topic.")
        self.step(f"{found} of {len(QUESTIONS)} questions find their topic among the first three passages.")

    def receipt(self, job_id: str) -> None:
        """Wait until the job's transfers are sealed, fetch the receipt, check it offline against the pinned root."""
        path = self.stack.directory.path / "requester" / f"{job_id}.json"

        def fetched() -> bool:
            arguments = ("receipt", job_id, "-o", str(path))
            return cast.mesh(*arguments, environment=self.requester, check=False).returncode == 0

        cast.wait_for("the receipt", fetched, 90, 1.0)
        root = httpx.get(f"{self.site}/.well-known/meshwork", timeout=10).json()["root_fingerprint"]
        offline = {**self.outside, "MESH_URL": "http://localhost:1", "NO_COLOR": "1"}
        cast.mesh("verify", str(path), "--root", root, environment=offline)
        self.facts["receipt_verified"] = True
        self.step(f"The receipt verifies offline: {path}")

    def audit(self) -> None:
        """Recompute the ledger."""
        report = prepare_demo(self.stack, "audit")
        self.facts["ledger_audit_ok"] = bool(json.loads(report)["ok"])
        if not self.facts["ledger_audit_ok"]:
            raise StepFailed(f"The audit failed: {report[:500]}")
        self.step("The ledger's audit passes.")

    def back(self) -> None:
        """The killed node has come back by itself."""
        wanted = self.facts["node_killed"]
        cast.wait_for(f"{wanted} to come back", lambda: wanted in {n["name"] for n in self.online()}, 60, 0.5)
        self.step(f"{wanted} came back by itself.")

    def run(self) -> dict[str, Any]:
        """All steps; the facts that the last line prints."""
        self.people()
        self.start_nodes()
        self.fund()
        job_id = self.job()
        self.search(job_id)
        self.back()
        self.receipt(job_id)
        self.facts |= Trade(self).run()
        self.audit()
        self.facts["seconds"] = round(time.monotonic() - self.started, 1)
        return self.facts


FACTS = [
    "nodes_online",
    "jobs_completed",
    "tasks",
    "chunks",
    "node_killed",
    "recovered_s",
    "search_hits",
    "receipt_verified",
    "ledger_audit_ok",
    "scans",
    "signals",
    "decisions",
    "rounds_certified",
    "certificate_verified",
    "orders_filled",
    "equivocation_caught",
    "equivocation_slashed",
    "source",
    "seconds",
]


def demo(*, once: bool) -> int:
    """Start everything, play, and stay up unless `once`. 0 only if every step was seen to hold."""
    os.environ.setdefault("MESH_ENV", "demo")
    os.environ.setdefault("MESH_BLOCK_SECONDS", str(BLOCK_SECONDS))
    with ExitStack() as exits:
        path = exits.enter_context(stack.fresh_directory()) if once else directory.default_path()
        running = exits.enter_context(stack.services_up(path))
        say(f"Data directory {running.directory.path}")
        begun = time.monotonic()
        running.prepare()
        prepare_demo(running, "setup")
        running.start_platform()
        play = Play(running)
        play.started = begun
        play.step("Services, keys, genesis, model and platform are up.")
        try:
            facts = play.run()
        except (StepFailed, httpx.HTTPError, OSError) as error:
            say(f"The demo stopped: {error}\nLogs: {running.directory.logs}")
            return 1
        if not once:
            stay(running)
        sys.stdout.write(json.dumps({name: facts.get(name) for name in FACTS}) + "\n")
        sys.stdout.flush()
        while not once:
            time.sleep(1)
    return 0


def stay(running: stack.Stack) -> None:
    """Where to look now."""
    urls = running.urls
    say(
        f"""
Site       {urls["site"]}      (API description at /api/docs, kept mail at /dev/mail)
Admin      {urls["site"]}/admin/
Node API   {urls["node_api"]}
Logins     {cast.ADMIN} · {cast.REQUESTER} · {cast.OPERATORS[0].email} and the other operators
Password   {cast.PASSWORD}
Logs       {running.directory.logs}
Ctrl-C stops everything.
"""
    )
