//! The view of companies, over all schemas of raw tables.

use super::cast::{literal, value_at};
use super::definition::{View, ViewColumn};
use crate::domain::ColumnType;
use crate::postgres::quote_identifier;

/// Schemas that have a raw table of these entities.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    /// With `qb_company_info`.
    pub company_info: Vec<String>,
    /// With `qb_preferences`.
    pub preferences: Vec<String>,
}

/// Returns the view.
pub(super) fn view(schemas: &Schemas) -> View {
    let info = |path: &[&str]| value_at("i.payload", path, ColumnType::Text);
    let preference = |path: &[&str]| value_at("p.payload", path, ColumnType::Text);
    let text =
        |name, comment, expression: String| ViewColumn::new(name, "text", comment, expression);
    let time = |name, comment, expression: &str| {
        ViewColumn::new(name, "timestamp with time zone", comment, expression)
    };
    let columns = vec![
        text(
            "realm_id",
            "Id of the company.",
            "coalesce(s.realm_id, a.realm_id)".to_owned(),
        ),
        text(
            "schema_name",
            "Schema of its raw tables; NULL if nothing was loaded.",
            "s.schema_name".to_owned(),
        ),
        text(
            "company_name",
            "CompanyInfo.CompanyName.",
            info(&["CompanyName"]),
        ),
        text("legal_name", "CompanyInfo.LegalName.", info(&["LegalName"])),
        text("country", "CompanyInfo.Country.", info(&["Country"])),
        text(
            "home_currency",
            "Preferences.CurrencyPrefs.HomeCurrency: code of the company's currency.",
            preference(&["CurrencyPrefs", "HomeCurrency", "value"]),
        ),
        ViewColumn::new(
            "multi_currency_enabled",
            "boolean",
            "Preferences.CurrencyPrefs.MultiCurrencyEnabled.",
            value_at(
                "p.payload",
                &["CurrencyPrefs", "MultiCurrencyEnabled"],
                ColumnType::Boolean,
            ),
        ),
        text(
            "fiscal_year_start_month",
            "CompanyInfo.FiscalYearStartMonth.",
            info(&["FiscalYearStartMonth"]),
        ),
        text(
            "default_time_zone",
            "CompanyInfo.DefaultTimeZone.",
            info(&["DefaultTimeZone"]),
        ),
        text(
            "connection_state",
            "active or needs_reauth; NULL if its tokens are not kept in this database.",
            "a.state".to_owned(),
        ),
        time(
            "connection_expires_at",
            "When the connection ends in any case.",
            "a.connection_expires_at_utc",
        ),
    ];
    let from = format!(
        "qbo.schema_realms AS s\nFULL JOIN qbo.accounts AS a ON a.realm_id = s.realm_id\n\
         LEFT JOIN {} AS i ON i.schema_name = s.schema_name\n\
         LEFT JOIN {} AS p ON p.schema_name = s.schema_name",
        payloads(&schemas.company_info, "qb_company_info"),
        payloads(&schemas.preferences, "qb_preferences"),
    );
    let comment = "Companies of this database: those whose schema held raw tables when the views were made, one row \
                   a schema, and those that are only connected.";
    View::new("companies".to_owned(), comment.to_owned(), columns, from)
}

/// Returns the payloads of a table in several schemas. There is one a schema.
fn payloads(schemas: &[String], table: &str) -> String {
    if schemas.is_empty() {
        return "(SELECT NULL::text AS schema_name, NULL::jsonb AS payload)".to_owned();
    }
    let select = |schema: &String| {
        format!(
            "(SELECT {}::text AS schema_name, t.payload FROM {}.{} AS t WHERE t.deleted_at_utc IS NULL \
             ORDER BY t.id LIMIT 1)",
            literal(schema),
            quote_identifier(schema),
            quote_identifier(table)
        )
    };
    let selects: Vec<String> = schemas.iter().map(select).collect();
    format!("(\n    {}\n)", selects.join("\n    UNION ALL\n    "))
}
