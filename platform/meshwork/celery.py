"""The platform's own Celery application: queues control, ledger, mail and market over the platform's Redis."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshwork.settings")

app = Celery("meshwork")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["apps.trading.risk"])
for part in ("stake_tasks", "conduct_tasks"):
    app.autodiscover_tasks(["apps.operators"], related_name=part)
for part in ("tasks_scans", "tasks_market"):
    app.autodiscover_tasks(["apps.trading"], related_name=part)
