-- What operators are told: why a proposal failed, and the acts about one withdrawal or proposal.

-- Corrections have an approval now, and a withdrawal that is refused at once an act of its own; acts that change
-- nothing are refused. A replay of books that have such things would lead to others than are there.
do $$ begin
    if exists (select from audit_log where action <> 'ROUTING_DECIDED' and (
            action in ('BALANCE_ADJUSTED', 'BALANCE_NOT_ADJUSTED')
            or action in ('KYC_CHANGED', 'ROUTING_MODE_SET') and detail ~ '^(\S+( pinned)?) to \1(:|$)'
            or action = 'HL_HALT_LIFTED' and detail ~ '^was open(:|$)'
            or action = 'BOOKS_RELEASED' and detail ~ '^(proposal \d+, approved by \S+: )?were open(:|$)'
            or action in ('ROUTING_CONFIG_CHANGED', 'RISK_CONFIG_CHANGED')
                and detail ~ '^(proposal \d+, approved by \S+: )?nothing changed(:|$)'))
        or exists (select from withdrawals where status = 'REFUSED' and seq = updated_seq)
    then
        raise exception 'these books have acts of an earlier version, which this one cannot replay: '
            'the version of the tables'' revision 0008 reads them; begin new ones in an empty database';
    end if;
end $$;

alter table access.proposals
    add column code text,
    add check (code is null or status = 'FAILED');

-- Each begins with what it is about; where an operator's words come first it is about neither.
create index audit_by_withdrawal on audit_log (split_part(detail, ':', 1), id)
    where action like 'WITHDRAWAL%';
create index audit_by_proposal on audit_log (substring(detail from '^proposal (\d+)'), id)
    where action <> 'ROUTING_DECIDED' and action not like 'ADDRESS%' and detail like 'proposal %';
