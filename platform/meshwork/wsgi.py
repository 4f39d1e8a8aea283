"""WSGI entry of the node API (MESH_PROCESS=node_api): its hot path never waits for a page or a socket."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")
os.environ.setdefault("MESH_PROCESS", "node_api")

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402

# After the apps are loaded, since allauth insists on its middleware and signatures need no session.
settings.MIDDLEWARE = settings.NODE_API_MIDDLEWARE

application = WSGIHandler()
