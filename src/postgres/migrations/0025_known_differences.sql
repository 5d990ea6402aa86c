-- How many transactions a comparison found to differ, by cause: {"not_landed": 3}. Empty for one of an older version.
ALTER TABLE qbo.tie_outs
    ADD COLUMN IF NOT EXISTS causes jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN qbo.tie_outs.unexplained IS
    'Sum of the unexplained amounts of all accounts, without their signs; where accounts agree, that of customers and vendors, or else of transactions';

-- What the record of a difference was when it was found: {"changed": time, "lines": [[day, account id, amount]]},
-- or null if there was none. A difference whose record is another one by now is not known any more.
ALTER TABLE qbo.tie_out_differences
    ADD COLUMN IF NOT EXISTS record jsonb;
