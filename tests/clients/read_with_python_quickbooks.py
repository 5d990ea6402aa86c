"""Reads a company with python-quickbooks and intuit-oauth as they are, and prints what they got.

Run by a Python that has both; the sandbox's settings come from the environment.
"""

import json
import os

from intuitlib.client import AuthClient
from quickbooks import QuickBooks
from quickbooks.batch import batch_delete
from quickbooks.cdc import change_data_capture
from quickbooks.exceptions import QuickbooksException
from quickbooks.objects import Customer, Estimate, Invoice, Item, Vendor
from quickbooks.objects.creditcardpayment_entity import CreditCardPayment


def paged(kind, qb, size=100):
    """Return all records of a type, by offset, ordered."""
    found = []
    while page := kind.where(
        "", order_by="MetaData.CreateTime", start_position=len(found) + 1, max_results=size, qb=qb
    ):
        found += page
    return found


def main():
    """Read and print."""
    url = os.environ["QBO_API_URL"]
    auth = AuthClient(
        os.environ["QBO_CLIENT_ID"],
        os.environ["QBO_CLIENT_SECRET"],
        "http://localhost/callback",
        f"{url}/.well-known/openid_sandbox_configuration/",
        refresh_token=os.environ["QBO_REFRESH_TOKEN"],
    )
    QuickBooks.api_url_v3 = f"{url}/v3"
    auth.include_refresh_token_hard_expires_in = True
    qb = QuickBooks(
        auth_client=auth,
        refresh_token=os.environ["QBO_REFRESH_TOKEN"],
        company_id=os.environ["QBO_REALM_ID"],
        minorversion=75,
    )
    queries = {
        "c": "SELECT * FROM Customer MAXRESULTS 5",
        "bad": "SELECT * FROM Custmoer",
        "n": "SELECT COUNT(*) FROM Item",
    }
    batch = {"BatchItemRequest": [{"bId": name, "Query": query} for name, query in queries.items()]}
    items = {item["bId"]: item for item in qb.batch_operation(json.dumps(batch))["BatchItemResponse"]}
    changes = change_data_capture([Estimate, Invoice, Vendor], os.environ["CHANGED_SINCE"], qb=qb)
    try:
        Customer.where("Notes = 'x'", qb=qb)
        refused = None
    except QuickbooksException as error:
        refused = [error.error_code, error.detail]
    answer = {
        "customers": {c.Id: c.DisplayName for c in Customer.where("Active IN (true, false)", max_results=1000, qb=qb)},
        "active": len(Customer.all(max_results=1000, qb=qb)),
        "counted": Customer.count("Active IN (true, false)", qb=qb),
        "invoices": {i.Id: [i.TotalAmt, i.CustomerRef.value, len(i.Line)] for i in paged(Invoice, qb)},
        "items": {i.Id: i.Sku or None for i in Item.all(max_results=1000, qb=qb)},
        "one": Customer.get(3, qb=qb).DisplayName,
        "cards": [c.Id for c in CreditCardPayment.all(max_results=1000, qb=qb)],
        "changed": {
            kind: [r.Id for r in getattr(changes, kind)] for kind in ("Estimate", "Invoice") if hasattr(changes, kind)
        },
        "deleted": [r.Id for r in changes.Invoice if getattr(r, "status", "") == "Deleted"],
        "vendors_changed": hasattr(changes, "Vendor"),
        "batch": {
            "c": len(items["c"]["QueryResponse"]["Customer"]),
            "bad": items["bad"]["Fault"]["Error"][0]["code"],
            "n": items["n"]["QueryResponse"]["totalCount"],
        },
        "writes": [fault.Error[0].code for fault in batch_delete(Customer.filter(Id="3", qb=qb), qb=qb).faults],
        "refused": refused,
        "hard_expiry": auth.x_refresh_token_hard_expires_in,
        "revoked": auth.revoke(),
    }
    print(json.dumps(answer))


main()
