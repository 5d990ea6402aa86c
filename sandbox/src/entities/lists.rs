//! The list entities.

use super::schema::{Entity, Field, HEAD, Identity, Kind, USD, Value, Words, field, optional};

const fn list(name: &'static str, sample: u32, fields: &'static [Field]) -> Entity {
    Entity {
        name,
        answer_key: name,
        kind: Kind::List,
        identity: Identity::Id,
        is_voidable: false,
        is_mergeable: false,
        webhook: true,
        sample,
        fields,
    }
}

const ACTIVE: Field = field("Active", Value::Active);

/// The fields of a list that has little more than names.
const NAMED: &[Field] = &[field("Name", Value::Name(Words::Goods)), ACTIVE, HEAD];

/// The fields of a list whose names are a hierarchy.
const QUALIFIED: &[Field] = &[
    field("Name", Value::Name(Words::Trade)),
    field("SubClass", Value::Json("false")),
    field("FullyQualifiedName", Value::Name(Words::Trade)),
    ACTIVE,
    HEAD,
];

pub(super) const LISTS: &[Entity] = &[
    Entity {
        is_mergeable: true,
        ..list(
            "Account",
            90,
            &[
                field("Name", Value::Name(Words::Goods)),
                field("SubAccount", Value::Json("false")),
                field("FullyQualifiedName", Value::Name(Words::Goods)),
                ACTIVE,
                field(
                    "Classification",
                    Value::OneOf(&["Asset", "Liability", "Revenue", "Expense"]),
                ),
                field(
                    "AccountType",
                    Value::OneOf(&["Bank", "Income", "Expense", "Accounts Receivable"]),
                ),
                field(
                    "AccountSubType",
                    Value::OneOf(&["Checking", "ServiceFeeIncome", "OfficeExpenses"]),
                ),
                field("CurrentBalance", Value::Money),
                field("CurrentBalanceWithSubAccounts", Value::Money),
                USD,
                HEAD,
            ],
        )
    },
    list(
        "Budget",
        6,
        &[
            field("Name", Value::Name(Words::Trade)),
            field("StartDate", Value::Date),
            field("BudgetType", Value::OneOf(&["ProfitAndLoss"])),
            field("BudgetEntryType", Value::OneOf(&["Monthly", "Quarterly"])),
            ACTIVE,
            field(
                "BudgetDetail",
                Value::Json(
                    r#"[{"BudgetDate":"2025-01-01","Amount":100.00,"AccountRef":{"value":"79"}}]"#,
                ),
            ),
            HEAD,
        ],
    ),
    Entity {
        is_mergeable: true,
        ..list("Class", 12, QUALIFIED)
    },
    list(
        "CompanyCurrency",
        4,
        &[
            field("Code", Value::OneOf(&["EUR", "COP", "PEN"])),
            field("Name", Value::Name(Words::Goods)),
            ACTIVE,
            HEAD,
        ],
    ),
    Entity {
        is_mergeable: true,
        ..list("Customer", 500, &[])
    },
    Entity {
        webhook: false,
        ..list("CustomerType", 8, NAMED)
    },
    Entity {
        is_mergeable: true,
        ..list("Department", 10, QUALIFIED)
    },
    Entity {
        is_mergeable: true,
        ..list(
            "Employee",
            40,
            &[
                field("BillableTime", Value::Flag),
                optional("PrimaryAddr", Value::Address),
                HEAD,
                field("GivenName", Value::Word(Words::Given)),
                field("FamilyName", Value::Word(Words::Family)),
                field("DisplayName", Value::Name(Words::Family)),
                field("PrintOnCheckName", Value::Word(Words::Family)),
                ACTIVE,
                optional("PrimaryPhone", Value::Phone),
            ],
        )
    },
    Entity {
        is_mergeable: true,
        ..list("Item", 300, &[])
    },
    Entity {
        ..list(
            "JournalCode",
            6,
            &[
                field("Name", Value::Name(Words::Goods)),
                field("Type", Value::OneOf(&["Expenses", "Sales", "Bank", "Cash"])),
                ACTIVE,
                HEAD,
            ],
        )
    },
    Entity {
        is_mergeable: true,
        ..list(
            "PaymentMethod",
            8,
            &[
                field("Name", Value::Name(Words::Goods)),
                ACTIVE,
                field("Type", Value::OneOf(&["CREDIT_CARD", "NON_CREDIT_CARD"])),
                HEAD,
            ],
        )
    },
    Entity {
        webhook: false,
        ..list(
            "TaxCode",
            12,
            &[
                field("Name", Value::Name(Words::City)),
                optional("Description", Value::Note),
                ACTIVE,
                field("Taxable", Value::Flag),
                field("TaxGroup", Value::Json("true")),
                field(
                    "SalesTaxRateList",
                    Value::Json(
                        r#"{"TaxRateDetail":[{"TaxRateRef":{"value":"1","name":"AZ State tax"},"TaxTypeApplicable":"TaxOnAmount","TaxOrder":0}]}"#,
                    ),
                ),
                field(
                    "PurchaseTaxRateList",
                    Value::Json(r#"{"TaxRateDetail":[]}"#),
                ),
                HEAD,
            ],
        )
    },
    Entity {
        webhook: false,
        ..list(
            "TaxRate",
            16,
            &[
                field("Name", Value::Name(Words::City)),
                optional("Description", Value::Note),
                ACTIVE,
                field("RateValue", Value::OneOf(&["8.1", "7.1", "2"])),
                field("AgencyRef", Value::BareRef(3)),
                field("SpecialTaxType", Value::OneOf(&["NONE", "ZERO_RATE"])),
                field("DisplayType", Value::OneOf(&["ReadOnly"])),
                HEAD,
            ],
        )
    },
    list(
        "Term",
        6,
        &[
            field("Name", Value::Name(Words::Goods)),
            ACTIVE,
            field("Type", Value::OneOf(&["STANDARD", "DATE_DRIVEN"])),
            field("DueDays", Value::Json("30")),
            HEAD,
        ],
    ),
    Entity {
        is_mergeable: true,
        ..list(
            "Vendor",
            120,
            &[
                optional("BillAddr", Value::Address),
                field("Balance", Value::Money),
                optional("AcctNum", Value::DocNumber),
                field("Vendor1099", Value::Flag),
                USD,
                HEAD,
                field("GivenName", Value::Word(Words::Given)),
                field("FamilyName", Value::Word(Words::Family)),
                optional("CompanyName", Value::Word(Words::Trade)),
                field("DisplayName", Value::Name(Words::Trade)),
                field("PrintOnCheckName", Value::Word(Words::Trade)),
                ACTIVE,
                optional("PrimaryPhone", Value::Phone),
                optional("PrimaryEmailAddr", Value::Email),
            ],
        )
    },
];
