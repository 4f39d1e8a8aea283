"""Addresses of the account's settings. Included before allauth's, whose own pages of the same kind lead here."""

from django.urls import path
from django.views.generic import RedirectView

from apps.operators import account_settings

urlpatterns = [
    path("account", account_settings.profile, name="account_profile"),
    path("account/email", account_settings.email, name="account_email_settings"),
    path("account/email/code", account_settings.email_code, name="account_email_code"),
    path("account/security", account_settings.security, name="account_security"),
    path("account/sessions", account_settings.sessions, name="account_sessions"),
    path("account/sessions/others/end", account_settings.sessions_end_others, name="account_sessions_end_others"),
    path("account/sessions/<int:seat_id>/end", account_settings.session_end, name="account_session_end"),
    path("account/data", account_settings.data, name="account_data"),
    path("account/data/ready", account_settings.export_ready, name="account_export_ready"),
    path("account/data/export", account_settings.export, name="account_export"),
    path("account/delete", account_settings.delete, name="account_delete"),
    path("accounts/email/", RedirectView.as_view(pattern_name="account_email_settings")),
    path("accounts/sessions/", RedirectView.as_view(pattern_name="account_sessions")),
    path("accounts/2fa/", RedirectView.as_view(pattern_name="account_security")),
    path("accounts/2fa/webauthn/", RedirectView.as_view(pattern_name="account_security")),
]
