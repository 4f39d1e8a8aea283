"""The node API's part of the OpenAPI description, written by hand since its views are no DRF views.

Merged by drf-spectacular: `"POSTPROCESSING_HOOKS": [..., "apps.pool.node_api.schema.add_node_api"]`.
"""

from typing import Any

import msgspec

from workers.protocol import messages

PREFIX = "/api/v1/pool"
TAG = "node API"
Operation = dict[str, Any]


def ref(name: str) -> dict[str, str]:
    """A named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def content(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    """A body of that schema."""
    return {"content": {kind: {"schema": schema}}}


def fields(**properties: Any) -> dict[str, Any]:
    """An object with all of these properties; a string is a type's name."""
    typed = {name: {"type": p} if isinstance(p, str) else p for name, p in properties.items()}
    return {"type": "object", "properties": typed, "required": list(properties)}


def listed(items: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": items}


def words(*values: str) -> dict[str, Any]:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def nullable(kind: str, **more: str) -> dict[str, Any]:
    """A value that may be missing."""
    return {"type": [kind, "null"], **more}


PROBLEM = fields(type="string", title="string", status="integer", detail="string", code="string", instance="string")
SCHEMAS: dict[str, Any] = {
    "NodeApiProblem": PROBLEM,
    "Envelope": {
        **fields(
            payloadType="string",
            payload={"type": "string", "contentEncoding": "base64"},
            signatures=listed(fields(keyid="string", sig="string")),
        ),
        "additionalProperties": False,
        "description": "A DSSE envelope: Ed25519 over type and exact payload bytes. Its payload is canonical JSON: "
        "v, net, kid, kind, id, from, to, issued_at, expires_at, body.",
    },
    "PostedResult": fields(envelope=ref("Envelope"), sealed={"type": "string", "contentEncoding": "base64"}),
    "PoolNode": fields(
        id="string",
        node_id="string",
        name="string",
        status=words("pending", "self_test", "online", "degraded", "draining", "offline", "suspended", "revoked"),
        reason="string",
        next_step="string",
        tier="string",
        region="string",
        lanes="object",
        free_slots="object",
        models=listed({"type": "string"}),
        load="integer",
        reputation="integer",
        last_seen_at=nullable("string", format="date-time"),
        enrolled_at={"type": "string", "format": "date-time"},
    ),
    "PoolTask": fields(
        task_id="string",
        task_type="string",
        status=words("queued", "running", "completed", "failed", "cancelled"),
        model="string",
        priority="integer",
        assigned_node=nullable("string"),
        attempt="integer",
        created_at={"type": "string", "format": "date-time"},
        claimed_at=nullable("string", format="date-time"),
        completed_at=nullable("string", format="date-time"),
    ),
    "PoolStatus": fields(status="string", nodes="object", tasks="object", gpu_capacity="object"),
    "Dispatch": {
        **fields(task_type="string", data="object", requirements="object", priority="integer"),
        "required": ["task_type", "data"],
    },
}


def operation(name: str, text: str, answers: dict[str, Any], **more: Any) -> Operation:
    """One operation; every refusal is a problem document with a stable code."""
    refusals = {"4XX": {"description": "Refused", **content(ref("NodeApiProblem"), "application/problem+json")}}
    responses = {code: {"description": "Done", **content(schema)} for code, schema in answers.items()}
    return {
        "operationId": f"pool_{name}",
        "description": text,
        "tags": [TAG],
        "responses": {**responses, **refusals},
        "security": more.pop("security", [{}]),
        **more,
    }


def taking(schema: dict[str, Any]) -> dict[str, Any]:
    """A request's body."""
    return {"required": True, **content(schema)}


def parameter(name: str, where: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter in the path or in the query."""
    return {"name": name, "in": where, "required": where == "path", "schema": schema}


def signed(name: str, kind: str, text: str, answer: dict[str, Any], code: str = "200", **more: Any) -> dict[str, Any]:
    """A POST of a node's envelope of that kind."""
    body = taking(ref("Envelope"))
    return {"post": operation(name, f"A DSSE `{kind}`. {text}", {code: answer}, requestBody=body, **more)}


def paths() -> dict[str, dict[str, Operation]]:
    """All addresses of the node API, relative to its prefix."""
    task = [parameter("task_id", "path", {"type": "string"})]
    state = SCHEMAS["PoolNode"]["properties"]["status"]
    word = SCHEMAS["PoolTask"]["properties"]["status"]
    outcome = fields(status=words("completed", "duplicate", "superseded", "cancelled", "failed"))
    key: dict[str, Any] = {"security": [{"ApiKey": []}]}
    asked = operation(
        "dispatch",
        "Submit a job of one chunk; needs an API key with jobs:write.",
        {"201": {"allOf": [ref("PoolTask"), fields(job_id="string")]}},
        requestBody=taking(ref("Dispatch")),
        **key,
    )
    result = operation(
        "result",
        "A task of one's own and, once it is completed, its result; needs an API key with jobs:read.",
        {"200": {"allOf": [ref("PoolTask"), fields(result={})]}, "202": ref("PoolTask")},
        parameters=task,
        **key,
    )
    challenge = operation(
        "challenge",
        "The proof-of-work that enrolment with this token needs.",
        {"200": fields(challenge="string", zeros="integer")},
        requestBody=taking(fields(**{"token": "string"})),
    )
    batch = operation(
        "post_results",
        "Up to a hundred results; one entry each, in order.",
        {"200": fields(results=listed({"type": "object"}))},
        requestBody=taking(fields(results=listed(ref("PostedResult")))),
    )
    post_result = operation(
        "post_result",
        "What came of an attempt.",
        {"200": outcome},
        requestBody=taking(ref("PostedResult")),
        parameters=task,
    )
    given_back = fields(status=words("pending", "superseded", "cancelled"))
    query = "query"
    return {
        "/health": {"get": operation("health", "The process answers.", {"200": fields(status="string")})},
        "/status": {"get": operation("status", "Nodes, tasks and capacity.", {"200": ref("PoolStatus")})},
        "/nodes": {
            "get": operation(
                "nodes", "All nodes.", {"200": fields(nodes=listed(ref("PoolNode")))},
                parameters=[parameter("status", query, state)],
            )
        },
        "/nodes/{node_id}": {
            "get": operation(
                "node", "One node.", {"200": ref("PoolNode")},
                parameters=[parameter("node_id", "path", {"type": "string"})],
            )
        },
        "/tasks": {
            "get": operation(
                "tasks", "Queued and running tasks, or those of one state.",
                {"200": fields(tasks=listed(ref("PoolTask")))}, parameters=[parameter("status", query, word)],
            )
        },
        "/challenge": {"post": challenge},
        "/register": signed(
            "register", "node.register", "Needs an enrolment token and a solved proof-of-work.", ref("Envelope"), "201"
        ),
        "/rotate": signed(
            "rotate", "node.rotate", "New keys, signed by the old; answered by a `platform.rotated`.", ref("Envelope")
        ),
        "/heartbeat": signed("heartbeat", "node.heartbeat", "Answered by a `platform.heartbeat`.", ref("Envelope")),
        "/dispatch": {"post": asked},
        "/claim": signed(
            "claim", "task.claim", "Waits up to `wait` seconds for work.", fields(tasks=listed(ref("Envelope"))),
            parameters=[parameter("wait", query, {"type": "number"})],
        ),
        "/tasks/{task_id}/started": signed(
            "started", "task.started", "Only `running` may go on.",
            fields(status=words("running", "superseded", "cancelled")), parameters=task,
        ),
        "/handback": signed("handback", "task.handback", "Gives a task back.", given_back),
        "/results": {"post": batch},
        "/results/{task_id}": {"get": result, "post": post_result},
    }  # fmt: skip


def bodies() -> dict[str, Any]:
    """The bodies inside envelopes, from the structs that check them."""
    kinds = [kind for name, kind in messages.KINDS.items() if name != "task.run"]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return found


def add_node_api(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A postprocessing hook: the schema with the node API in it."""
    for path, operations in paths().items():
        result.setdefault("paths", {})[f"{PREFIX}{path}"] = operations
    result.setdefault("components", {}).setdefault("schemas", {}).update({**bodies(), **SCHEMAS})
    return result
