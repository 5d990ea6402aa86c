//! The entities that are neither lists nor transactions.

use super::schema::{Entity, Field, HEAD, Identity, Kind, Value, Words, field};

const fn supporting(name: &'static str, sample: u32, fields: &'static [Field]) -> Entity {
    Entity {
        name,
        answer_key: name,
        kind: Kind::Other,
        identity: Identity::Id,
        is_voidable: false,
        is_mergeable: false,
        webhook: false,
        sample,
        fields,
    }
}

pub(super) const SUPPORTING: &[Entity] = &[
    Entity {
        ..supporting(
            "Attachable",
            40,
            &[
                field(
                    "FileName",
                    Value::OneOf(&["receipt.pdf", "foto única.jpg", "no_detail.xml"]),
                ),
                field(
                    "FileAccessUri",
                    Value::Json(r#""/v3/company/0/download/5000000000000503624""#),
                ),
                field("Size", Value::Json("538")),
                field(
                    "ContentType",
                    Value::OneOf(&["application/pdf", "image/jpeg", "text/xml"]),
                ),
                HEAD,
                field(
                    "AttachableRef",
                    Value::Json(
                        r#"[{"EntityRef":{"value":"75","type":"Invoice"},"IncludeOnSend":false}]"#,
                    ),
                ),
            ],
        )
    },
    Entity {
        identity: Identity::Single,
        ..supporting(
            "CompanyInfo",
            1,
            &[
                field(
                    "CompanyName",
                    Value::Json(r#""Sandbox Company of Quito & Tucson""#),
                ),
                field("LegalName", Value::Json(r#""Sandbox Company""#)),
                field("CompanyAddr", Value::Address),
                field("CustomerCommunicationAddr", Value::Address),
                field("LegalAddr", Value::Address),
                field("PrimaryPhone", Value::Phone),
                field("CompanyStartDate", Value::Json(r#""2024-01-01""#)),
                field("FiscalYearStartMonth", Value::Json(r#""January""#)),
                field("Country", Value::Json(r#""US""#)),
                field("Email", Value::Email),
                field("WebAddr", Value::Json("{}")),
                field("SupportedLanguages", Value::Json(r#""en""#)),
                field("DefaultTimeZone", Value::Json(r#""America/Guayaquil""#)),
                field(
                    "NameValue",
                    Value::Json(
                        r#"[{"Name":"NeoEnabled","Value":"true"},{"Name":"IsQbdtMigrated","Value":"false"},{"Name":"SubscriptionStatus","Value":"PAID"},{"Name":"OfferingSku","Value":"QuickBooks Online Plus"}]"#,
                    ),
                ),
                HEAD,
            ],
        )
    },
    Entity {
        identity: Identity::Properties(&["AsOfDate", "SourceCurrencyCode", "TargetCurrencyCode"]),
        ..supporting(
            "ExchangeRate",
            120,
            &[
                field("SourceCurrencyCode", Value::RateSource),
                field("TargetCurrencyCode", Value::Json(r#""USD""#)),
                field("Rate", Value::Quantity),
                field("AsOfDate", Value::RateDate),
                field("", Value::HeadWithoutId),
            ],
        )
    },
    Entity {
        identity: Identity::Single,
        webhook: true,
        ..supporting(
            "Preferences",
            1,
            &[
                field(
                    "AccountingInfoPrefs",
                    Value::Json(
                        r#"{"UseAccountNumbers":false,"TrackDepartments":true,"ClassTrackingPerTxn":false,"FirstMonthOfFiscalYear":"January","TaxYearMonth":"January"}"#,
                    ),
                ),
                field(
                    "ProductAndServicesPrefs",
                    Value::Json(
                        r#"{"ForSales":true,"ForPurchase":true,"QuantityWithPriceAndRate":true,"QuantityOnHand":true}"#,
                    ),
                ),
                field(
                    "CurrencyPrefs",
                    Value::Json(r#"{"MultiCurrencyEnabled":true,"HomeCurrency":{"value":"USD"}}"#),
                ),
                field(
                    "OtherPrefs",
                    Value::Json(
                        r#"{"NameValue":[{"Name":"SalesFormsPrefs.DefaultTerms","Value":"3"}]}"#,
                    ),
                ),
                HEAD,
            ],
        )
    },
    Entity {
        webhook: true,
        ..supporting(
            "TaxAgency",
            3,
            &[
                field("DisplayName", Value::Word(Words::City)),
                field("TaxTrackedOnSales", Value::Json("true")),
                field("TaxTrackedOnPurchases", Value::Json("false")),
                HEAD,
            ],
        )
    },
];
