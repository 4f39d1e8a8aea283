"""ASGI entry of the site: pages and API over HTTP, live topics and node presence over WebSocket."""

import os

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")

http: ASGIHandler = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from meshwork.routing import websockets  # noqa: E402

if settings.ENVIRONMENT in {"development", "test"}:
    # Elsewhere the server mounts the collected files.
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    http = ASGIStaticFilesHandler(http)

application = ProtocolTypeRouter({"http": http, "websocket": websockets})
