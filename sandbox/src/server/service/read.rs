//! Single records: by id, the only record of an entity, or an exchange rate by its key.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::answer::ServiceFault;
use crate::company::{Company, View};
use crate::entities::{self, Identity};
use crate::pacific;

/// Returns the body of an answer.
///
/// # Errors
/// A fault if there is no such path, id or record.
pub(super) fn answer(
    company: &Company,
    path: &str,
    id: Option<&str>,
    parameters: &HashMap<String, String>,
    view: View,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let entity = entities::find(path).ok_or_else(|| ServiceFault::no_such_path(path))?;
    if let Some(refusal) = company.refusal(entity.name) {
        return Err(ServiceFault::unavailable(refusal, entity.name));
    }
    let id = match (entity.identity, id) {
        // Clients request company info with the realm id.
        (Identity::Single, _) => "1".to_owned(),
        (Identity::Properties(_), None) => rate_id(parameters, time)?,
        (Identity::Id | Identity::Wrapped, Some(id)) if id.parse::<u64>().is_ok() => id.to_owned(),
        (_, Some(id)) => return Err(ServiceFault::bad_id(id)),
        (_, None) => return Err(ServiceFault::no_such_path(path)),
    };
    let row = company
        .collection(entity.name)
        .and_then(|collection| collection.get(&id));
    let row = row.ok_or_else(ServiceFault::not_found)?;
    match company.poison(entity.name, &id) {
        Some(poison) => Err(ServiceFault::poisoned(poison)),
        None => {
            let (key, time) = (entity.answer_key, pacific::format_millis(time));
            let mut body = format!(r#"{{"{key}":"#);
            company.write_row(entity, &row, view, &mut body);
            body.push_str(&format!(r#","time":"{time}"}}"#));
            Ok(body)
        }
    }
}

/// Returns the id of an exchange rate from the parameters `sourcecurrencycode` and `asofdate`,
/// which is today by default.
fn rate_id(
    parameters: &HashMap<String, String>,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let source = parameters
        .get("sourcecurrencycode")
        .filter(|code| !code.is_empty());
    let source = source
        .ok_or_else(|| ServiceFault::bad_request("The parameter sourcecurrencycode is required"))?;
    let date = parameters
        .get("asofdate")
        .cloned()
        .unwrap_or_else(|| pacific::date(time.timestamp()));
    Ok(format!("{date}:{source}:USD"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::company::CompanySize;

    fn ask(
        path: &str,
        id: Option<&str>,
        parameters: &[(&str, &str)],
    ) -> Result<serde_json::Value, &'static str> {
        let company = Company::generate(
            5,
            CompanySize {
                customers: 20,
                items: 20,
                invoices: 20,
                others: None,
            },
        );
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let body = answer(&company, path, id, &parameters, View::default(), Utc::now())
            .map_err(|fault| fault.code)?;
        Ok(serde_json::from_str(&body).unwrap())
    }

    #[test]
    fn records_singletons_and_rates_are_found() {
        assert_eq!(
            ask("customer", Some("10"), &[]).unwrap()["Customer"]["Active"],
            false
        );
        assert_eq!(
            ask("companyinfo", Some("9341450000000001"), &[]).unwrap()["CompanyInfo"]["Id"],
            "1"
        );
        assert_eq!(
            ask("preferences", None, &[]).unwrap()["Preferences"]["Id"],
            "1"
        );
        let key = [("sourcecurrencycode", "EUR"), ("asofdate", "2024-01-03")];
        assert_eq!(
            ask("exchangerate", None, &key).unwrap()["ExchangeRate"]["AsOfDate"],
            "2024-01-03"
        );
        assert_eq!(
            ask("creditcardpayment", Some("2"), &[]).unwrap()["CreditCardPaymentTxn"]["Id"],
            "2"
        );
    }

    #[test]
    fn what_is_not_there_has_the_recorded_faults() {
        assert_eq!(ask("customer", Some("1.5"), &[]), Err("2030"));
        assert_eq!(ask("customer", Some("21"), &[]), Err("610"));
        assert_eq!(ask("nonsense", Some("1"), &[]), Err("500"));
        assert_eq!(ask("invoice", None, &[]), Err("500"));
    }
}
