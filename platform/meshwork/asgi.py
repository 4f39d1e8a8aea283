"""ASGI entry of the site: pages and API over HTTP, live topics and node presence over WebSocket."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")

http = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402

from meshwork.routing import websockets  # noqa: E402

application = ProtocolTypeRouter({"http": http, "websocket": websockets})
