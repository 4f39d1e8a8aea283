"""What the rows must say among themselves, asked of the database in sets. Each question returns what breaks a rule."""

from collections.abc import Callable

from django.db import connection
from django.utils.translation import gettext_noop as _

from apps.ledger.audit import money_rows
from apps.ledger.audit.question import Question
from apps.ledger.audit.report import Check
from workers.protocol.ledger_audit import NAMED_AT_MOST

ONE_ANSWER = "select name, count(*) over () from ({}) answers(name) limit %s"


QUESTIONS = (
    Question(
        "entries",
        _("Every transfer has its two entries, and they sum to zero."),
        """
        select format(
          'transfer %s: its entries are %s; expected account %s %s, account %s %s', t.id,
          coalesce(x.said, 'none'), t.debit_id, -t.amount, t.credit_id, t.amount
        )
        from ledger_transfer t
        left join (
          select e.transfer_id, count(*) as sides, sum(e.amount) as total,
            string_agg(format('account %s %s', e.account_id, e.amount), ', ' order by e.amount) as said,
            bool_and(
              (e.account_id = p.debit_id and e.amount = -p.amount)
              or (e.account_id = p.credit_id and e.amount = p.amount)
            ) as fit
          from ledger_entry e join ledger_transfer p on p.seq = e.transfer_id group by e.transfer_id
        ) x on x.transfer_id = t.seq
        where x.sides is distinct from 2 or x.total <> 0 or not x.fit
        union all
        select format('entry %s: account %s %s, of transfer number %s, which is missing',
                      e.id, e.account_id, e.amount, e.transfer_id)
        from ledger_entry e where not exists (select from ledger_transfer t where t.seq = e.transfer_id)
        """,
    ),
    Question(
        "sum",
        _("All entries together sum to zero."),
        "select format('the entries sum to %s, expected 0', sum(amount)) from ledger_entry having sum(amount) <> 0",
    ),
    Question(
        "balances",
        _("Every balance is the sum of its account's entries."),
        """
        select format('account %s:%s: it holds %s, its entries make %s',
                      a.kind, a.owner, a.balance, coalesce(e.total, 0))
        from ledger_account a
        left join (select account_id, sum(amount) as total from ledger_entry group by account_id) e
          on e.account_id = a.id
        where a.balance <> coalesce(e.total, 0)
        union all
        select format('account number %s: it is missing, its entries make %s', e.account_id, sum(e.amount))
        from ledger_entry e
        where not exists (select from ledger_account a where a.id = e.account_id) group by e.account_id
        """,
    ),
    Question(
        "overdrafts",
        _("No account but the mint is below zero."),
        """
        select format('account %s:%s: it holds %s', kind, owner, balance) from ledger_account
        where balance < 0 and kind <> 'mint'
        """,
    ),
    Question(
        "holds",
        _("Every hold agrees with its transfers, and every hold account with its open holds."),
        """
        select format(
          'hold %s: it says placed %s, settled %s, released %s; its transfers make %s, %s, %s',
          h.id, h.amount, h.settled, h.released, coalesce(t.placed, 0), coalesce(t.settled, 0), coalesce(t.released, 0)
        )
        from ledger_hold h
        left join (
          select hold_id,
                 coalesce(sum(amount) filter (where kind = 'hold.place'), 0) as placed,
                 coalesce(sum(amount) filter (where kind in ('hold.void', 'hold.expire')), 0) as released,
                 coalesce(sum(amount) filter (where kind <> all ('{hold.place,hold.void,hold.expire}')), 0) as settled
          from ledger_transfer where hold_id is not null group by hold_id
        ) t on t.hold_id = h.id
        where (h.amount, h.released, h.settled) is distinct from (t.placed, t.released, t.settled)
        union all
        select format('transfer %s: of hold %s, which is missing', t.id, t.hold_id) from ledger_transfer t
        where t.hold_id is not null and not exists (select from ledger_hold h where h.id = t.hold_id)
        union all
        select format('account %s:%s: it holds %s, its open holds have %s left',
                      a.kind, a.owner, a.balance, coalesce(h.remaining, 0))
        from ledger_account a
        left join (
          select account_id, sum(amount - settled - released) as remaining from ledger_hold group by account_id
        ) h on h.account_id = a.id
        where a.kind = 'hold' and a.balance <> coalesce(h.remaining, 0)
        """,
    ),
    Question(
        "queue",
        _("Every transfer is either pending or sealed."),
        """
        select format('transfer %s: it is %s', t.id,
                      case when p.transfer_id is null then 'neither pending nor sealed' else 'pending and sealed' end)
        from ledger_transfer t
        left join ledger_pending p on p.transfer_id = t.seq left join ledger_sealing s on s.transfer_id = t.seq
        where (p.transfer_id is null) = (s.transfer_id is null)
        union all
        select format('pending transfer number %s is missing', p.transfer_id) from ledger_pending p
        where not exists (select from ledger_transfer t where t.seq = p.transfer_id)
        union all
        select format('transfer number %s, sealed at %s of block %s, is missing: its leaf was %s',
                      s.transfer_id, s.position, s.block_id, encode(s.leaf, 'hex'))
        from ledger_sealing s where not exists (select from ledger_transfer t where t.seq = s.transfer_id)
        """,
    ),
    *money_rows.QUESTIONS,
)


def checks(watch: Callable[[str, int, int], None] | None = None) -> list[Check]:
    """Ask every question."""
    answers = []
    for number, question in enumerate(QUESTIONS):
        if watch is not None:
            watch(question.name, number, len(QUESTIONS))
        answers.append(_answer(question))
    return answers


def _answer(question: Question) -> Check:
    with connection.cursor() as cursor:
        # The statements have per cent signs of their own.
        statement = ONE_ANSWER.format(question.statement.replace("%", "%%"))
        cursor.execute(statement, [NAMED_AT_MOST])
        found = cursor.fetchall()
    names = [str(name) for name, _count in found]
    more = found[0][1] - len(found) if found else 0
    return Check(question.name, not found, question.detail, [*names, *([f"and {more} more"] if more else [])])
