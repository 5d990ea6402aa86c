//! Tax classifications, which have no queries (qbo-facts 13.6): all, one by its id, those of a level,
//! or those below another.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::answer::ServiceFault;
use crate::assumption::{Assumptions, Topic};
use crate::company::Company;
use crate::pacific;

/// A classification: id, level, id of the parent, name.
type Classification = (&'static str, &'static str, &'static str, &'static str);

const CLASSIFICATIONS: [Classification; 5] = [
    ("1", "1", "", "Goods"),
    ("2", "1", "", "Services"),
    ("11", "2", "1", "Food & drink"),
    ("12", "2", "1", "Books"),
    ("21", "2", "2", "Consulting"),
];

/// Returns the classifications of a company.
pub(super) fn classifications(company: &Company) -> Vec<Classification> {
    let all = CLASSIFICATIONS.into_iter();
    all.filter(|(id, ..)| !company.is_withdrawn(id)).collect()
}

/// Returns the body of an answer.
///
/// # Errors
/// A fault if there is no classification with the id.
pub(super) fn answer(
    classifications: &[Classification],
    (id, of_children): (Option<&str>, bool),
    parameters: &HashMap<String, String>,
    assumptions: &Assumptions,
    time: DateTime<Utc>,
) -> Result<String, ServiceFault> {
    let time = pacific::format_millis(time);
    let all = classifications.iter();
    let list = match id {
        Some(id) if !all.clone().any(|(known, ..)| *known == id) => {
            return Err(ServiceFault::not_found());
        }
        Some(id) if of_children => all
            .filter(|(_, _, parent, _)| *parent == id)
            .map(record)
            .collect(),
        Some(id) => {
            let found = all.filter(|(known, ..)| *known == id).map(record).next();
            return Ok(json!({"TaxClassification": found, "time": time}).to_string());
        }
        None => {
            let wanted = parameters.get("level");
            all.filter(|(_, level, ..)| wanted.is_none_or(|wanted| wanted == level))
                .map(record)
                .collect::<Vec<_>>()
        }
    };
    let list = json!({"TaxClassification": list});
    let body = match assumptions.is_harder(Topic::ClassificationList) {
        true => json!({"TaxClassification": list["TaxClassification"], "time": time}),
        false => json!({"QueryResponse": list, "time": time}),
    };
    Ok(body.to_string())
}

/// Returns a classification. As documented, it has neither `MetaData` nor `SyncToken`.
fn record((id, level, parent, name): &Classification) -> Value {
    let mut record = json!({
        "Id": id,
        "Code": format!("TC{id}"),
        "Name": name,
        "Description": format!("{name}, as the tax authority names it"),
        "Level": level,
        "ApplicableTo": ["Inventory", "NonInventory", "Service"],
    });
    if !parent.is_empty() {
        record["ParentRef"] = json!({"value": parent});
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(id: Option<&str>, of_children: bool, level: Option<&str>, list: &str) -> Vec<String> {
        let parameters = level.map(|level| ("level".to_owned(), level.to_owned()));
        let mut assumptions = Assumptions::default();
        assumptions.set("classification-list", list).unwrap();
        let parameters = parameters.into_iter().collect();
        let body = answer(
            &CLASSIFICATIONS,
            (id, of_children),
            &parameters,
            &assumptions,
            Utc::now(),
        )
        .unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        let found = match list {
            "plain" => &body["TaxClassification"],
            _ => &body["QueryResponse"]["TaxClassification"],
        };
        let found = found.as_array().unwrap().iter();
        found
            .map(|record| record["Id"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn tax_classifications_are_read_all_by_level_by_parent_and_by_id() {
        assert_eq!(ids(None, false, None, "plain").len(), 5);
        assert_eq!(ids(None, false, Some("1"), "response"), ["1", "2"]);
        assert_eq!(ids(Some("1"), true, None, "plain"), ["11", "12"]);
        let assumptions = Assumptions::default();
        let one = |id| {
            answer(
                &CLASSIFICATIONS,
                (Some(id), false),
                &HashMap::new(),
                &assumptions,
                Utc::now(),
            )
        };
        assert!(one("12").unwrap().contains("Books"));
        assert_eq!(one("99").unwrap_err().code, "610");
    }
}
