"""Posting in the database: transfers, entries and balances are written together or not at all."""

from django.db import migrations

REFUSE_CHANGE = """
create function ledger_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'Rows of % are never changed.', tg_table_name using errcode = 'integrity_constraint_violation';
end $$;

create trigger ledger_transfer_forever before update or delete on ledger_transfer
  for each statement execute function ledger_refuse_change();
create trigger ledger_account_named_once before update of id, kind, owner or delete on ledger_account
  for each statement execute function ledger_refuse_change();
create trigger ledger_entry_forever before update or delete on ledger_entry
  for each statement execute function ledger_refuse_change();
create trigger ledger_block_forever before update or delete on ledger_block
  for each statement execute function ledger_refuse_change();
create trigger ledger_genesis_forever before update or delete on ledger_genesis
  for each statement execute function ledger_refuse_change();
create trigger ledger_sealing_forever before update or delete on ledger_sealing
  for each statement execute function ledger_refuse_change();
"""

REFUSE_CHANGE_BACK = """
drop trigger ledger_transfer_forever on ledger_transfer;
drop trigger ledger_account_named_once on ledger_account;
drop trigger ledger_entry_forever on ledger_entry;
drop trigger ledger_block_forever on ledger_block;
drop trigger ledger_genesis_forever on ledger_genesis;
drop trigger ledger_sealing_forever on ledger_sealing;
drop function ledger_refuse_change();
"""

# A balance is the sum of the account's entries. The depth tells a change made by the trigger on entries from a change
# made by hand.
BALANCES = """
create function ledger_refuse_balance() returns trigger language plpgsql as $$
begin
  raise exception 'The balance of account % changes by entries alone.', new.id
    using errcode = 'integrity_constraint_violation';
end $$;

create trigger ledger_account_starts_empty before insert on ledger_account
  for each row when (new.balance <> 0) execute function ledger_refuse_balance();
create trigger ledger_account_by_entries before update of balance on ledger_account
  for each row when (pg_trigger_depth() = 0) execute function ledger_refuse_balance();

create function ledger_apply_entries() returns trigger language plpgsql as $$
declare
  odd bigint;
  wrong record;
begin
  select e.transfer_id into odd
    from (select transfer_id, sum(amount) as total from added group by transfer_id) e
    left join ledger_transfer t on t.seq = e.transfer_id where e.total <> 0 or t.seq is null limit 1;
  if found then
    raise exception 'The entries of transfer % do not sum to zero, or it does not exist.', odd
      using errcode = 'integrity_constraint_violation';
  end if;
  select e.account_id, a.id is null as unknown into wrong from added e left join ledger_account a on a.id = e.account_id
    where a.id is null or (a.kind = 'burn' and e.amount < 0) or (a.kind = 'mint' and e.amount > 0) limit 1;
  if found then
    raise exception '%', format(
      case when wrong.unknown then 'There is no account %s.'
           else 'Burnt tokens stay burnt and minted ones stay minted: account %s.' end, wrong.account_id
    ) using errcode = 'integrity_constraint_violation';
  end if;
  update ledger_account a set balance = a.balance + net.amount
    from (select account_id, sum(amount)::bigint as amount from added group by account_id having sum(amount) <> 0) net
    where a.id = net.account_id;
  return null;
end $$;

create function ledger_check_parties() returns trigger language plpgsql as $$
declare
  odd uuid;
begin
  select t.id into odd from added t
    left join ledger_account d on d.id = t.debit_id left join ledger_account c on c.id = t.credit_id
    where d.id is null or c.id is null limit 1;
  if found then
    raise exception 'An account of transfer % does not exist.', odd using errcode = 'integrity_constraint_violation';
  end if;
  return null;
end $$;

create trigger ledger_transfer_parties after insert on ledger_transfer
  referencing new table as added for each statement execute function ledger_check_parties();
create trigger ledger_entry_sums_to_zero after insert on ledger_entry
  referencing new table as added for each statement execute function ledger_apply_entries();
"""

BALANCES_BACK = """
drop trigger ledger_transfer_parties on ledger_transfer;
drop function ledger_check_parties();
drop trigger ledger_entry_sums_to_zero on ledger_entry;
drop function ledger_apply_entries();
drop trigger ledger_account_by_entries on ledger_account;
drop trigger ledger_account_starts_empty on ledger_account;
drop function ledger_refuse_balance();
"""

POST = """
alter table ledger_transfer alter column seq add generated always as identity;

-- Why a batch that overdraws was refused: the debits of accounts that would be overdrawn, and the rest with them.
create function ledger_blame(
  debits bigint[], credits bigint[], amounts bigint[], codes text[]
) returns text[] language sql as $$
  with batch as (
    select * from unnest(debits, credits, amounts, codes) with ordinality as b(debit, credit, amount, code, i)
  ), net as (
    select account, sum(change) as change from (
      select debit, -amount from batch where code = 'created' union all
      select credit, amount from batch where code = 'created'
    ) moved(account, change) group by account
  ), short as (
    select a.id, case a.kind when 'mint' then 'supply_cap' else 'overdraft' end as code
    from net join ledger_account a on a.id = net.account
    where a.balance + net.change < case a.kind when 'mint' then -2100000000000000 else 0 end
  )
  select array_agg(
    case when batch.code <> 'created' then batch.code else coalesce(short.code, 'linked_failed') end order by i
  ) from batch left join short on short.id = batch.debit;
$$;

-- Posts a batch and returns one code per transfer. Linked: all or nothing. Otherwise each for itself: a batch whose net
-- effect would overdraw an account is halved until the transfers that do it are alone.
create function ledger_post(
  ids uuid[], debits bigint[], credits bigint[], amounts bigint[], kinds text[], memos text[],
  authorisations jsonb[], holds uuid[], posted_at timestamptz, linked boolean
) returns text[] language plpgsql as $$
declare
  size constant integer := cardinality(ids);
  half constant integer := size / 2;
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
    end;
  end loop;
end $$;
"""

POST_BACK = """
drop function ledger_post(
  uuid[], bigint[], bigint[], bigint[], text[], text[], jsonb[], uuid[], timestamptz, boolean
);
drop function ledger_blame(bigint[], bigint[], bigint[], text[]);
alter table ledger_transfer alter column seq drop identity;
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [
        migrations.RunSQL(REFUSE_CHANGE, REFUSE_CHANGE_BACK),
        migrations.RunSQL(BALANCES, BALANCES_BACK),
        migrations.RunSQL(POST, POST_BACK),
    ]
