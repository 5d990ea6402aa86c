-- The cells of QuickBooks reports; the answers are in qb_reports of the raw tables' schema: see docs/reports.md.
-- Cells that are empty are left out.
CREATE TABLE IF NOT EXISTS qbo.report_rows (
    schema_name   text NOT NULL,
    realm_id      text NOT NULL,
    -- Id of the answer in qb_reports.
    report_id     text NOT NULL,
    -- In the order of the answer, which is not the same in every answer. Blank rows are not counted.
    row_number    int NOT NULL,
    column_number int NOT NULL,
    column_key    text NOT NULL,
    -- header, data or summary.
    row_kind      text NOT NULL,
    -- Labels of the sections that it stands in, from the outermost one.
    path          text[] NOT NULL,
    -- Stable names of these sections; null for a section that has none.
    groups        text[] NOT NULL,
    -- Stable name of a row that is no section, such as NetIncome.
    row_group     text,
    account_id    text,
    txn_date      date,
    -- The report's own word, which may be translated.
    txn_type      text,
    txn_id        text,
    party_id      text,
    -- Id in the cell itself.
    cell_id       text,
    -- Null for a text.
    amount        numeric,
    value         text NOT NULL,
    PRIMARY KEY (report_id, row_number, column_number)
);
