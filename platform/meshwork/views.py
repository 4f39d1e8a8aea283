"""What the site itself answers: how to find and trust this network, its health, and stored mail."""

from typing import Any

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from apps.core import platform_keys
from apps.core.models import StoredMail
from workers.protocol.keys import b64


def well_known(request: HttpRequest) -> JsonResponse:
    """The network's name, addresses and signed keys: all that a node or a verifier needs to begin."""
    return JsonResponse(
        {
            "network": platform_keys.network_id(),
            "urls": {
                "site": settings.SITE_URL,
                "node_api": settings.NODE_API_URL,
                "gateway": settings.GATEWAY_URL,
            },
            "root_fingerprint": platform_keys.root_fingerprint(),
            "root_public": b64(platform_keys.root_public()),
            "key_list": platform_keys.key_list(),
        }
    )


def health(request: HttpRequest) -> JsonResponse:
    """200 when the database and Redis answer."""
    from django.core.cache import cache

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    cache.set("health", 1, 5)
    return JsonResponse({"status": "ok"})


def dev_mail(request: HttpRequest) -> HttpResponse:
    """Mail that a development or demo network kept instead of sending; nowhere else does the page exist."""
    if settings.ENVIRONMENT not in {"development", "demo", "test"}:
        raise Http404
    mails = StoredMail.objects.all()
    recipient = request.GET.get("to", "")
    if recipient:
        mails = mails.filter(to__icontains=recipient)
    context: dict[str, Any] = {"mails": mails[:100], "recipient": recipient}
    return render(request, "pages/dev_mail.html", context)
