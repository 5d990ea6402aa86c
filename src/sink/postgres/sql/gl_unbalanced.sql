CREATE TABLE {unbalanced} (
    realm_id text,
    entity text NOT NULL,
    id text NOT NULL,
    txn_date date,
    reason text NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {unbalanced} IS 'Transactions that are not in the general ledger, because they could not be posted in balance. Made by `qbo-rs db ledger`, which replaces all rows. {mark}';
COMMENT ON COLUMN {unbalanced}.realm_id IS 'Id of the company';
COMMENT ON COLUMN {unbalanced}.entity IS 'Entity of the transaction as Intuit names it, such as Invoice';
COMMENT ON COLUMN {unbalanced}.id IS 'Id of the transaction; empty if its record has none';
COMMENT ON COLUMN {unbalanced}.txn_date IS 'TxnDate of the transaction, if it could be read';
COMMENT ON COLUMN {unbalanced}.reason IS 'Why it was not posted';
COMMENT ON COLUMN {unbalanced}.posted_at IS 'Time at which the other transactions were posted';
