-- Outcomes of comparisons of the books with QuickBooks's reports.
CREATE TABLE IF NOT EXISTS qbo.tie_outs (
    tie_out_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm_id      text NOT NULL,
    schema_name   text NOT NULL,
    basis         text NOT NULL,
    as_of         date NOT NULL,
    compared_from date NOT NULL,
    checked_utc   timestamptz NOT NULL DEFAULT now(),
    status        text NOT NULL,
    accounts      bigint NOT NULL,
    transactions  bigint NOT NULL,
    -- Sum of the unexplained amounts of all accounts, without their signs.
    unexplained   numeric NOT NULL,
    unverified    text[] NOT NULL,
    requests      bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS tie_outs_of_company ON qbo.tie_outs (realm_id, checked_utc DESC);

-- The transactions that differed in the last comparison. The next one starts from them.
CREATE TABLE IF NOT EXISTS qbo.tie_out_differences (
    realm_id      text NOT NULL,
    schema_name   text NOT NULL,
    basis         text NOT NULL,
    entity        text NOT NULL,
    id            text NOT NULL,
    txn_date      date NOT NULL,
    cause         text NOT NULL,
    -- Arrays of [day, account id, amount] and [day, kind, party id, amount]: reports less records.
    lines         jsonb NOT NULL,
    parties       jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS tie_out_differences_of_company ON qbo.tie_out_differences (realm_id, basis);
