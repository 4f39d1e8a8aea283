"""The site's addresses."""

from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from meshwork import views

admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns: list[URLPattern | URLResolver] = [
    path(".well-known/meshwork", views.well_known, name="well_known"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg"), name="favicon"),
    path("healthz", views.health, name="health"),
    path("", include("apps.operators.account_urls")),
    path("", include("apps.operators.wallet_urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="api_docs"),
    path("dev/mail", views.dev_mail, name="dev_mail"),
    path("", include("meshwork.pages_urls")),
    path("", include("apps.operators.conduct_urls")),
    path("", include("apps.operators.urls")),
    path("", include("apps.operators.api_urls")),
    path("", include("apps.operators.money_urls")),
    path("", include("apps.models.urls")),
    path("", include("apps.models.api_urls")),
    path("", include("apps.ledger.urls")),
    path("", include("apps.ledger.api_urls")),
    path("", include("apps.pool.urls")),
    path("", include("apps.pool.api_urls")),
    path("", include("apps.trading.urls")),
    path("", include("apps.trading.api_urls")),
]
