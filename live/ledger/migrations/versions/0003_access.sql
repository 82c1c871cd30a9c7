-- Accounts, sessions and keys, in a schema of their own.

select 1;
