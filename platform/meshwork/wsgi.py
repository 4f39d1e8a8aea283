"""WSGI entry of the node API (MESH_PROCESS=node_api): its hot path never waits for a page or a socket."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")
os.environ.setdefault("MESH_PROCESS", "node_api")

application = get_wsgi_application()
