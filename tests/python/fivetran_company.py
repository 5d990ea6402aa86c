"""A small company whose books agree: every kind of transaction and line that the dbt package reads, two currencies."""

from __future__ import annotations


def ref(value: object, name: str | None = None, **more: str) -> dict:
    return {"value": str(value)} | ({"name": name} if name else {}) | more


USD, EUR = ref("USD"), ref("EUR")
META = {"MetaData": {"CreateTime": "2026-01-02T08:00:00-08:00", "LastUpdatedTime": "2026-01-03T08:00:00-08:00"}}


def account(number: int, name: str, kind: str, sub: str, classification: str) -> dict:
    return {
        "Id": str(number),
        "Name": name,
        "FullyQualifiedName": name,
        "AccountType": kind,
        "AccountSubType": sub,
        "Classification": classification,
        "CurrencyRef": USD,
        "Active": True,
        "SubAccount": False,
        "CurrentBalance": 1,
    }


def sale(amount: str, item: int, account: int, **more: object) -> dict:
    detail = {"ItemRef": ref(item), "ItemAccountRef": ref(account), "TaxCodeRef": ref("TAX")} | more
    return {"DetailType": "SalesItemLineDetail", "Amount": float(amount), "SalesItemLineDetail": detail}


def spent(amount: str, account: int, **more: object) -> dict:
    detail = {"AccountRef": ref(account)} | more
    return {
        "DetailType": "AccountBasedExpenseLineDetail",
        "Amount": float(amount),
        "AccountBasedExpenseLineDetail": detail,
    }


def bought(amount: str, item: int, **more: object) -> dict:
    detail = {"ItemRef": ref(item)} | more
    return {"DetailType": "ItemBasedExpenseLineDetail", "Amount": float(amount), "ItemBasedExpenseLineDetail": detail}


def paid(amount: str, kind: str, number: int) -> dict:
    return {"Amount": float(amount), "LinkedTxn": [{"TxnId": str(number), "TxnType": kind}]}


def tax(amount: str, of: str) -> dict:
    detail = {"TaxRateRef": ref(31), "PercentBased": True, "TaxPercent": 8, "NetAmountTaxable": float(of)}
    line = {"Amount": float(amount), "DetailType": "TaxLineDetail", "TaxLineDetail": detail}
    return {"TotalTax": float(amount), "TxnTaxCodeRef": ref(32), "TaxLine": [line]}


def posted(amount: str, kind: str, account: int, **more: object) -> dict:
    detail = {"PostingType": kind, "AccountRef": ref(account)} | more
    return {"DetailType": "JournalEntryLineDetail", "Amount": float(amount), "JournalEntryLineDetail": detail}


def entity(kind: str, number: int) -> dict:
    return {"Entity": {"Type": kind, "EntityRef": ref(number)}}


RECORDS: dict[str, list[dict]] = {
    "accounts": [
        account(1, "Checking", "Bank", "Checking", "Asset"),
        account(2, "Receivables", "Accounts Receivable", "AccountsReceivable", "Asset"),
        account(3, "Payables", "Accounts Payable", "AccountsPayable", "Liability"),
        account(4, "Sales", "Income", "SalesOfProductIncome", "Revenue"),
        account(5, "Costs", "Expense", "SuppliesMaterials", "Expense")
        | {"AcctNum": "5000", "Description": "All costs"},
        account(6, "Undeposited", "Other Current Asset", "UndepositedFunds", "Asset"),
        account(7, "State Board Payable", "Other Current Liability", "SalesTaxPayable", "Liability"),
        account(8, "Card", "Credit Card", "CreditCard", "Liability"),
        account(9, "Discounts", "Income", "DiscountsRefundsGiven", "Revenue"),
        account(10, "Receivables in euro", "Accounts Receivable", "AccountsReceivable", "Asset") | {"CurrencyRef": EUR},
        account(11, "Services", "Income", "ServiceFeeIncome", "Revenue"),
        account(12, "Exchange", "Other Expense", "ExchangeGainOrLoss", "Expense"),
        account(14, "Savings", "Bank", "Savings", "Asset"),
    ],
    "preferences": [{"Id": "1", "CurrencyPrefs": {"HomeCurrency": USD, "MultiCurrencyEnabled": True}}],
    "customers": [
        {
            "Id": "1",
            "DisplayName": "Ann",
            "FullyQualifiedName": "Ann",
            "Active": True,
            "Balance": 45.0,
            "BalanceWithJobs": 46.0,
            "CustomerTypeRef": ref(21),
            "CurrencyRef": USD,
            "PrimaryEmailAddr": {"Address": "ann@example.com"},
            "PrimaryPhone": {"FreeFormNumber": "1"},
            "AlternatePhone": {"FreeFormNumber": "2"},
            "Mobile": {"FreeFormNumber": "3"},
            "Fax": {"FreeFormNumber": "4"},
            "WebAddr": {"URI": "http://ann.example.com"},
            "ParentRef": ref(9),
            "Level": 1,
            "ResaleNum": "R7",
            "BillAddr": {"Id": "11", "Line1": "Old street 1", "City": "Tucson"},
        }
        | META
    ],
    "customer_types": [{"Id": "21", "Name": "Retail", "Active": True}],
    "departments": [
        {
            "Id": "22",
            "Name": "West",
            "FullyQualifiedName": "All:West",
            "Active": True,
            "SubDepartment": True,
            "ParentRef": ref(20),
        }
    ],
    "vendors": [
        {
            "Id": "2",
            "DisplayName": "Bob",
            "Active": True,
            "Balance": 50.0,
            "CurrencyRef": USD,
            "AcctNum": "A9",
            "Vendor1099": True,
            "TaxIdentifier": "T1",
            "TermRef": ref(3),
            "WebAddr": {"URI": "http://bob.example.com"},
            "OtherContactInfo": [{"Type": "Pager"}],
            "BillAddr": {"Id": "12", "Line1": "Mill lane 2", "Line2": "Yard", "Country": "US"},
        }
        | META
    ],
    "items": [
        {
            "Id": "1",
            "Name": "Lamp",
            "Type": "NonInventory",
            "Active": True,
            "IncomeAccountRef": ref(4),
            "Sku": "L-1",
            "UnitPrice": 50.05,
        },
        {
            "Id": "2",
            "Name": "Wire",
            "Type": "NonInventory",
            "Active": True,
            "ExpenseAccountRef": ref(5),
            "ParentRef": ref(4),
            "PurchaseCost": 3,
        },
        {
            "Id": "3",
            "Name": "Set",
            "Type": "Group",
            "Active": True,
            "PrintGroupedItems": True,
            "ItemGroupDetail": {"ItemGroupLine": [{"ItemRef": ref(1), "Qty": 2}, {"ItemRef": ref(2), "Qty": 0.5}]},
        },
    ],
    "tax_agencies": [{"Id": "30", "DisplayName": "State Board", "TaxTrackedOnSales": True}],
    "tax_rates": [{"Id": "31", "Name": "State", "RateValue": 8, "AgencyRef": ref(30), "Active": True}],
    "estimates": [
        {
            "Id": "400",
            "TxnDate": "2026-01-04",
            "TxnStatus": "Accepted",
            "TotalAmt": 150.15,
            "CurrencyRef": USD,
            "CustomerRef": ref(1),
            "AcceptedBy": "Ann",
            "ExpirationDate": "2026-02-04",
            "Line": [sale("150.15", 1, 4, Qty=3)],
        }
    ],
    "invoices": [
        {
            "Id": "100",
            "DocNumber": "I-100",
            "TxnDate": "2026-01-05",
            "DueDate": "2026-02-05",
            "CustomerRef": ref(1, "Ann"),
            "CurrencyRef": USD,
            "TotalAmt": 145.94,
            "Balance": 45.0,
            "ClassRef": ref(41),
            "DepartmentRef": ref(22),
            "SalesTermRef": ref(3),
            "CustomerMemo": {"value": "Thanks"},
            "CustomField": [{"Name": "Crew #", "StringValue": "7"}, {"Name": "P.O. Number", "StringValue": "PO-5"}],
            "DeliveryInfo": {"DeliveryType": "Email", "DeliveryTime": "2026-01-05T10:00:00Z"},
            "BillEmail": {"Address": "pay@example.com"},
            "BillAddr": {
                "Id": "11",
                "Line1": "New street 1",
                "City": "Tucson",
                "CountrySubDivisionCode": "AZ",
                "Lat": "INVALID",
            },
            "LinkedTxn": [{"TxnId": "300", "TxnType": "Payment"}, {"TxnId": "400", "TxnType": "Estimate"}],
            "TxnTaxDetail": tax("10.81", "135.13"),
            "Line": [
                sale("100.10", 1, 4, Qty=2, UnitPrice=50.05, ClassRef=ref(42), ServiceDate="2026-01-01"),
                sale("50.05", 1, 4, Qty=1, UnitPrice=50.05),
                {"DetailType": "SubTotalLineDetail", "Amount": 150.15, "SubTotalLineDetail": {}},
                {
                    "DetailType": "DiscountLineDetail",
                    "Amount": 15.02,
                    "DiscountLineDetail": {
                        "PercentBased": True,
                        "DiscountPercent": 10,
                        "DiscountAccountRef": ref(9),
                        "ClassRef": ref(43),
                    },
                },
            ],
            "MetaData": {"CreateTime": "2026-01-05T08:00:00-08:00", "LastUpdatedTime": "2026-01-06T08:00:00-08:00"},
        },
        {
            "Id": "101",
            "TxnDate": "2026-01-20",
            "CustomerRef": ref(1),
            "CurrencyRef": EUR,
            "ExchangeRate": 1.25,
            "TotalAmt": 30.0,
            "HomeTotalAmt": 37.5,
            "Balance": 20.0,
            "BillAddr": {"Line1": "No id 3"},
            "LinkedTxn": [{"TxnId": "301", "TxnType": "Payment"}],
            "Line": [
                {
                    "DetailType": "DescriptionOnly",
                    "Description": "A set",
                    "DescriptionLineDetail": {"ServiceDate": "2026-01-19"},
                },
                {
                    "DetailType": "GroupLineDetail",
                    "Amount": 30.0,
                    "GroupLineDetail": {
                        "GroupItemRef": ref(3),
                        "Quantity": 1,
                        "Line": [sale("20.30", 1, 4, Qty=2), sale("9.70", 2, 4, Qty=0.5) | {"LineNum": 4}],
                    },
                },
            ],
        },
    ],
    "payments": [
        {
            "Id": "300",
            "TxnDate": "2026-01-08",
            "CustomerRef": ref(1),
            "CurrencyRef": USD,
            "TotalAmt": 100.94,
            "UnappliedAmt": 0,
            "PaymentRefNum": "77",
            "DepositToAccountRef": ref(6),
            "Line": [paid("100.94", "Invoice", 100)],
        },
        {
            "Id": "301",
            "TxnDate": "2026-02-02",
            "CustomerRef": ref(1),
            "CurrencyRef": EUR,
            "ExchangeRate": 1.3,
            "TotalAmt": 10.0,
            "ARAccountRef": ref(10),
            "DepositToAccountRef": ref(6),
            "Line": [paid("10.00", "Invoice", 101)],
        },
    ],
    "credit_memos": [
        {
            "Id": "500",
            "TxnDate": "2026-01-09",
            "CustomerRef": ref(1),
            "CurrencyRef": USD,
            "TotalAmt": 12.5,
            "RemainingCredit": 12.5,
            "Line": [sale("12.50", 1, 4)],
        }
    ],
    "sales_receipts": [
        {
            "Id": "600",
            "TxnDate": "2026-01-10",
            "CurrencyRef": USD,
            "TotalAmt": 85.76,
            "DepositToAccountRef": ref(1),
            "TxnTaxDetail": tax("5.76", "80.00"),
            "CreditCardPayment": {
                "CreditChargeInfo": {"Type": "Visa", "CcExpiryMonth": 9},
                "CreditChargeResponse": {"Status": "Completed", "CCTransId": "C1"},
            },
            "Line": [sale("80.00", 1, 11)],
        }
    ],
    "refund_receipts": [
        {
            "Id": "700",
            "TxnDate": "2026-01-11",
            "CurrencyRef": USD,
            "TotalAmt": 8.0,
            "DepositToAccountRef": ref(1),
            "CheckPayment": {"CheckNum": "55"},
            "Line": [sale("8.00", 1, 4)],
        }
    ],
    "bills": [
        {
            "Id": "800",
            "DocNumber": "B-800",
            "TxnDate": "2026-01-12",
            "DueDate": "2026-02-12",
            "VendorRef": ref(2),
            "APAccountRef": ref(3),
            "CurrencyRef": USD,
            "TotalAmt": 230.2,
            "Balance": 50.0,
            "LinkedTxn": [
                {"TxnId": "900", "TxnType": "BillPaymentCheck"},
                {"TxnId": "901", "TxnType": "BillPaymentCreditCard"},
                {"TxnId": "1000", "TxnType": "PurchaseOrder"},
            ],
            "Line": [
                spent("200.20", 5, ClassRef=ref(41), CustomerRef=ref(1), BillableStatus="Billable"),
                bought("30.00", 2, Qty=10, UnitPrice=3, BillableStatus="NotBillable"),
            ],
        }
    ],
    "bill_payments": [
        {
            "Id": "900",
            "TxnDate": "2026-01-13",
            "VendorRef": ref(2),
            "CurrencyRef": USD,
            "TotalAmt": 130.2,
            "PayType": "Check",
            "CheckPayment": {"BankAccountRef": ref(1), "PrintStatus": "NotSet"},
            "Line": [paid("130.20", "Bill", 800)],
        },
        {
            "Id": "901",
            "TxnDate": "2026-01-14",
            "VendorRef": ref(2),
            "CurrencyRef": USD,
            "TotalAmt": 50.0,
            "PayType": "CreditCard",
            "CreditCardPayment": {"CCAccountRef": ref(8)},
            "Line": [paid("50.00", "Bill", 800)],
        },
    ],
    "vendor_credits": [
        {
            "Id": "1100",
            "TxnDate": "2026-01-15",
            "VendorRef": ref(2),
            "APAccountRef": ref(3),
            "CurrencyRef": USD,
            "TotalAmt": 5.0,
            "Line": [spent("5.00", 5)],
        }
    ],
    "purchases": [
        {
            "Id": "1200",
            "TxnDate": "2026-01-16",
            "AccountRef": ref(1),
            "PaymentType": "Cash",
            "EntityRef": ref(2, type="Vendor"),
            "CurrencyRef": USD,
            "TotalAmt": 40.4,
            "Line": [spent("40.40", 5)],
        },
        {
            "Id": "1201",
            "TxnDate": "2026-01-17",
            "AccountRef": ref(8),
            "PaymentType": "CreditCard",
            "EntityRef": ref(1, type="Customer"),
            "Credit": True,
            "CurrencyRef": USD,
            "TotalAmt": 10.0,
            "Line": [spent("10.00", 5)],
        },
    ],
    "purchase_orders": [
        {
            "Id": "1000",
            "TxnDate": "2026-01-10",
            "VendorRef": ref(2),
            "APAccountRef": ref(3),
            "CurrencyRef": USD,
            "TotalAmt": 30.0,
            "POStatus": "Closed",
            "LinkedTxn": [{"TxnId": "800", "TxnType": "Bill"}],
            "VendorAddr": {"Id": "12", "Line1": "Mill lane 2"},
            "Line": [bought("30.00", 2, Qty=10)],
        }
    ],
    "deposits": [
        {
            "Id": "1300",
            "TxnDate": "2026-01-18",
            "DepositToAccountRef": ref(1),
            "CurrencyRef": USD,
            "TotalAmt": 108.01,
            "Line": [
                paid("100.94", "Payment", 300),
                {
                    "DetailType": "DepositLineDetail",
                    "Amount": 7.07,
                    "DepositLineDetail": {
                        "AccountRef": ref(4),
                        "Entity": ref(1, type="CUSTOMER"),
                        "ClassRef": ref(41),
                        "CheckNum": "9",
                    },
                },
            ],
        }
    ],
    "transfers": [
        {
            "Id": "1400",
            "TxnDate": "2026-01-19",
            "FromAccountRef": ref(1),
            "ToAccountRef": ref(14),
            "CurrencyRef": USD,
            "Amount": 25.25,
        }
    ],
    "journal_entries": [
        {
            "Id": "1500",
            "TxnDate": "2026-01-21",
            "CurrencyRef": USD,
            "Adjustment": True,
            "Line": [
                posted("60.60", "Debit", 5, ClassRef=ref(41), DepartmentRef=ref(22), **entity("Customer", 1)),
                posted("60.60", "Credit", 3, **entity("Vendor", 2)),
            ],
        }
    ],
    "credit_card_payments": [
        {
            "Id": "1600",
            "TxnDate": "2026-01-22",
            "BankAccountRef": ref(1),
            "CreditCardAccountRef": ref(8),
            "CurrencyRef": USD,
            "Amount": 33.33,
        }
    ],
}

# Of these only the key is there, because QuickBooks deleted them.
DELETED = {
    "invoices": [
        {"Id": "102", "TxnDate": "2026-01-20", "CurrencyRef": USD, "TotalAmt": 999, "Line": [sale("999", 1, 4)]}
    ]
}

# What each account holds in home currency, added up by hand from the records: debits are positive.
BALANCES = {
    # 85.76 - 8.00 - 130.20 - 40.40 + 108.01 - 25.25 - 33.33
    "1": "-43.41",
    # 145.94 - 100.94 - 12.50
    "2": "32.50",
    # -230.20 + 130.20 + 50.00 + 5.00 - 60.60
    "3": "-105.60",
    # -150.15 - 37.50 + 12.50 + 8.00 - 7.07
    "4": "-174.22",
    # 230.20 - 5.00 + 40.40 - 10.00 + 60.60
    "5": "316.20",
    # 100.94 + 13.00 - 100.94
    "6": "13.00",
    # -10.81 - 5.76
    "7": "-16.57",
    # -50.00 + 10.00 + 33.33
    "8": "-6.67",
    "9": "15.02",
    # 30.00 * 1.25 - 10.00 * 1.25
    "10": "25.00",
    "11": "-80.00",
    # A gain: 10.00 of euro at 1.30 instead of 1.25.
    "12": "-0.50",
    "14": "25.25",
}


def bundle(amount: str, *lines: dict) -> dict:
    detail = {"GroupItemRef": ref(3), "Quantity": 1, "Line": list(lines)}
    return {"DetailType": "GroupLineDetail", "Amount": float(amount), "GroupLineDetail": detail}


def discount(amount: str) -> dict:
    detail = {"PercentBased": False, "DiscountAccountRef": ref(9)}
    return {"DetailType": "DiscountLineDetail", "Amount": float(amount), "DiscountLineDetail": detail}


def item(number: int, name: str, kind: str, income: int, expense: int, **more: object) -> dict:
    accounts = {"IncomeAccountRef": ref(income), "ExpenseAccountRef": ref(expense)}
    return {"Id": str(number), "Name": name, "Type": kind, "Active": True} | accounts | more


def posts(number: int, day: int, total: str, currency: dict, *lines: dict, **more: object) -> dict:
    written = {"Id": str(number), "TxnDate": f"2026-03-{day:02}", "TotalAmt": float(total), "CurrencyRef": currency}
    return written | {"Line": list(lines)} | more


EURO = {"CustomerRef": ref(1), "ExchangeRate": 1.3}
EURO_BOUGHT = {"VendorRef": ref(2), "ExchangeRate": 1.28, "APAccountRef": ref(18)}
CAD = ref("CAD")

# Besides the records above: what the package posts in another way than QuickBooks, each once.
TRAPS: dict[str, list[dict]] = {
    "accounts": [
        account(15, "Stock", "Other Current Asset", "Inventory", "Asset"),
        account(16, "Cost of tools", "Expense", "SuppliesMaterials", "Expense"),
        account(18, "Payables in euro", "Accounts Payable", "AccountsPayable", "Liability") | {"CurrencyRef": EUR},
    ],
    "items": [
        item(10, "Pump", "Inventory", 4, 5, AssetAccountRef=ref(15), TrackQtyOnHand=True, InvStartDate="2026-01-01"),
        item(12, "Tools", "NonInventory", 11, 5),
        item(13, "Saw", "NonInventory", 4, 16, SubItem=True, ParentRef=ref(12)),
    ],
    "invoices": [
        posts(2070, 7, "40", USD, sale("40", 1, 4), CustomerRef=ref(1), Deposit=15.0, DepositToAccountRef=ref(1)),
        posts(2101, 9, "11", EUR, sale("11", 1, 4), CustomerRef=ref(1), ExchangeRate=1.25),
    ],
    "credit_memos": [
        posts(2010, 1, "18", USD, sale("20", 1, 4), discount("2"), CustomerRef=ref(1)),
        posts(2031, 4, "6", USD, bundle("6", sale("4", 1, 4), sale("2", 2, 11)), CustomerRef=ref(1)),
        posts(2103, 10, "4", EUR, sale("4", 1, 4), CustomerRef=ref(1), ExchangeRate=1.2),
    ],
    "sales_receipts": [
        posts(2030, 3, "30", USD, bundle("30", sale("20", 1, 4), sale("10", 2, 11)), DepositToAccountRef=ref(1)),
        posts(
            2091,
            8,
            "9",
            USD,
            {"DetailType": "SalesItemLineDetail", "Amount": 9.0, "SalesItemLineDetail": {"ItemRef": ref(13)}},
            DepositToAccountRef=ref(1),
        ),
    ],
    "refund_receipts": [
        posts(2020, 2, "9", USD, sale("10", 1, 4), discount("1"), DepositToAccountRef=ref(1)),
        posts(2032, 4, "5", USD, bundle("5", sale("3", 1, 4), sale("2", 2, 11)), DepositToAccountRef=ref(1)),
    ],
    "payments": [
        posts(2102, 11, "8", EUR, paid("5", "Invoice", 2101), DepositToAccountRef=ref(6), UnappliedAmt=3.0, **EURO),
        posts(
            2104,
            12,
            "2",
            EUR,
            paid("6", "Invoice", 2101),
            paid("4", "CreditMemo", 2103),
            DepositToAccountRef=ref(6),
            **EURO,
        ),
    ],
    "purchases": [
        posts(2050, 5, "12", USD, bought("12", 10, Qty=2), AccountRef=ref(1), PaymentType="Cash"),
        posts(2090, 8, "7", USD, bought("7", 13, Qty=1), AccountRef=ref(1), PaymentType="Cash"),
    ],
    "bills": [posts(2111, 13, "10", EUR, spent("10", 5), **EURO_BOUGHT | {"ExchangeRate": 1.25})],
    "vendor_credits": [
        posts(2080, 6, "6", USD, bought("6", 10, Qty=1), VendorRef=ref(2), APAccountRef=ref(3)),
        posts(2081, 7, "5", USD, bought("5", 10, Qty=1), VendorRef=ref(2), APAccountRef=ref(3)),
        posts(2112, 14, "2", EUR, spent("2", 5), **EURO_BOUGHT | {"ExchangeRate": 1.3}),
    ],
    "bill_payments": [
        posts(
            2113,
            15,
            "7",
            EUR,
            paid("9", "Bill", 2111),
            paid("2", "VendorCredit", 2112),
            PayType="Check",
            CheckPayment={"BankAccountRef": ref(1)},
            **EURO_BOUGHT,
        ),
    ],
    "deposits": [
        posts(
            2060,
            6,
            "30",
            USD,
            {"DetailType": "DepositLineDetail", "Amount": 50.0, "DepositLineDetail": {"AccountRef": ref(4)}},
            DepositToAccountRef=ref(1),
            CashBack={"AccountRef": ref(14), "Amount": 20.0},
        ),
    ],
    "journal_entries": [
        {
            "Id": "2120",
            "TxnDate": "2026-03-16",
            "CurrencyRef": USD,
            "TxnTaxDetail": tax("4", "50"),
            "Line": [posted("50", "Debit", 5), posted("54", "Credit", 1)],
        }
    ],
}

# What each account holds with the traps, likewise.
BALANCES_WITH_TRAPS = BALANCES | {
    # + 15.00 + 30.00 + 9.00 - 9.00 - 5.00 - 12.00 - 7.00 - 7.00 * 1.28 + 30.00 - 54.00
    "1": "-55.37",
    # + 25.00 - 18.00 - 6.00
    "2": "33.50",
    # + 6.00 + 5.00
    "3": "-94.60",
    # - 40.00 - 11.00 * 1.25 + 20.00 + 4.00 + 4.00 * 1.20 - 20.00 - 9.00 + 10.00 + 3.00 - 50.00
    "4": "-265.17",
    # + 10.00 * 1.25 - 2.00 * 1.30 + 50.00, and a pump of 6.00 that went back for 5.00
    "5": "377.10",
    # + 10.00 * 1.30
    "6": "26.00",
    "7": "-12.57",
    # - 2.00 - 1.00
    "9": "12.02",
    # + 11.00 * 1.25 - 4.00 * 1.20 - 5.00 * 1.25 - 3.00 * 1.30 - 6.00 * 1.25 + 4.00 * 1.20
    "10": "21.10",
    # + 2.00 - 10.00 + 2.00
    "11": "-86.00",
    # - 5.00 * 0.05; 2.70 was settled for 2.60; 8.96 was paid for 9.00 * 1.25 - 2.00 * 1.30
    "12": "-0.34",
    "14": "45.25",
    # 12.00 - 6.00 - 6.00
    "15": "0.00",
    "16": "7.00",
    # - 10.00 * 1.25 + 2.00 * 1.30 + 8.65
    "18": "-1.25",
}

# Besides the records: a second account of each kind that the package looks for by its type.
TWINS: dict[str, list[dict]] = {
    "accounts": [
        account(20, "More receivables", "Accounts Receivable", "AccountsReceivable", "Asset"),
        account(21, "More payables", "Accounts Payable", "AccountsPayable", "Liability"),
        account(22, "More undeposited", "Other Current Asset", "UndepositedFunds", "Asset"),
    ],
}
