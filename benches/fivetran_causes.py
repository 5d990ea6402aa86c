"""Why an account of a transaction differs between the general ledger of fivetran/dbt_quickbooks and ``books``.

Each cause is a query that says, from our ledger and the records alone, by how much the package's amount must differ: a
name is given only to a difference that is foretold to the cent. The queries read ``books.gl_entries`` (debits are
positive) and the views of ``qbo-rs db views --style fivetran``, never the package's own tables.
"""

from __future__ import annotations

from typing import NamedTuple

PACKAGE = "the package"
RECORDS = "records cannot know"
# What an entry adds to its account, and the account that a sale or purchase is settled with.
AMOUNT = "g.debit - g.credit"
CONTROL = "JOIN books.gl_entries c ON c.entity = g.entity AND c.id = g.id AND c.kind = 'control'"


class Cause(NamedTuple):
    """A reason, whose it is, and the query of what it does: entity, id, day, account, amount."""

    name: str
    whose: str
    query: str


def settled(entity: str, payment: str, document: str, sign: int) -> str:
    """Return the query of payments that do more than settle documents: what is not applied, credits that are used.

    The package sums what settles documents, at their rates, and takes the whole payment if there is none. The
    exchange difference is that of these documents alone.
    """
    return f"""
        SELECT '{entity}', p.id, p.transaction_date::date, d.account_id, d.amount
        FROM quickbooks.{payment} p
        CROSS JOIN LATERAL (
            SELECT sum(l.amount) AS plain, sum(l.amount * coalesce(b.exchange_rate, 1)) AS amount,
                sum((coalesce(p.exchange_rate, 1) - coalesce(b.exchange_rate, 1)) * l.amount) AS gain
            FROM quickbooks.{payment}_line l
            JOIN quickbooks.{document} b ON b.id = l.{document}_id AND NOT b._fivetran_deleted
            WHERE l.{payment}_id = p.id) AS package
        CROSS JOIN LATERAL (
            SELECT min(account_id) FILTER (WHERE kind = 'line') AS account_id,
                coalesce(sum(debit - credit) FILTER (WHERE kind = 'line'), 0) AS amount,
                coalesce(sum(debit - credit) FILTER (WHERE kind = 'exchange'), 0) AS gain
            FROM books.gl_entries WHERE entity = '{entity}' AND id = p.id) AS ours
        CROSS JOIN LATERAL (VALUES
            (ours.account_id,
                {-sign} * coalesce(package.amount, p.total_amount * coalesce(p.exchange_rate, 1)) - ours.amount),
            ((SELECT id FROM quickbooks.account WHERE account_sub_type = 'ExchangeGainOrLoss' AND active),
                {-sign} * coalesce(package.gain, 0) - ours.gain)) AS d (account_id, amount)
        WHERE NOT p._fivetran_deleted AND p.currency_id <> (
            SELECT payload #>> '{{CurrencyPrefs,HomeCurrency,value}}' FROM raw.qb_preferences LIMIT 1)
        AND (package.plain IS DISTINCT FROM p.total_amount
            OR EXISTS (SELECT FROM quickbooks.{payment}_line l
                WHERE l.{payment}_id = p.id AND l.{document}_id IS NULL))"""


CAUSES = (
    Cause(
        "only reports have it: payroll, sales tax paid, revaluation, starting values of stock",
        RECORDS,
        f"SELECT g.entity, g.id, g.txn_date, g.account_id, -({AMOUNT}) FROM books.gl_entries g "
        "WHERE g.source = 'report'",
    ),
    Cause(
        "the cost of what is sold or returned, and changes of stock, are not posted",
        PACKAGE,
        f"SELECT g.entity, g.id, g.txn_date, g.account_id, -({AMOUNT}) FROM books.gl_entries g "
        "WHERE g.kind = 'stock' AND g.source = 'record'",
    ),
    Cause(
        "stock bought by cash or card is posted as an expense",
        PACKAGE,
        """
        SELECT 'Purchase', p.id, p.transaction_date::date, moved.account_id,
            moved.sign * l.amount * coalesce(p.exchange_rate, 1) * CASE WHEN p.credit THEN -1 ELSE 1 END
        FROM quickbooks.purchase p
        JOIN quickbooks.purchase_line l ON l.purchase_id = p.id
        JOIN quickbooks.item i ON i.id = l.item_expense_item_id AND i.type = 'Inventory'
        CROSS JOIN LATERAL (VALUES (i.asset_account_id, -1), (i.expense_account_id, 1)) AS moved (account_id, sign)
        WHERE l.account_expense_account_id IS NULL AND NOT p._fivetran_deleted""",
    ),
    Cause(
        "a discount on a credit memo is added to what is credited, and has no account",
        PACKAGE,
        f"""
        SELECT g.entity, g.id, g.txn_date, d.account_id, d.amount
        FROM books.gl_entries g {CONTROL}
        CROSS JOIN LATERAL (VALUES (g.account_id, -({AMOUNT})),
            (c.account_id, 2 * ({AMOUNT}))) AS d (account_id, amount)
        WHERE g.entity = 'CreditMemo' AND g.kind = 'discount'""",
    ),
    Cause(
        "a discount on a refund receipt is added to what is refunded",
        PACKAGE,
        f"""
        SELECT g.entity, g.id, g.txn_date, d.account_id, d.amount
        FROM books.gl_entries g {CONTROL}
        CROSS JOIN LATERAL (VALUES (g.account_id, -2 * ({AMOUNT})),
            (c.account_id, 2 * ({AMOUNT}))) AS d (account_id, amount)
        WHERE g.entity = 'RefundReceipt' AND g.kind = 'discount'""",
    ),
    Cause(
        "of a payment in another currency, only what pays invoices is credited",
        PACKAGE,
        settled("Payment", "payment", "invoice", 1),
    ),
    Cause(
        "of a bill payment in another currency, only what pays bills is debited",
        PACKAGE,
        settled("BillPayment", "bill_payment", "bill", -1),
    ),
    Cause(
        "bundles on sales receipts, refund receipts and credit memos are posted nowhere",
        PACKAGE,
        """
        SELECT g.entity, g.id, g.txn_date, d.account_id, d.amount
        FROM (
            SELECT 'SalesReceipt' AS entity, id, payload, 1 AS sign FROM raw.qb_sales_receipts
            UNION ALL SELECT 'RefundReceipt', id, payload, -1 FROM raw.qb_refund_receipts
            UNION ALL SELECT 'CreditMemo', id, payload, -1 FROM raw.qb_credit_memos) AS r
        JOIN books.gl_entries g ON g.entity = r.entity AND g.id = r.id AND g.kind = 'control'
        CROSS JOIN LATERAL jsonb_path_query(r.payload, '$.Line[*].GroupLineDetail.Line[*]') AS l
        JOIN quickbooks.item i ON i.id = l #>> '{SalesItemLineDetail,ItemRef,value}'
        CROSS JOIN LATERAL (
            SELECT sign * (l ->> 'Amount')::numeric * coalesce((r.payload ->> 'ExchangeRate')::numeric, 1))
            AS line (amount)
        CROSS JOIN LATERAL (VALUES
            (coalesce(l #>> '{SalesItemLineDetail,ItemAccountRef,value}', i.income_account_id), line.amount),
            (g.account_id, -line.amount)) AS d (account_id, amount)""",
    ),
    Cause(
        "cash back of a deposit is posted as if it had gone to the bank",
        PACKAGE,
        """
        SELECT 'Deposit', id, (payload ->> 'TxnDate')::date, d.account_id, d.amount
        FROM raw.qb_deposits
        CROSS JOIN LATERAL (
            SELECT (payload #>> '{CashBack,Amount}')::numeric * coalesce((payload ->> 'ExchangeRate')::numeric, 1))
            AS back (amount)
        CROSS JOIN LATERAL (VALUES (payload #>> '{DepositToAccountRef,value}', back.amount),
            (payload #>> '{CashBack,AccountRef,value}', -back.amount)) AS d (account_id, amount)
        WHERE deleted_at_utc IS NULL AND back.amount <> 0""",
    ),
    Cause(
        "a deposit that was paid with an invoice stays receivable",
        PACKAGE,
        """
        SELECT 'Invoice', r.id, g.txn_date, d.account_id, d.amount
        FROM raw.qb_invoices r
        JOIN books.gl_entries g ON g.entity = 'Invoice' AND g.id = r.id AND g.kind = 'control'
        JOIN quickbooks.account a ON a.id = g.account_id AND a.account_type = 'Accounts Receivable'
        CROSS JOIN LATERAL (
            SELECT (payload ->> 'Deposit')::numeric * coalesce((payload ->> 'ExchangeRate')::numeric, 1))
            AS paid (amount)
        CROSS JOIN LATERAL (VALUES (g.account_id, paid.amount),
            (payload #>> '{DepositToAccountRef,value}', -paid.amount)) AS d (account_id, amount)
        WHERE r.deleted_at_utc IS NULL AND paid.amount <> 0""",
    ),
    Cause(
        "an item below another one is posted to the account of that one",
        PACKAGE,
        """
        SELECT sold.entity, sold.id, sold.day, d.account_id, d.amount
        FROM (
            SELECT 'Purchase' AS entity, p.id, p.transaction_date::date AS day, l.item_expense_item_id AS item_id,
                l.amount * coalesce(p.exchange_rate, 1) * CASE WHEN p.credit THEN -1 ELSE 1 END AS amount
            FROM quickbooks.purchase p JOIN quickbooks.purchase_line l ON l.purchase_id = p.id
            WHERE l.account_expense_account_id IS NULL AND NOT p._fivetran_deleted
            UNION ALL SELECT 'SalesReceipt', s.id, s.transaction_date::date, l.sales_item_item_id,
                -l.amount * coalesce(s.exchange_rate, 1)
            FROM quickbooks.sales_receipt s JOIN quickbooks.sales_receipt_line l ON l.sales_receipt_id = s.id
            WHERE l.sales_item_account_id IS NULL AND NOT s._fivetran_deleted
            UNION ALL SELECT 'RefundReceipt', f.id, f.transaction_date::date, l.sales_item_item_id,
                l.amount * coalesce(f.exchange_rate, 1)
            FROM quickbooks.refund_receipt f JOIN quickbooks.refund_receipt_line l ON l.refund_id = f.id
            WHERE l.sales_item_account_id IS NULL AND NOT f._fivetran_deleted) AS sold
        JOIN quickbooks.item i ON i.id = sold.item_id
        JOIN quickbooks.item parent ON parent.id = i.parent_item_id
        CROSS JOIN LATERAL (
            SELECT CASE entity WHEN 'Purchase' THEN i.expense_account_id ELSE i.income_account_id END,
                CASE entity WHEN 'Purchase' THEN parent.expense_account_id ELSE parent.income_account_id END)
            AS account (own, above)
        CROSS JOIN LATERAL (VALUES (account.own, -sold.amount), (account.above, sold.amount)) AS d (account_id, amount)
        WHERE account.above <> account.own""",
    ),
    Cause(
        "stock that goes back to a vendor is posted to the item's expense account",
        PACKAGE,
        """
        SELECT 'VendorCredit', v.id, v.transaction_date::date, moved.account_id,
            moved.sign * l.amount * coalesce(v.exchange_rate, 1)
        FROM quickbooks.vendor_credit v
        JOIN quickbooks.vendor_credit_line l ON l.vendor_credit_id = v.id
        JOIN quickbooks.item i ON i.id = l.item_expense_item_id AND i.type = 'Inventory'
        CROSS JOIN LATERAL (VALUES (i.asset_account_id, 1), (i.expense_account_id, -1)) AS moved (account_id, sign)
        WHERE l.account_expense_account_id IS NULL AND NOT v._fivetran_deleted""",
    ),
    Cause(
        "the tax of a journal entry is not posted (its switch is off: on, its side is wrong)",
        PACKAGE,
        f"SELECT g.entity, g.id, g.txn_date, g.account_id, -({AMOUNT}) FROM books.gl_entries g "
        "WHERE g.entity = 'JournalEntry' AND g.kind = 'tax'",
    ),
    Cause(
        "with two active accounts of receivables, payables or undeposited funds, both are posted to",
        PACKAGE,
        f"""
        WITH twins AS (
            SELECT a.id, a.account_type, t.id AS twin FROM quickbooks.account a
            JOIN quickbooks.account t ON t.id <> a.id AND t.active AND NOT t.sub_account
            WHERE a.account_type IN ('Accounts Receivable', 'Accounts Payable')
                AND t.account_type = a.account_type AND t.currency_id = a.currency_id
            OR a.account_sub_type = 'UndepositedFunds' AND t.account_sub_type = a.account_sub_type
        )
        SELECT g.entity, g.id, g.txn_date, t.twin, {AMOUNT}
        FROM books.gl_entries g JOIN twins t ON t.id = g.account_id
        LEFT JOIN quickbooks.payment p ON g.entity = 'Payment' AND p.id = g.id
        WHERE (g.entity IN ('Invoice', 'CreditMemo', 'Payment') AND t.account_type = 'Accounts Receivable'
                AND p.receivable_account_id IS NULL)
            OR (g.entity = 'BillPayment' AND t.account_type = 'Accounts Payable')
            OR (g.entity = 'Deposit' AND t.account_type = 'Other Current Asset')
        UNION ALL
        SELECT g.entity, g.id, g.txn_date, g.account_id, {AMOUNT}
        FROM books.gl_entries g CROSS JOIN twins t
        WHERE NOT EXISTS (SELECT FROM twins WHERE id = g.account_id)
        AND ((g.entity = 'BillPayment' AND EXISTS (
                SELECT FROM books.gl_entries o
                WHERE (o.entity, o.id, o.account_id) = (g.entity, g.id, t.id) AND t.account_type = 'Accounts Payable'))
            OR (g.entity = 'Deposit' AND t.account_type = 'Other Current Asset' AND t.id = (
                SELECT min(id) FROM twins WHERE account_type = 'Other Current Asset')))""",
    ),
)
