-- Inputs with reasons and approvals: journals without them are refused.

-- Older inputs have other links, and make other rows: a stop ends with its position, the audit log is told more.
do $$ begin
    if exists (select from input_journal) then
        raise exception 'these books were written by an earlier version, whose inputs this one cannot replay: '
            'the version of the tables'' revision 0007 reads them; begin new ones in an empty database';
    end if;
end $$;
