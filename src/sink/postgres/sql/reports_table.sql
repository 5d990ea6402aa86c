-- Answers of QuickBooks to requests for reports. An answer that says something else than the one before is
-- a new row; the older one stays, with the time at which it was superseded.
CREATE TABLE IF NOT EXISTS {schema}.qb_reports (
    id                text PRIMARY KEY,
    realm_id          text NOT NULL,
    -- Intuit's name of the report, such as TrialBalance.
    report            text NOT NULL,
    -- accrual or cash; null for a report that takes no basis.
    basis             text,
    -- The days that were asked for, both included.
    range_start       date,
    range_end         date,
    -- The days of this answer: a long range is asked for in parts.
    period_start      date,
    period_end        date,
    -- Columns and filters that the caller named.
    params            jsonb NOT NULL,
    request           jsonb NOT NULL,
    answer            jsonb NOT NULL,
    -- v3modernResponse and intuit_tid.
    headers           jsonb NOT NULL,
    -- Equal for answers that say the same, in whatever order of rows.
    content_hash      text NOT NULL,
    -- Clock of QuickBooks at the answer, first and last seen.
    answered_at_utc   timestamptz NOT NULL,
    fetched_at_utc    timestamptz NOT NULL,
    last_seen_utc     timestamptz NOT NULL,
    -- Null: QuickBooks said so when it was asked last.
    superseded_at_utc timestamptz
);
CREATE INDEX IF NOT EXISTS qb_reports_by_range ON {schema}.qb_reports (report, range_start, range_end);
