-- Is a raw table what it says it is? With psql, one entity at a time:
--
--   psql -v table=raw.qb_customers -v schema=raw -v entity=customers -f docs/validation.sql
--
-- `qbo-rs status --validate` runs every check for every entity. A check counts what is wrong: 0 is good. What is shown is for
-- reading, and has no right answer. Deleted rows are not checked: of a record that was created and deleted between two syncs,
-- a row has what its deletion told.

-- check: duplicates
-- Ids that stand in more than one row. Cannot be above 0 while id is the key.
SELECT count(*) FROM (SELECT id FROM :table GROUP BY id HAVING count(*) > 1) AS twice;

-- check: null_payloads
-- Rows without a record.
SELECT count(*) FROM :table WHERE deleted_at_utc IS NULL AND (payload IS NULL OR payload = 'null'::jsonb);

-- check: wrong_ids
-- Rows whose id is not that of their record. Rates of exchange have no Id but three properties, and recurring transactions have
-- it a level deeper.
SELECT count(*) FROM :table WHERE deleted_at_utc IS NULL AND id <> CASE :'entity'
    WHEN 'exchange_rates' THEN
        (payload ->> 'AsOfDate') || ':' || (payload ->> 'SourceCurrencyCode') || ':' || (payload ->> 'TargetCurrencyCode')
    WHEN 'recurring_transactions' THEN
        jsonb_path_query_first(payload, 'strict $.* ? (exists (@.Id))', '{}', true) ->> 'Id'
    ELSE payload ->> 'Id' END;

-- check: incomplete_metadata
-- Rows that do not say when, by which window, page and request they came. Rows of before `qbo-rs db migrate` have page 0.
SELECT count(*) FROM :table WHERE deleted_at_utc IS NULL AND (ingested_at_utc IS NULL OR extract_window_start_utc IS NULL
    OR extract_window_end_utc IS NULL OR page_number IS NULL OR page_size IS NULL OR request_payload IS NULL);

-- check: empty_windows
-- Rows whose window ends before it begins.
SELECT count(*) FROM :table WHERE deleted_at_utc IS NULL AND extract_window_end_utc <= extract_window_start_utc;

-- check: outside_their_window
-- Rows whose record was changed at another time than that of the window it came by. Records that no query finds are read by
-- their ids, and come by the time of that.
SELECT count(*) FROM (
    SELECT extract_window_start_utc, extract_window_end_utc, CASE :'entity'
        WHEN 'recurring_transactions' THEN jsonb_path_query_first(payload, 'strict $.* ? (exists (@.Id))', '{}', true)
        WHEN 'inventory_adjustments' THEN NULL
        WHEN 'change_orders' THEN NULL
        ELSE payload END #>> '{MetaData,LastUpdatedTime}' AS changed
    FROM :table WHERE deleted_at_utc IS NULL) AS raw
WHERE CASE WHEN changed ~
    '^(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,20})?(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?$'
    THEN changed::timestamptz < extract_window_start_utc OR changed::timestamptz >= extract_window_end_utc END;

-- check: unknown_windows
-- Rows by a window that the ledger does not know as committed. Above 0 for rows of before qbo-rs.
SELECT count(*) FROM :table AS raw WHERE deleted_at_utc IS NULL AND NOT EXISTS (
    SELECT FROM qbo.windows AS ledger
    WHERE ledger.schema_name = :'schema' AND ledger.entity = :'entity' AND ledger.committed_at_utc IS NOT NULL
      AND ledger.window_start_utc = raw.extract_window_start_utc AND ledger.window_end_utc = raw.extract_window_end_utc);

-- check: wrong_sums
-- Windows of the ledger whose numbers do not add up.
SELECT count(*) FROM qbo.windows WHERE schema_name = :'schema' AND entity = :'entity' AND committed_at_utc IS NOT NULL
    AND rows <> inserted + updated + unchanged + rejected;

-- check: unfinished_windows
-- Windows whose last attempt has not ended well: running now, killed, failed or stuck. None of which the whole time was committed
-- by other windows since, as far as it had passed ten minutes before the attempt. None that lies in the future.
WITH ledger AS (
    SELECT * FROM qbo.windows WHERE schema_name = :'schema' AND entity = :'entity'
)
SELECT count(*) FROM ledger AS odd WHERE status <> 'done' AND (window_start_utc > started_at_utc + interval '1 day') IS NOT TRUE AND EXISTS (
    SELECT FROM (
        SELECT odd.window_start_utc UNION ALL
        SELECT CASE WHEN is_part THEN read_until_utc ELSE window_end_utc END FROM ledger
        WHERE window_end_utc > odd.window_start_utc AND window_start_utc < odd.window_end_utc
    ) AS bound(at)
    WHERE at >= odd.window_start_utc AND at < CASE
        WHEN odd.started_at_utc - interval '10 minutes' > odd.window_start_utc
        THEN least(odd.window_end_utc, odd.started_at_utc - interval '10 minutes') ELSE odd.window_end_utc END
    AND NOT EXISTS (
        SELECT FROM ledger WHERE window_start_utc <= at AND (committed_at_utc > odd.started_at_utc
                OR is_part AND committed_at_utc IS NOT NULL AND (window_start_utc, window_end_utc) = (odd.window_start_utc, odd.window_end_utc))
            AND CASE WHEN is_part THEN read_until_utc ELSE window_end_utc END > at
    ));

-- check: empty_table
-- Windows that brought records, while the table has no row: it was emptied, by TRUNCATE or by `qbo-rs db archive` of every row.
-- `qbo-rs status --validate` knows archives (qbo.archives), and calls only other empty tables wrong. Without an archive, also windows
-- that inserted more rows than the table has: no row is ever removed, so that these were lost, and others came later.
SELECT count(*) FROM qbo.windows WHERE schema_name = :'schema' AND entity = :'entity' AND committed_at_utc IS NOT NULL
    AND rows > rejected AND (NOT EXISTS (SELECT FROM :table)
        OR inserted > (SELECT count(*) FROM :table) AND NOT EXISTS (
            SELECT FROM qbo.archives WHERE schema_name = :'schema' AND entity = :'entity'));

-- check: rejects
-- Records that were set aside and still are; qbo.rejects has the reasons.
SELECT count(*) FROM qbo.rejects WHERE schema_name = :'schema' AND entity = :'entity';

-- show: volume by window
-- Rows that stand in the table by the window that brought them last, and what the ledger says that window brought. Fewer in the
-- table is normal: a record that was changed again has come by a later window.
SELECT window_start_utc, window_end_utc, ledger.rows AS ledger_rows, count(raw.id) AS table_rows
FROM qbo.windows AS ledger LEFT JOIN :table AS raw
    ON raw.extract_window_start_utc = window_start_utc AND raw.extract_window_end_utc = window_end_utc
WHERE schema_name = :'schema' AND entity = :'entity' AND committed_at_utc IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- show: fingerprint
-- One value for all that matters in the table. The same before and after a range is read again, unless QuickBooks has changed.
SELECT count(*) AS rows, md5(string_agg(md5(id || payload::text), '' ORDER BY id COLLATE "C")) AS fingerprint FROM :table;
