//! The parts of commands that look at the books or change them.

use rand::RngExt as _;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::command::{CommandResult, company, company_state, to_json};
use crate::company::{ChangeError, Company};
use crate::entities;
use crate::state::State;

/// Returns the second of a change: the argument `at`, or the present of the sandbox's clock.
fn at(state: &State, arguments: &Arguments) -> Result<i64, String> {
    Ok(arguments
        .second("at")?
        .unwrap_or_else(|| state.clock.second()))
}

/// Makes a change of an entity's records. Answers the ids that the change returns.
pub(super) fn change(
    state: &State,
    arguments: &Arguments,
    change: impl FnOnce(&mut Company, &str, i64) -> Result<Value, ChangeError>,
) -> CommandResult {
    let (entity, at) = (arguments.required("entity")?, at(state, arguments)?);
    let mut company = company(state, arguments)?;
    let outcome = change(&mut company, &entity, at).map_err(|error| error.to_string())?;
    to_json(&if outcome.is_null() {
        json!({})
    } else {
        json!({"ids": outcome})
    })
}

/// Makes a change of one record, which is named by its id or as `oldest`, `newest` or `random`.
/// Answers its id.
pub(super) fn change_one(
    state: &State,
    arguments: &Arguments,
    change: impl FnOnce(&mut Company, &str, &str, i64) -> Result<(), ChangeError>,
) -> CommandResult {
    let (entity, id, at) = (
        arguments.required("entity")?,
        arguments.required("id")?,
        at(state, arguments)?,
    );
    let mut company = company(state, arguments)?;
    let id = pick(&company, &entity, &id).unwrap_or(id);
    change(&mut company, &entity, &id, at).map_err(|error| error.to_string())?;
    to_json(&json!({"id": id}))
}

/// Returns the id of the oldest, the newest or a random record. Returns `None` if `which` is none
/// of these words, or there are no records.
fn pick(company: &Company, entity: &str, which: &str) -> Option<String> {
    let collection = company.collection(entities::find(entity)?.name)?;
    let row = match which {
        "oldest" => collection.rows().next(),
        "newest" => collection.rows().last(),
        "random" if collection.len() > 0 => collection
            .rows()
            .nth(rand::rng().random_range(0..collection.len())),
        _ => None,
    };
    row.map(|row| row.id().into_owned())
}

pub(super) fn entity_counts(state: &State, arguments: &Arguments) -> CommandResult {
    let counts = company_state(state, arguments)?.read().counts();
    let counts = entities::all().map(|entity| {
        let count = counts
            .iter()
            .find(|(name, _)| *name == entity.name)
            .map_or(0, |(_, count)| *count);
        json!({"entity": entity.name, "records": count})
    });
    to_json(&counts.collect::<Value>())
}

/// Answers the records that a correct extract must hold. Payloads are the exact text that queries
/// answer.
pub(super) fn truth(state: &State, arguments: &Arguments) -> CommandResult {
    let name = arguments.required("entity")?;
    let entity = entities::find(&name).ok_or_else(|| ChangeError::Entity(name).to_string())?;
    let (from, until) = (
        arguments.second("start")?.unwrap_or(i64::MIN),
        arguments.second("end")?.unwrap_or(i64::MAX),
    );
    let truth = company_state(state, arguments)?
        .read()
        .truth(entity.name, from, until);
    let mut out = format!(
        r#"{{"entity":"{}","count":{},"records":["#,
        entity.name,
        truth.len()
    );
    for (position, (id, payload)) in truth.iter().enumerate() {
        out.push_str(if position > 0 { "," } else { "" });
        out.push_str(&format!(
            r#"{{"id":{},"payload":{payload}}}"#,
            Value::from(id.as_str())
        ));
    }
    out.push_str(&format!(r#"],"at":"{}"}}"#, state.clock.now().to_rfc3339()));
    Ok(out)
}
