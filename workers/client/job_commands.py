"""`mesh submit | status | result | cancel | receipt`, `mesh job list`, `mesh models`."""

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workers.client import credentials
from workers.client.account_commands import Json, Url
from workers.client.client import MeshClient
from workers.client.errors import ClientError
from workers.client.output import print_fields, print_json, print_table, say, words

app = typer.Typer(no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="The job's id, job_…")]
DEFAULT_EMBED = "all-MiniLM-L6-v2"
MODES = {"none", "split-by-paragraph", "split-by-size"}


def read_inputs(path: Path) -> list[str]:
    """Texts from a file: a JSON list of strings, or one text a line. `-` is standard input."""
    content = sys.stdin.read() if str(path) == "-" else path.read_text()
    if content.lstrip().startswith("["):
        values = json.loads(content)
        if not all(isinstance(v, str) for v in values):
            raise typer.BadParameter("the JSON list must hold strings only")
        return list(values)
    return [line for line in content.splitlines() if line.strip()]


@app.command("submit")
def submit(
    prompt: Annotated[str | None, typer.Argument(help="A prompt to generate from, or one text to embed.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model; see `mesh models`.")] = None,
    embed: Annotated[
        Path | None, typer.Option("--embed", help="Embed the texts of a file (JSON list, or lines).")
    ] = None,
    chunk_size: Annotated[int, typer.Option("--chunk-size", min=1, help="Texts a chunk.")] = 32,
    chunking: Annotated[str, typer.Option("--chunking", help="none, split-by-paragraph or split-by-size.")] = "none",
    max_chunk: Annotated[int, typer.Option("--max-chunk", min=1, help="Characters a chunk, for --chunking.")] = 2000,
    mandate: Annotated[str | None, typer.Option("--mandate", help="A mandate (mdt_…) that pays, not you.")] = None,
    quote: Annotated[bool, typer.Option("--quote", help="Show price and feasibility; submit nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and print it.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Submit a job. Without --embed the prompt is completed by a generating model."""
    if chunking not in MODES:
        raise typer.BadParameter(f"--chunking is one of {', '.join(sorted(MODES))}")
    body: dict[str, Any]
    if embed is not None:
        body = {
            "kind": "embed",
            "model": model or DEFAULT_EMBED,
            "inputs": read_inputs(embed),
            "chunk_size": chunk_size,
        }
    elif prompt:
        if model is None:
            raise typer.BadParameter("name a generating model with --model (see `mesh models`)")
        body = {"kind": "generate", "model": model, "prompt": prompt}
        body |= {"chunk_strategy": chunking, "max_chunk_size": max_chunk}
    else:
        raise typer.BadParameter("give a prompt, or a file with --embed")
    body |= {"mandate": mandate} if mandate else {}
    with credentials.client(url) as mesh:
        if quote:
            print_json(mesh.quote(body))
            return
        job = mesh.submit(body)
        if not wait:
            print_json(job) if as_json else print_fields({"job": job["id"], "price": f"{job['price']} MESH"})
            say(f"Follow it with `mesh status {job['id']}`, or at {mesh.http.base_url}/jobs/{job['id']}")
            return
        final = follow(mesh, job["id"], 3600)
        if final["status"] != "COMPLETED":
            raise ClientError(f"The job is {final['status']}: {final.get('reason', '')}")
        show_result(mesh.result(job["id"]), None, as_json=as_json)


def follow(mesh: MeshClient, job_id: str, timeout_s: float) -> dict[str, Any]:
    """Wait for a job with a progress bar on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=words, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(job_id, total=None)

        def show(job: dict[str, Any]) -> None:
            progress.update(bar, total=job["tasks_total"], completed=job["tasks_done"], description=job["status"])

        return mesh.wait_final(job_id, timeout_s=timeout_s, on_change=show)


@app.command("status")
def status(job_id: JobId, url: Url = None, as_json: Json = False) -> None:
    """A job's state, progress and price."""
    with credentials.client(url) as mesh:
        job = mesh.job(job_id)
    if as_json:
        print_json(job)
        return
    fields = {name: job.get(name) for name in ("id", "kind", "model", "status", "price", "created_at", "finished_at")}
    fields["chunks"] = f"{job['tasks_done']} of {job['tasks_total']}"
    fields |= {name: job[name] for name in ("reason", "next_step") if job.get(name)}
    print_fields(fields)


@app.command("result")
def result(
    job_id: JobId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write vectors as .npy, or text.")] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the job.")] = 300.0,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """The joined result; waits for the job to finish."""
    with credentials.client(url) as mesh:
        final = follow(mesh, job_id, timeout)
        if final["status"] != "COMPLETED":
            raise ClientError(f"The job is {final['status']}: {final.get('reason', '')}")
        show_result(mesh.result(job_id), output, as_json=as_json)


def show_result(answer: dict[str, Any], output: Path | None, *, as_json: bool) -> None:
    """Print a result, or write it to a file."""
    if output is not None:
        if answer["kind"] == "embed":
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(answer["vectors"], np.float32))
            output.write_bytes(buffer.getvalue())
        else:
            output.write_text(answer["response"])
        say(f"Written to {output}.")
    elif as_json or answer["kind"] == "embed":
        print_json(answer)
    else:
        sys.stdout.write(answer["response"] + "\n")


@app.command("cancel")
def cancel(job_id: JobId, url: Url = None, as_json: Json = False) -> None:
    """Take back the chunks that nobody has started; started ones finish and are paid."""
    with credentials.client(url) as mesh:
        job = mesh.cancel(job_id)
    print_json(job) if as_json else print_fields({"job": job["id"], "status": job["status"]})


@app.command("receipt")
def receipt(
    job_id: JobId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to a file.")] = None,
    url: Url = None,
) -> None:
    """The job's signed receipt; check it with `mesh verify`."""
    with credentials.client(url) as mesh:
        document = mesh.receipt(job_id)
    if output is None:
        print_json(document)
        return
    output.write_text(json.dumps(document))
    say(f"Written to {output}. Check it with `mesh verify {output}`.")


@app.command("list")
def list_jobs(url: Url = None, as_json: Json = False) -> None:
    """Your newest jobs."""
    with credentials.client(url) as mesh:
        jobs = mesh.jobs()
    if as_json:
        print_json(jobs)
        return
    if not jobs:
        say("No jobs yet. Submit one with `mesh submit`.")
        return
    rows = [
        [j["id"], j["kind"], j["model"], j["status"], f"{j['tasks_done']}/{j['tasks_total']}", j["price"]] for j in jobs
    ]
    print_table(["job", "kind", "model", "status", "chunks", "price"], rows)


def models(url: Url = None, as_json: Json = False) -> None:
    """Models that the network offers."""
    with credentials.client(url) as mesh:
        found = mesh.models()
    if as_json:
        print_json(found)
        return
    rows = [[m["name"], m.get("task"), m.get("family"), m.get("nodes_online"), m.get("licence")] for m in found]
    print_table(["model", "task", "family", "nodes", "licence"], rows)
