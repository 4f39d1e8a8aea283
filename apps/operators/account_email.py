"""Changing or confirming an account's address: a code goes to the new one, and nothing changes before it comes back.

The code waits in the session, and no row names the new address meanwhile, so an account cannot claim an address that
it does not read. An address of somebody else looks the same as a free one to whoever asks; its owner is told.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare

from apps.core import events
from apps.core.models import User
from apps.operators import attempts
from apps.operators.account_errors import AccountGone, EmailCodeExpired, EmailCodeSpent, EmailCodeWrong, EmailTaken

KEY = "email_change"
LIFE = timedelta(minutes=10)
TRIES = 3
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8
ASKED_BY_ONE = 5
ASKED_FOR_ONE = 3
GUESSES = 10


def is_confirmed(user: User) -> bool:
    """Whether the account's address was proven to be its owner's."""
    return bool(EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists())


def is_taken(email: str, user: User) -> bool:
    """Whether another account has this address, confirmed or not."""
    rows = EmailAddress.objects.filter(email__iexact=email).exclude(user=user)
    return User.objects.filter(email__iexact=email).exclude(pk=user.pk).exists() or rows.exists()


def begin(session: SessionBase, user: User, email: str, now: datetime) -> None:
    """Send a code to the address, or word to its owner. Raises TooManyAttempts or MailUnavailable."""
    email = email.lower()
    attempts.count(f"email-code-by:{user.pk}", ASKED_BY_ONE)
    attempts.count(f"email-code-for:{sha256(email.encode()).hexdigest()}", ASKED_FOR_ONE)
    taken = is_taken(email, user)
    code = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
    template = "account/email/address_taken" if taken else "account/email/address_code"
    shown = f"{code[:4]}-{code[4:]}"
    get_adapter().send_mail(template, email, {"code": shown, "minutes": LIFE.seconds // 60})
    # No guess fits an empty code.
    session[KEY] = {"email": email, "code": "" if taken else code, "at": now.timestamp(), "tries": 0}


def pending(session: SessionBase, now: datetime) -> str | None:
    """The address that waits for its code; None where none does."""
    state = _state(session, now)
    return str(state["email"]) if state else None


def _state(session: SessionBase, now: datetime) -> dict[str, Any] | None:
    state: dict[str, Any] | None = session.get(KEY)
    if state is None or now.timestamp() - state["at"] > LIFE.total_seconds():
        return None
    return state


def cancel(session: SessionBase) -> None:
    """Forget the code."""
    session.pop(KEY, None)


def confirm(session: SessionBase, user: User, code: str, now: datetime) -> str | None:
    """Use the code up and make its address the account's; returns the former one.

    Raises EmailCodeWrong, EmailCodeExpired, EmailCodeSpent, EmailTaken, TooManyAttempts or AccountGone.
    """
    # Counted beside the session, whose last writer wins where guesses come at the same time.
    attempts.count(f"email-guess:{user.pk}", GUESSES)
    state = _state(session, now)
    if state is None:
        raise EmailCodeExpired
    given = "".join(letter for letter in code.upper() if letter.isalnum())
    if not state["code"] or not constant_time_compare(given, state["code"]):
        state["tries"] += 1
        session[KEY] = state
        if state["tries"] >= TRIES:
            cancel(session)
            raise EmailCodeSpent
        raise EmailCodeWrong
    cancel(session)
    return change(user, state["email"], now)


@transaction.atomic
def change(user: User, email: str, now: datetime) -> str | None:
    """Make the proven address the account's only one; returns the former. Raises EmailTaken or AccountGone."""
    # Locked, so that two changes, or a change and a deletion, come one after another.
    person = User.objects.locked(user.pk)
    if person is None:
        raise AccountGone
    if is_taken(email, person):
        raise EmailTaken
    former = person.email
    try:
        with transaction.atomic():
            User.objects.filter(pk=person.pk).update(email=email)
            EmailAddress.objects.filter(user=person).delete()
            EmailAddress.objects.create(user=person, email=email, verified=True, primary=True)
    except IntegrityError as error:
        raise EmailTaken from error
    kind = "account.email_confirmed" if former == email else "account.email_changed"
    events.emit(kind, subject=f"user:{person.pk}", topics=[f"user.{person.pk}"], now=now, actor=person)
    user.email = email
    return former
