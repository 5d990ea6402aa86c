//! Commands for companies with double-entry books and for their reports.

use serde_json::json;

use super::arguments::Arguments;
use super::command::{CommandResult, company, company_state, done, parsed, to_json};
use crate::company::{Company, MAX_BOOKS, PLANTS};
use crate::state::State;

/// Puts a new company with books in the place of a company.
pub(super) fn new_books(state: &State, arguments: &Arguments) -> CommandResult {
    let count: u32 = arguments.number("count")?.unwrap_or(0);
    if !(1..=MAX_BOOKS).contains(&count) {
        return Err(format!("count is between 1 and {MAX_BOOKS}"));
    }
    let seed = arguments.number("seed")?.unwrap_or(1);
    let new = Company::generate_with_books(seed, count);
    new.take_place_of(&mut *company(state, arguments)?);
    done()
}

/// Plants errors of a kind. Answers what was planted.
pub(super) fn plant(state: &State, arguments: &Arguments) -> CommandResult {
    let (entity, id) = (arguments.text("entity"), arguments.text("id"));
    let kind = arguments.required("kind")?;
    let mut company = company(state, arguments)?;
    to_json(&company.plant(&kind, entity.as_deref(), id.as_deref())?)
}

/// Answers what was planted so far, the kinds of errors, and what records post otherwise than the books.
pub(super) fn planted(state: &State, arguments: &Arguments) -> CommandResult {
    let kinds = PLANTS
        .iter()
        .map(|plant| json!({"kind": plant.name, "what": plant.description}));
    let kinds: Vec<_> = kinds.collect();
    let state = company_state(state, arguments)?;
    let company = state.read();
    to_json(&json!({
        "planted": company.planted(),
        "kinds": kinds,
        "mispostings": company.mispostings(),
    }))
}

/// Lets reports lag behind the records, or not any more.
pub(super) fn lag(state: &State, arguments: &Arguments) -> CommandResult {
    let lags = parsed(arguments.json("lags").unwrap_or_default())?;
    company(state, arguments)?.set_lag(lags);
    done()
}

pub(super) fn cells(state: &State, arguments: &Arguments) -> CommandResult {
    let cells = arguments.number("cells")?.unwrap_or(0);
    company(state, arguments)?.set_max_report_cells(cells);
    done()
}
