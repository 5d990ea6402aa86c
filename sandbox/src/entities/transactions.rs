//! The transaction entities.

use super::schema::{Entity, Field, HEAD, Identity, Kind, USD, Value, Words, field, optional};

const fn transaction(name: &'static str, sample: u32, fields: &'static [Field]) -> Entity {
    Entity {
        name,
        answer_key: name,
        kind: Kind::Transaction,
        identity: Identity::Id,
        is_voidable: false,
        is_mergeable: false,
        webhook: true,
        sample,
        fields,
    }
}

const DOC_NUMBER: Field = optional("DocNumber", Value::DocNumber);
const TXN_DATE: Field = field("TxnDate", Value::Date);
const TOTAL: Field = field("TotalAmt", Value::Money);
const NOTE: Field = optional("PrivateNote", Value::Note);
const CUSTOMER: Field = field("CustomerRef", Value::Ref(500));
const VENDOR: Field = field("VendorRef", Value::Ref(120));
const LINKED: Field = field("LinkedTxn", Value::Json("[]"));

/// The fields of a document for a customer.
const SALE: &[Field] = &[
    HEAD,
    field(
        "CustomField",
        Value::Json(r##"[{"DefinitionId":"1","Name":"Crew #","Type":"StringType"}]"##),
    ),
    DOC_NUMBER,
    TXN_DATE,
    USD,
    NOTE,
    field("Line", Value::Lines("SalesItemLineDetail")),
    field("TxnTaxDetail", Value::Json(r#"{"TotalTax":0}"#)),
    CUSTOMER,
    optional(
        "CustomerMemo",
        Value::Json(r#"{"value":"Thank you for your business and have a great day!"}"#),
    ),
    optional("BillAddr", Value::Address),
    TOTAL,
    field("ApplyTaxAfterDiscount", Value::Json("false")),
    field("PrintStatus", Value::OneOf(&["NeedToPrint", "NotSet"])),
    field("EmailStatus", Value::OneOf(&["NotSet", "EmailSent"])),
    field("Balance", Value::Money),
];

/// The fields of a document from a vendor.
const PURCHASE: &[Field] = &[
    HEAD,
    DOC_NUMBER,
    TXN_DATE,
    USD,
    NOTE,
    field("Line", Value::Lines("AccountBasedExpenseLineDetail")),
    VENDOR,
    field(
        "APAccountRef",
        Value::Json(r#"{"value":"33","name":"Accounts Payable (A/P)"}"#),
    ),
    TOTAL,
];

pub(super) const TRANSACTIONS: &[Entity] = &[
    Entity {
        ..transaction(
            "Bill",
            400,
            &[
                field("DueDate", Value::DueDate),
                field("Balance", Value::Money),
                HEAD,
                DOC_NUMBER,
                TXN_DATE,
                USD,
                LINKED,
                NOTE,
                field("Line", Value::Lines("AccountBasedExpenseLineDetail")),
                VENDOR,
                TOTAL,
            ],
        )
    },
    Entity {
        is_voidable: true,
        ..transaction(
            "BillPayment",
            200,
            &[
                VENDOR,
                field("PayType", Value::OneOf(&["Check", "CreditCard"])),
                TOTAL,
                HEAD,
                DOC_NUMBER,
                TXN_DATE,
                USD,
                NOTE,
                field(
                    "Line",
                    Value::Json(
                        r#"[{"Amount":100.00,"LinkedTxn":[{"TxnId":"25","TxnType":"Bill"}]}]"#,
                    ),
                ),
            ],
        )
    },
    // It has no queries: change data capture names its changes, and a read gives a record.
    transaction(
        "ChangeOrder",
        12,
        &[
            HEAD,
            DOC_NUMBER,
            TXN_DATE,
            USD,
            field(
                "LinkedTxn",
                Value::Json(r#"[{"TxnId":"7","TxnType":"Estimate"}]"#),
            ),
            field("Line", Value::Lines("SalesItemLineDetail")),
            field("ProjectRef", Value::BareRef(9)),
            CUSTOMER,
            TOTAL,
            field("TotalCostAmount", Value::Money),
            field(
                "TxnStatus",
                Value::OneOf(&["Pending", "Accepted", "Closed"]),
            ),
            field("EmailStatus", Value::OneOf(&["NotSet", "EmailSent"])),
        ],
    ),
    // The entity's path is creditcardpayment, but its rows have this key (qbo-facts 8).
    Entity {
        answer_key: "CreditCardPaymentTxn",
        webhook: false,
        ..transaction(
            "CreditCardPayment",
            20,
            &[
                TXN_DATE,
                field("Amount", Value::Money),
                field("BankAccountRef", Value::AccountRef(90)),
                field("CreditCardAccountRef", Value::AccountRef(90)),
                NOTE,
                HEAD,
            ],
        )
    },
    Entity {
        is_voidable: true,
        ..transaction("CreditMemo", 60, SALE)
    },
    transaction(
        "Deposit",
        80,
        &[
            field("DepositToAccountRef", Value::AccountRef(90)),
            TOTAL,
            HEAD,
            TXN_DATE,
            USD,
            NOTE,
            field("Line", Value::Lines("DepositLineDetail")),
        ],
    ),
    Entity {
        ..transaction("Estimate", 150, SALE)
    },
    Entity {
        is_voidable: true,
        ..transaction("Invoice", 5000, &[])
    },
    // It has no queries either.
    Entity {
        webhook: false,
        ..transaction(
            "InventoryAdjustment",
            15,
            &[
                HEAD,
                DOC_NUMBER,
                TXN_DATE,
                NOTE,
                field(
                    "AdjustAccountRef",
                    Value::Json(r#"{"value":"81","name":"Cost:Inventory Shrinkage"}"#),
                ),
                field(
                    "Line",
                    Value::Json(
                        r#"[{"Id":1,"DetailType":"ItemAdjustmentLineDetail","ItemAdjustmentLineDetail":{"ItemRef":{"value":"3"},"QtyDiff":-2.5}}]"#,
                    ),
                ),
            ],
        )
    },
    transaction(
        "JournalEntry",
        120,
        &[
            field("Adjustment", Value::Flag),
            HEAD,
            DOC_NUMBER,
            TXN_DATE,
            USD,
            NOTE,
            field("Line", Value::Lines("JournalEntryLineDetail")),
            field("TxnTaxDetail", Value::Json("{}")),
        ],
    ),
    Entity {
        is_voidable: true,
        ..transaction(
            "Payment",
            600,
            &[
                CUSTOMER,
                field("DepositToAccountRef", Value::BareRef(90)),
                TOTAL,
                field("UnappliedAmt", Value::Json("0")),
                field("ProcessPayment", Value::Json("false")),
                HEAD,
                TXN_DATE,
                USD,
                NOTE,
                // Real answers show these Java class names (qbo-facts 9).
                field(
                    "Line",
                    Value::Json(
                        r#"[{"Amount":70.00,"LinkedTxn":[{"TxnId":"70","TxnType":"Invoice"}],"LineEx":{"any":[{"name":"{http://schema.intuit.com/finance/v3}NameValue","declaredType":"com.intuit.schema.finance.v3.NameValue","scope":"javax.xml.bind.JAXBElement$GlobalScope","value":{"Name":"txnId","Value":"70"},"nil":false,"globalScope":true,"typeSubstituted":false}]}}]"#,
                    ),
                ),
            ],
        )
    },
    Entity {
        is_voidable: true,
        ..transaction(
            "Purchase",
            300,
            &[
                field("AccountRef", Value::AccountRef(90)),
                field(
                    "PaymentType",
                    Value::OneOf(&["Cash", "Check", "CreditCard"]),
                ),
                optional("EntityRef", Value::Ref(120)),
                TOTAL,
                HEAD,
                DOC_NUMBER,
                TXN_DATE,
                USD,
                NOTE,
                field("Line", Value::Lines("AccountBasedExpenseLineDetail")),
            ],
        )
    },
    transaction("PurchaseOrder", 50, PURCHASE),
    Entity {
        identity: Identity::Wrapped,
        webhook: false,
        ..transaction(
            "RecurringTransaction",
            12,
            &[
                field(
                    "RecurringInfo",
                    Value::Json(
                        r#"{"Name":"Monthly","RecurType":"Automated","Active":true,"ScheduleInfo":{"IntervalType":"Monthly","NumInterval":1}}"#,
                    ),
                ),
                HEAD,
                TXN_DATE,
                USD,
                field("Line", Value::Lines("SalesItemLineDetail")),
                CUSTOMER,
                TOTAL,
            ],
        )
    },
    Entity {
        is_voidable: true,
        ..transaction("RefundReceipt", 30, SALE)
    },
    Entity {
        webhook: false,
        ..transaction(
            "ReimburseCharge",
            10,
            &[
                CUSTOMER,
                field("HasBeenInvoiced", Value::Flag),
                field("Amount", Value::Money),
                HEAD,
                TXN_DATE,
                USD,
                field("Line", Value::Lines("ReimburseLineDetail")),
            ],
        )
    },
    Entity {
        is_voidable: true,
        ..transaction("SalesReceipt", 250, SALE)
    },
    Entity {
        webhook: false,
        ..transaction(
            "TaxPayment",
            8,
            // A boolean that is written as text (qbo-facts 9).
            &[
                field("PaymentDate", Value::Date),
                field("PaymentAccountRef", Value::AccountRef(90)),
                field("PaymentAmount", Value::Money),
                field("Refund", Value::Json("\"false\"")),
                optional("Description", Value::Note),
                HEAD,
            ],
        )
    },
    Entity {
        ..transaction(
            "TimeActivity",
            200,
            &[
                TXN_DATE,
                field("NameOf", Value::OneOf(&["Employee", "Vendor"])),
                field("EmployeeRef", Value::Ref(40)),
                CUSTOMER,
                field(
                    "BillableStatus",
                    Value::OneOf(&["Billable", "NotBillable", "HasBeenBilled"]),
                ),
                field("Taxable", Value::Flag),
                field("HourlyRate", Value::Money),
                field("Hours", Value::Json("5")),
                field("Minutes", Value::Json("30")),
                optional("Description", Value::Note),
                HEAD,
            ],
        )
    },
    transaction(
        "Transfer",
        40,
        &[
            field("FromAccountRef", Value::AccountRef(90)),
            field("ToAccountRef", Value::AccountRef(90)),
            field("Amount", Value::Money),
            HEAD,
            TXN_DATE,
            USD,
            NOTE,
        ],
    ),
    transaction(
        "VendorCredit",
        30,
        &[
            HEAD,
            DOC_NUMBER,
            TXN_DATE,
            USD,
            NOTE,
            field("Line", Value::Lines("ItemBasedExpenseLineDetail")),
            VENDOR,
            field("Balance", Value::Money),
            TOTAL,
            optional("Memo", Value::Word(Words::Goods)),
        ],
    ),
];
