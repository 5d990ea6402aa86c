CREATE TABLE {entries} (
    realm_id text,
    entity text NOT NULL,
    id text NOT NULL,
    line integer NOT NULL,
    txn_date date NOT NULL,
    account_id text NOT NULL,
    account_name text,
    debit numeric NOT NULL,
    credit numeric NOT NULL,
    currency text,
    foreign_debit numeric,
    foreign_credit numeric,
    party_type text,
    party_id text,
    party_name text,
    memo text,
    kind text NOT NULL,
    source text NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity, id, line)
);
CREATE INDEX ON {entries} (account_id, txn_date);
COMMENT ON TABLE {entries} IS 'The general ledger, rebuilt from records: a row for each debit or credit. Made by `qbo-rs db ledger`, which replaces all rows. {mark}';
COMMENT ON COLUMN {entries}.realm_id IS 'Id of the company';
COMMENT ON COLUMN {entries}.entity IS 'Entity of the transaction as Intuit names it, such as Invoice; a label of reports if it has no record';
COMMENT ON COLUMN {entries}.id IS 'Id of the transaction';
COMMENT ON COLUMN {entries}.line IS 'Number of the entry within its transaction, from 1';
COMMENT ON COLUMN {entries}.txn_date IS 'TxnDate: the day on which the transaction counts';
COMMENT ON COLUMN {entries}.account_id IS 'Id of the account';
COMMENT ON COLUMN {entries}.account_name IS 'FullyQualifiedName of the account when the entries were posted';
COMMENT ON COLUMN {entries}.debit IS 'Debit in the home currency; 0 if the entry is a credit';
COMMENT ON COLUMN {entries}.credit IS 'Credit in the home currency; 0 if the entry is a debit';
COMMENT ON COLUMN {entries}.currency IS 'Currency of the transaction';
COMMENT ON COLUMN {entries}.foreign_debit IS 'Debit in the currency of the transaction, if that is not the home currency';
COMMENT ON COLUMN {entries}.foreign_credit IS 'Credit in the currency of the transaction, if that is not the home currency';
COMMENT ON COLUMN {entries}.party_type IS 'Customer, Vendor or Employee';
COMMENT ON COLUMN {entries}.party_id IS 'Id of the customer, vendor or employee';
COMMENT ON COLUMN {entries}.party_name IS 'DisplayName of the customer, vendor or employee when the entries were posted';
COMMENT ON COLUMN {entries}.memo IS 'Description of the line, or PrivateNote of the transaction';
COMMENT ON COLUMN {entries}.kind IS 'The part of the transaction: control, line, discount, tax, stock, exchange, rounding';
COMMENT ON COLUMN {entries}.source IS 'record, or report if no record shows the entry';
COMMENT ON COLUMN {entries}.posted_at IS 'Time at which the entries were posted';
