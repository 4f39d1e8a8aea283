"""The node API's addresses, relative to /api/v1/pool/ and, on its own port, bare."""

from django.urls import path

from apps.pool.node_api import asking, beating, facts, joining, rotating, working
from apps.pool.node_api.http import endpoint

urlpatterns = [
    path("health", endpoint(GET=facts.health)),
    path("status", endpoint(GET=facts.status)),
    path("nodes", endpoint(GET=facts.nodes)),
    path("nodes/<str:node_id>", endpoint(GET=facts.node)),
    path("tasks", endpoint(GET=facts.tasks)),
    path("challenge", endpoint(POST=joining.challenge)),
    path("register", endpoint(POST=joining.register)),
    path("rotate", endpoint(POST=rotating.rotate)),
    path("heartbeat", endpoint(POST=beating.heartbeat)),
    path("dispatch", endpoint(POST=asking.dispatch)),
    path("claim", endpoint(POST=working.claim)),
    path("tasks/<str:task_id>/started", endpoint(POST=working.started)),
    path("handback", endpoint(POST=working.handback)),
    path("results", endpoint(POST=working.results)),
    path("results/<str:task_id>", endpoint(GET=asking.task_result, POST=working.result)),
]
