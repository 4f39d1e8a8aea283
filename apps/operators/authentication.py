"""API keys: made once, stored as hashes, checked on every request."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.db.models import Q
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.core import events, parameters
from apps.core.models import User
from apps.operators import bans, freshness, mail
from apps.operators.errors import AccountBanned, KeyExpired, KeyRefused, KeyRevoked, KeyUnknown, LoginExpired
from apps.operators.models import ApiKey, Scope
from apps.operators.models.accounts import LOGIN_PREFIX, LOGIN_SCOPES
from workers.protocol.clock import utcnow
from workers.protocol.ids import new_id

PREFIX = "mk_"
SHOWN = 10
TOUCH = timedelta(minutes=1)
SAFE = {"GET", "HEAD", "OPTIONS"}


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return sha256(key.encode()).hexdigest()


@transaction.atomic
def make_key(
    user: User,
    name: str,
    scopes: list[str],
    now: datetime,
    *,
    expires_at: datetime | None = None,
    prefix: str = PREFIX,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is never seen again; its owner is told by mail."""
    text = f"{prefix}{secrets.token_urlsafe(32)}"
    row = ApiKey.objects.create(
        id=new_id("key", now),
        user=user,
        name=name,
        prefix=text[:SHOWN],
        hash=hash_of(text),
        scopes=sorted(scopes),
        created_at=now,
        expires_at=expires_at,
    )
    data = {"name": name, "scopes": row.scopes, "expires_at": expires_at.isoformat() if expires_at else ""}
    events.emit("key.made", subject=row.pk, topics=[f"user.{user.pk}"], data=data, now=now, actor=user)
    what = f"The API key “{name}” ({row.prefix}…)"
    mail.notify(user, "credentials_issued", {"what": what, "until": expires_at, "where": "/keys"}, now)
    return row, text


def make_login_key(user: User, name: str, now: datetime) -> tuple[ApiKey, str]:
    """A key for a command line: it does what the commands need and ends by itself; logging in again makes a new one."""
    end = now + timedelta(days=parameters.get("operators.login_key_days"))
    return make_key(user, name, list(LOGIN_SCOPES), now, expires_at=end, prefix=LOGIN_PREFIX)


@transaction.atomic
def revoke_key(key: ApiKey, now: datetime, actor: User | None = None, reason: str = "") -> bool:
    """End a key; False where it had ended."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now) != 1:
        return False
    topics, data = [f"user.{key.user_id}"], {"name": key.name, "reason": reason}
    events.emit("key.revoked", subject=key.pk, topics=topics, data=data, now=now, actor=actor)
    return True


def find_key(text: str, now: datetime) -> ApiKey:
    """The living key of an active user, noted as used.

    Raises KeyUnknown, KeyRevoked, KeyExpired, LoginExpired or AccountBanned.
    """
    if not text.startswith((PREFIX, LOGIN_PREFIX)):
        raise KeyUnknown
    key = ApiKey.objects.select_related("user").filter(hash=hash_of(text)).first()
    if key is None or not key.user.is_active:
        raise KeyUnknown
    if key.revoked_at is not None:
        raise KeyRevoked
    if key.is_over(now):
        raise LoginExpired if key.is_login else KeyExpired
    bans.refuse(now, user=key.user)
    # Once a minute is fine enough for "last used", and spares a write a request.
    if key.last_used_at is None or key.last_used_at < now - TOUCH:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - TOUCH)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    return key


def user_of_key(text: str, now: datetime) -> User | None:
    """Whose key it is; for views that are none of the REST framework's."""
    try:
        return find_key(text, now).user
    except (KeyRefused, AccountBanned):
        return None


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer mk_…`."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """The key's user and the key; None where the request has no key of ours. Raises what `find_key` raises."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = find_key(text.strip(), utcnow())
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing or wrong key a 401."""
        return "Bearer"


class HasScope(BasePermission):
    """A key needs `jobs:read` to read and `jobs:write` to change; a session may do both."""

    code = "scope_missing"
    message = "The API key lacks the scope that this needs."
    to_change = Scope.JOBS_WRITE

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the request's key is allowed to."""
        if not isinstance(request.auth, ApiKey):
            return True
        needed = Scope.JOBS_READ if request.method in SAFE else self.to_change
        return request.auth.allows({needed})


class HasWalletScope(HasScope):
    """Whoever can bind a wallet can sign for the whole account: a key needs `wallet:write` for that and for money."""

    to_change = Scope.WALLET_WRITE


class HasFreshWalletScope(HasWalletScope):
    """Binding and removing what opens the account: a session has to have proved just now whose it is."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Keys by their scope. Raises ConfirmationNeeded or SignInAgain for a session that is not fresh."""
        if request.user.is_authenticated and not isinstance(request.auth, ApiKey):
            freshness.check(request._request)
        return super().has_permission(request, view)


class InPerson(BasePermission):
    """Applying and the like are done by a person who is signed in, never by a key."""

    code = "session_needed"
    message = "Sign in on the site for this; an API key cannot do it."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Reading is free to keys."""
        return request.method in SAFE or not isinstance(request.auth, ApiKey)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI description names the key."""

    target_class = "apps.operators.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """HTTP bearer."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "mk_…"}
