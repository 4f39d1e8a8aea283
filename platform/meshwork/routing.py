"""WebSockets: live topics for people (session, own Origin only) and presence for nodes (no cookies; signatures)."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from apps.core.live import LiveConsumer
from apps.pool.gateway import NodeConsumer

live: Any = AllowedHostsOriginValidator(AuthMiddlewareStack(LiveConsumer.as_asgi()))
nodes: Any = NodeConsumer.as_asgi()
routes: list[Any] = [path("ws/live", live), path("ws/node", nodes)]
websockets = URLRouter(routes)
