//! Variables for `dbt_project.yml`, with which the package fits the tables that are there.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::GenericClient;

use super::{DEFAULT_INTO, is_there, table};
use crate::domain::{ENTITIES, EntitySpec};
use crate::error::Result;
use crate::postgres::{Columns, Query, params, table_name};

/// Parts of the package that are left off although their tables are there, because they post
/// amounts twice or with the wrong sign (docs/fivetran.md).
const LEFT_OFF: [&str; 2] = ["using_invoice_bundle", "using_journal_entry_tax_line"];

/// Variables of dbt, and what the package cannot do with this company's accounts.
#[derive(Debug, Default)]
pub(in crate::views) struct Advice {
    pub variables: BTreeMap<String, Value>,
    pub warnings: Vec<String>,
}

/// Returns the variables for the views in `into` over the raw tables of `schema`.
pub(in crate::views) async fn advice(
    client: &(impl GenericClient + Sync),
    schema: &str,
    into: &str,
    entities: &[&EntitySpec],
) -> Result<Advice> {
    let mut advice = Advice::default();
    let mut set = |name: &str, value: Value| {
        advice.variables.insert(name.to_owned(), value);
    };
    if into != DEFAULT_INTO {
        set("quickbooks_schema", into.into());
    }
    let mut has_tax_lines = false;
    let mut required = Vec::new();
    for table in table::tables()? {
        let there = is_there(table, entities);
        let Some(variable) = table.variable else {
            if !there {
                required.push(table.name);
            }
            continue;
        };
        let on = there && !LEFT_OFF.contains(&variable);
        has_tax_lines |= on && variable.ends_with("_tax_line");
        set(variable, on.into());
    }
    // Without a table of rates, the package cannot use that of agencies.
    if !table_is_there(entities, "TaxRate") {
        set("using_tax_agency", false.into());
    }
    set("quickbooks__tax_lines_enabled", has_tax_lines.into());
    if !required.is_empty() {
        advice.warnings.push(format!(
            "the package needs {}; load those records too",
            required.join(", ")
        ));
    }
    if table_is_there(entities, "Preferences") {
        home_currency(client, schema, &mut advice).await?;
    }
    if table_is_there(entities, "Account") {
        accounts(client, schema, &mut advice).await?;
    }
    Ok(advice)
}

fn table_is_there(entities: &[&EntitySpec], name: &str) -> bool {
    entities.iter().any(|entity| entity.qbo_name == name)
}

/// Returns the quoted name of the raw table of an entity.
fn raw_table(schema: &str, name: &str) -> Option<String> {
    let entity = ENTITIES.iter().find(|entity| entity.qbo_name == name)?;
    Some(table_name(schema, entity))
}

async fn home_currency(
    client: &(impl GenericClient + Sync),
    schema: &str,
    advice: &mut Advice,
) -> Result<()> {
    let Some(table) = raw_table(schema, "Preferences") else {
        return Ok(());
    };
    let find = format!(
        "SELECT payload #>> '{{CurrencyPrefs,HomeCurrency,value}}' AS currency FROM {table} \
         WHERE deleted_at_utc IS NULL ORDER BY id LIMIT 1"
    );
    for row in client.rows(&find, params![]).await? {
        let currency: Option<String> = row.column("currency")?;
        if let Some(currency) = currency.filter(|currency| !currency.is_empty()) {
            let name = "quickbooks__home_currency".to_owned();
            advice.variables.insert(name, currency.into());
        }
    }
    Ok(())
}

/// Accounts that the package joins transactions with by their type, per currency.
const JOINED_ACCOUNTS: &str = "
SELECT kind, currency, count(*) AS accounts FROM (
    SELECT CASE WHEN payload ->> 'AccountType' IN ('Accounts Receivable', 'Accounts Payable')
            THEN payload ->> 'AccountType'
            ELSE payload ->> 'AccountSubType' END AS kind,
        CASE WHEN payload ->> 'AccountType' IN ('Accounts Receivable', 'Accounts Payable')
            THEN coalesce(payload #>> '{CurrencyRef,value}', '') ELSE '' END AS currency
    FROM {table}
    WHERE deleted_at_utc IS NULL AND lower(payload ->> 'Active') = 'true'
        AND lower(payload ->> 'SubAccount') = 'false'
) AS a
WHERE kind IN ('Accounts Receivable', 'Accounts Payable', 'UndepositedFunds', 'ExchangeGainOrLoss')
GROUP BY 1, 2 ORDER BY 1, 2";

async fn accounts(
    client: &(impl GenericClient + Sync),
    schema: &str,
    advice: &mut Advice,
) -> Result<()> {
    let Some(table) = raw_table(schema, "Account") else {
        return Ok(());
    };
    let find = JOINED_ACCOUNTS.replace("{table}", &table);
    let mut gain_accounts = 0;
    for row in client.rows(&find, params![]).await? {
        let kind: String = row.column("kind")?;
        let currency: String = row.column("currency")?;
        let accounts: i64 = row.column("accounts")?;
        if kind == "ExchangeGainOrLoss" {
            gain_accounts = accounts;
        }
        if accounts > 1 {
            let of = match currency.as_str() {
                "" => String::new(),
                currency => format!(" in {currency}"),
            };
            advice.warnings.push(format!(
                "{accounts} active accounts are {kind}{of}; the package posts to each of them, so its totals are too high"
            ));
        }
    }
    let name = "quickbooks__exchange_gain_loss_enabled".to_owned();
    let value = gain_accounts == 1 && advice.variables.contains_key("quickbooks__home_currency");
    advice.variables.insert(name, value.into());
    Ok(())
}
