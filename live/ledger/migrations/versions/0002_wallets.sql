-- Deposits, withdrawals and hot wallets in every state they have, and what readers look rows up by.

select 1;
