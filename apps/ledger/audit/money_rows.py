"""What the rows of stakes, slashes, mandates and epochs must say of the transfers that they explain."""

from django.utils.translation import gettext_noop as _

from apps.ledger.audit.question import Question

QUESTIONS = (
    Question(
        "stakes",
        _("What is unbonding lies on its stake account, and what was released was paid out."),
        """
        select 'account ' || a.kind || ':' || a.owner || ': it holds ' || a.balance || ', unbonding ' || u.leaving
        from ledger_account a join (
          select account_id, sum(amount - slashed) as leaving from ledger_unbonding where status = 'waiting'
          group by account_id
        ) u on u.account_id = a.id
        where a.kind <> 'stake' or u.leaving > a.balance
        union all
        select 'unbonding ' || u.id from ledger_unbonding u left join ledger_transfer t on t.id = u.id
        where (u.status = 'released') <> (t.id is not null)
           or (t.id is not null and (t.kind, t.debit_id, t.amount)
               is distinct from ('stake.release', u.account_id, u.amount - u.slashed))
        union all
        select 'transfer ' || t.id from ledger_transfer t
        where t.kind = 'stake.release' and not exists (select from ledger_unbonding u where u.id = t.id)
        """,
    ),
    Question(
        "slashes",
        _("Every slash was taken from its stake once, and lies in escrow until it is executed or goes back."),
        """
        with moved as materialized (select * from ledger_transfer where kind like 'slash.%'), gone as (
          select memo, coalesce(sum(amount) filter (where kind = 'slash.return'), 0) as returned,
                 coalesce(sum(amount) filter (where kind in ('slash.burn', 'slash.treasury')), 0) as executed
          from moved group by memo
        )
        select 'slash ' || s.fault from ledger_slash s left join ledger_transfer t on t.id = s.id
        where s.amount <> coalesce(t.amount, 0) or (
          t.id is not null and (t.kind, t.debit_id, t.memo) is distinct from ('slash.escrow', s.account_id, s.fault)
        )
        union all
        select 'slash ' || s.fault || ': it is ' || s.status || '; of ' || s.amount || ', '
          || coalesce(g.executed, 0) || ' was executed and ' || coalesce(g.returned, 0) || ' returned'
        from ledger_slash s left join gone g on g.memo = s.fault
        where coalesce(g.executed, 0) <> case s.status when 'executed' then s.amount else 0 end
           or coalesce(g.returned, 0) <> case s.status when 'overturned' then s.amount else 0 end
        union all
        select 'transfer ' || t.id from moved t left join ledger_slash s on s.fault = t.memo
        where case t.kind when 'slash.escrow' then not exists (select from ledger_slash o where o.id = t.id)
                          when 'slash.return' then s.account_id is distinct from t.credit_id
                          else s.id is null end
        union all
        select 'account ' || e.kind || ':' || e.owner || ': it holds ' || e.balance from ledger_account e
        left join (
          select 'slash:' || a.owner as owner, sum(s.amount) as kept from ledger_slash s
          join ledger_account a on a.id = s.account_id where s.status in ('escrowed', 'appealed') group by a.owner
        ) w on w.owner = e.owner
        where e.kind = 'escrow' and e.owner like 'slash:%' and e.balance <> coalesce(w.kept, 0)
        """,
    ),
    Question(
        "mandates",
        _("No mandate has more held or paid than its cap, and every hold on one says so."),
        """
        select 'mandate ' || m.id from ledger_mandate m join ledger_mandatedraw d on d.mandate_id = m.id
        join ledger_hold h on h.id = d.hold_id group by m.id, m.cap having sum(h.amount - h.released) > m.cap
        union all
        select 'hold ' || h.id from ledger_hold h
        left join ledger_mandatedraw d on d.hold_id = h.id left join ledger_mandate m on m.id = d.mandate_id
        where (h.authorisation ->> 'by' = 'mandate') <> (d.hold_id is not null)
           or (m.id is not null and m.payer_id <> h.payer_id)
        """,
    ),
    Question(
        "epochs",
        _("Every epoch minted what it emits, once, and shared it by weight to the unit."),
        """
        with share as (
          select e.day, e.pool, s.node, s.amount, s.weight, s.tier, s.uptime_ppm, s.quality_ppm, s.nodes,
                 sum(s.weight) over (partition by e.day) as whole
          from ledger_epoch e join ledger_epochshare s on s.epoch_id = e.day
        ), cut as (
          select *, div(pool::numeric * weight, whole) as units, mod(pool::numeric * weight, whole) as rest from share
        ), ranked as (
          select *, row_number() over (partition by day order by rest desc, node collate "C") as place,
                 pool - sum(units) over (partition by day) as left_over
          from cut
        )
        select 'share of ' || node || ' in ' || day from ranked
        where amount <> units + (place <= left_over)::int
           or weight <> div(tier::numeric * uptime_ppm * quality_ppm, nodes)
        union all
        select 'epoch ' || e.day from ledger_epoch e
        left join (select epoch_id, sum(amount) as units from ledger_epochshare group by epoch_id) s
          on s.epoch_id = e.day
        left join (select memo, sum(amount) as units from ledger_transfer where kind = 'emission' group by memo) t
          on t.memo = e.day::text
        where e.minted <> coalesce(s.units, 0) or e.minted <> coalesce(t.units, 0)
        union all
        select 'transfer ' || t.id from ledger_transfer t
        where t.kind = 'emission' and not exists (select from ledger_epoch e where e.day::text = t.memo)
        union all
        select 'account escrow:epoch: it holds ' || balance from ledger_account
        where kind = 'escrow' and owner = 'epoch' and balance <> 0
        """,
    ),
)
