-- When a row of the feed was written down: how long after that nodes read it is the lag that operators watch. Not now(),
-- which is when the transaction began.
alter table revocations add column noted_at timestamptz not null default clock_timestamp();
