-- Which withdrawals are being confirmed, for as long as nobody knows whether the books took it.

-- When a mailed token was shown and its withdrawal judged; null again once the books refused it.
alter table access.withdrawal_requests add column confirming_at timestamptz;
