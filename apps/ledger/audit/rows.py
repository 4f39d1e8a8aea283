"""What the rows must say among themselves, asked of the database in sets. Each question returns what breaks a rule."""

from dataclasses import dataclass

from django.db import connection
from django.utils.translation import gettext_noop as _

from apps.ledger.amounts import MAX_SUPPLY
from apps.ledger.audit.report import Check, judged


@dataclass(frozen=True)
class Question:
    """A rule, and the statement that finds what breaks it, one name per row."""

    name: str
    detail: str
    statement: str


QUESTIONS = (
    Question(
        "entries",
        _("Every transfer has its two entries, and they sum to zero."),
        """
        select 'transfer ' || t.id from ledger_transfer t
        left join (
          select e.transfer_id, count(*) as sides, sum(e.amount) as total, bool_and(
            (e.account_id = p.debit_id and e.amount = -p.amount) or (e.account_id = p.credit_id and e.amount = p.amount)
          ) as fit
          from ledger_entry e join ledger_transfer p on p.seq = e.transfer_id group by e.transfer_id
        ) x on x.transfer_id = t.seq
        where x.sides is distinct from 2 or x.total <> 0 or not x.fit
        union all
        select 'entry ' || e.id from ledger_entry e
        where not exists (select from ledger_transfer t where t.seq = e.transfer_id)
        """,
    ),
    Question(
        "sum",
        _("All entries together sum to zero."),
        "select 'sum ' || sum(amount) from ledger_entry having sum(amount) <> 0",
    ),
    Question(
        "balances",
        _("Every balance is the sum of its account's entries."),
        """
        select 'account ' || a.kind || ':' || a.owner || ' holds ' || a.balance || ', its entries say '
               || coalesce(e.total, 0)
        from ledger_account a
        left join (select account_id, sum(amount) as total from ledger_entry group by account_id) e
          on e.account_id = a.id
        where a.balance <> coalesce(e.total, 0)
        """,
    ),
    Question(
        "overdrafts",
        _("No account but the mint is below zero."),
        "select 'account ' || kind || ':' || owner from ledger_account where balance < 0 and kind <> 'mint'",
    ),
    Question(
        "supply",
        _("What was minted, less what was burnt, is what the accounts hold, and is within the cap."),
        f"""
        select 'minted ' || minted || ', burnt ' || burned || ', held ' || held from (
          select coalesce(-sum(balance) filter (where kind = 'mint'), 0) as minted,
                 coalesce(sum(balance) filter (where kind = 'burn'), 0) as burned,
                 coalesce(sum(balance) filter (where kind not in ('mint', 'burn')), 0) as held
          from ledger_account
        ) s where minted - burned <> held or minted > {MAX_SUPPLY} or burned < 0
        """,  # noqa: S608 - a constant of ours
    ),
    Question(
        "holds",
        _("Every hold agrees with its transfers, and every hold account with its open holds."),
        """
        select 'hold ' || h.id from ledger_hold h
        left join (
          select hold_id,
                 coalesce(sum(amount) filter (where kind = 'hold.place'), 0) as placed,
                 coalesce(sum(amount) filter (where kind in ('hold.void', 'hold.expire')), 0) as released,
                 coalesce(sum(amount) filter (where kind <> all ('{hold.place,hold.void,hold.expire}')), 0) as settled
          from ledger_transfer where hold_id is not null group by hold_id
        ) t on t.hold_id = h.id
        where (h.amount, h.released, h.settled) is distinct from (t.placed, t.released, t.settled)
        union all
        select 'account ' || a.kind || ':' || a.owner from ledger_account a
        left join (
          select account_id, sum(amount - settled - released) as remaining from ledger_hold group by account_id
        ) h on h.account_id = a.id
        where a.kind = 'hold' and a.balance <> coalesce(h.remaining, 0)
        """,
    ),
    Question(
        "authorisations",
        _("Every transfer says who authorised it."),
        "select 'transfer ' || id from ledger_transfer where not authorisation ? 'by'",
    ),
    Question(
        "queue",
        _("Every transfer is either pending or sealed."),
        """
        select 'transfer ' || t.id from ledger_transfer t
        left join ledger_pending p on p.transfer_id = t.seq left join ledger_sealing s on s.transfer_id = t.seq
        where (p.transfer_id is null) = (s.transfer_id is null)
        union all
        select 'pending ' || p.transfer_id from ledger_pending p
        where not exists (select from ledger_transfer t where t.seq = p.transfer_id)
        """,
    ),
)


def checks() -> list[Check]:
    """Ask every question."""
    return [_answer(question) for question in QUESTIONS]


def _answer(question: Question) -> Check:
    with connection.cursor() as cursor:
        cursor.execute(question.statement)
        return judged(question.name, question.detail, [name for (name,) in cursor.fetchall()])
