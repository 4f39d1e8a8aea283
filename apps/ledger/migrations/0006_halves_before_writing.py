"""A batch that would overdraw is halved before anything of it is written, instead of written, undone and tried again."""

from django.db import migrations

FIT = """
-- Which of the fresh transfers of a batch fit: all of them where their net effect overdraws nobody; otherwise its first
-- half, then its second, each by the same rule, until those that do not fit are alone. Debits and credits are places in
-- `held`, which is what the accounts hold, and in `floors`.
create function ledger_fit(
  debits integer[], credits integer[], amounts bigint[], held bigint[], floors bigint[]
) returns boolean[] language plpgsql immutable as $$
declare
  size constant integer := cardinality(amounts);
  fits boolean[] := array_fill(true, array[size]);
  -- Ranges that have to be looked at, the next one last.
  firsts integer[] := array[1];
  lasts integer[] := array[size];
  left_over integer := 1;
  first integer;
  last integer;
  half integer;
  is_short boolean;
begin
  while left_over > 0 loop
    first := firsts[left_over];
    last := lasts[left_over];
    left_over := left_over - 1;
    -- So many of the largest amounts on one account are more than a bigint counts to: halved unseen.
    is_short := last - first >= 4000;
    if not is_short then
      for i in first..last loop
        held[debits[i]] := held[debits[i]] - amounts[i];
        held[credits[i]] := held[credits[i]] + amounts[i];
      end loop;
      for i in first..last loop
        if held[debits[i]] < floors[debits[i]] then
          is_short := true;
          exit;
        end if;
      end loop;
      continue when not is_short;
      for i in first..last loop
        held[debits[i]] := held[debits[i]] + amounts[i];
        held[credits[i]] := held[credits[i]] - amounts[i];
      end loop;
    end if;
    if first = last then
      fits[first] := false;
      continue;
    end if;
    half := first + (last - first + 1) / 2;
    firsts[left_over + 1] := half;
    lasts[left_over + 1] := last;
    firsts[left_over + 2] := first;
    lasts[left_over + 2] := half - 1;
    left_over := left_over + 2;
  end loop;
  return fits;
end $$;

-- The codes of a batch that overdraws, each transfer for itself.
create function ledger_halved(
  debits bigint[], credits bigint[], amounts bigint[], codes text[]
) returns text[] language sql as $$
  with fresh as (
    select * from unnest(debits, credits, amounts, codes) with ordinality as b(debit, credit, amount, code, i)
    where code = 'created'
  ), party as (
    select a.id, a.balance, row_number() over (order by a.id)::integer as place,
           case a.kind when 'mint' then -2100000000000000 else 0 end as least,
           case a.kind when 'mint' then 'supply_cap' else 'overdraft' end as code
    from ledger_account a where a.id in (select debit from fresh union select credit from fresh)
  ), known as (
    select array_agg(balance order by place) as held, array_agg(least order by place) as floors from party
  ), placed as (
    select array_agg(d.place order by f.i) as debits, array_agg(c.place order by f.i) as credits,
           array_agg(f.amount order by f.i) as amounts, array_agg(f.i order by f.i) as numbers,
           array_agg(d.code order by f.i) as refusals
    from fresh f join party d on d.id = f.debit join party c on c.id = f.credit
  ), judged as (
    select j.i, j.refusal from placed, known,
      unnest(numbers, refusals, ledger_fit(placed.debits, placed.credits, placed.amounts, held, floors))
        as j(i, refusal, fits)
    where not fits
  )
  select array_agg(coalesce(judged.refusal, b.code) order by b.i)
  from unnest(codes) with ordinality as b(code, i) left join judged on judged.i = b.i;
$$;
"""

FIT_BACK = """
drop function ledger_halved(bigint[], bigint[], bigint[], text[]);
drop function ledger_fit(integer[], integer[], bigint[], bigint[], bigint[]);
"""

HEAD = """
create or replace function ledger_post(
  ids uuid[], debits bigint[], credits bigint[], amounts bigint[], kinds text[], memos text[],
  authorisations jsonb[], holds uuid[], posted_at timestamptz, linked boolean
) returns text[] language plpgsql as $$
declare
  size constant integer := cardinality(ids);
  codes text[];
begin
  if size = 0 then
    return '{}';
  end if;
  loop
    -- In the order of their ids, so that two batches never wait for each other; the balances are then ours.
    perform from ledger_account where id = any (debits || credits) order by id for no key update;

    select array_agg(
      case
        when b.amount <= 0 then 'amount_not_positive'
        when b.amount > 2100000000000000 then 'amount_too_large'
        when b.debit = b.credit then 'same_account'
        when b.nth > 1 then 'id_repeated'
        when t.id is not null then case
          when t.debit_id <> b.debit then 'exists_with_different_debit'
          when t.credit_id <> b.credit then 'exists_with_different_credit'
          when t.amount <> b.amount then 'exists_with_different_amount'
          when t.kind <> b.kind then 'exists_with_different_kind'
          when t.memo <> b.memo then 'exists_with_different_memo'
          when t.hold_id is distinct from b.hold then 'exists_with_different_hold'
          else 'exists' end
        when d.id is null or c.id is null then 'account_not_found'
        else 'created'
      end order by b.i
    ) into codes
    from (
      select *, row_number() over (partition by u.id order by u.i) as nth
      from unnest(ids, debits, credits, amounts, kinds, memos, holds) with ordinality
        as u(id, debit, credit, amount, kind, memo, hold, i)
    ) b
    left join ledger_transfer t on t.id = b.id
    left join ledger_account d on d.id = b.debit
    left join ledger_account c on c.id = b.credit;

    if linked and codes && array[
      'amount_not_positive', 'amount_too_large', 'same_account', 'id_repeated', 'account_not_found',
      'exists_with_different_debit', 'exists_with_different_credit', 'exists_with_different_amount',
      'exists_with_different_kind', 'exists_with_different_memo', 'exists_with_different_hold'
    ] then
      return array_replace(codes, 'created', 'linked_failed');
    end if;
    if not 'created' = any (codes) then
      return codes;
    end if;
"""

CHECK = """
    perform from (
      select moved.account, sum(moved.change) as change from (
        select debit, -amount from unnest(debits, amounts, codes) as b(debit, amount, code) where code = 'created'
        union all
        select credit, amount from unnest(credits, amounts, codes) as b(credit, amount, code) where code = 'created'
      ) moved(account, change) group by moved.account having sum(moved.change) < 0
    ) net join ledger_account a on a.id = net.account
    where a.balance + net.change < case a.kind when 'mint' then -2100000000000000 else 0 end;
    if found then
      if linked then
        return ledger_blame(debits, credits, amounts, codes);
      end if;
      codes := ledger_halved(debits, credits, amounts, codes);
      if not 'created' = any (codes) then
        return codes;
      end if;
    end if;
"""

WRITE = """
    begin
      with fresh as (
        insert into ledger_transfer (id, debit_id, credit_id, amount, kind, memo, authorisation, hold_id, at)
        select u.id, u.debit, u.credit, u.amount, u.kind, u.memo, u.authorisation, u.hold, posted_at
        from unnest(ids, debits, credits, amounts, kinds, memos, authorisations, holds, codes) with ordinality
          as u(id, debit, credit, amount, kind, memo, authorisation, hold, code, i)
        where u.code = 'created' order by u.i
        returning seq, debit_id, credit_id, amount
      ), queued as (
        insert into ledger_pending (transfer_id) select seq from fresh
      )
      insert into ledger_entry (transfer_id, account_id, amount)
      select seq, debit_id, -amount from fresh union all select seq, credit_id, amount from fresh;
      return codes;
    exception
      -- Another connection wrote one of these ids since we looked: look again.
      when unique_violation then null;
"""

END = """
    end;
  end loop;
end $$;
"""

# As migration 0002 had it.
OLD_CATCH = """
      when check_violation or numeric_value_out_of_range then
        if linked or size = 1 then
          return ledger_blame(debits, credits, amounts, codes);
        end if;
        return ledger_post(
          ids[:half], debits[:half], credits[:half], amounts[:half], kinds[:half], memos[:half],
          authorisations[:half], holds[:half], posted_at, linked
        ) || ledger_post(
          ids[half + 1:], debits[half + 1:], credits[half + 1:], amounts[half + 1:], kinds[half + 1:],
          memos[half + 1:], authorisations[half + 1:], holds[half + 1:], posted_at, linked
        );
"""
OLD_HEAD = HEAD.replace("  codes text[];\n", "  half constant integer := size / 2;\n  codes text[];\n", 1)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_epoch_share_order")]

    operations = [
        migrations.RunSQL(FIT, FIT_BACK),
        migrations.RunSQL(HEAD + CHECK + WRITE + END, OLD_HEAD + WRITE + OLD_CATCH + END),
    ]
