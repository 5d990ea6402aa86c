//! Commands for the parts of QuickBooks that a company cannot use.

use super::arguments::Arguments;
use super::command::{CommandResult, company, done};
use crate::company::{Closure, Refusal};
use crate::state::State;

/// Takes an entity away from the company, or gives it back.
pub(super) fn refuse(
    state: &State,
    arguments: &Arguments,
    refusal: Option<Refusal>,
) -> CommandResult {
    let entity = arguments.required("entity")?;
    let mut company = company(state, arguments)?;
    let outcome = company.set_refusal(&entity, refusal);
    outcome.map_err(|error| error.to_string())?;
    done()
}

/// Closes the company.
pub(super) fn close(state: &State, arguments: &Arguments) -> CommandResult {
    let known = Closure::of_code(&arguments.required("code")?);
    let status: Option<u16> = arguments.number("status")?;
    if status.is_some_and(|status| !(200..600).contains(&status)) {
        return Err("status must be between 200 and 599".to_owned());
    }
    company(state, arguments)?.set_closure(Some(Closure {
        status: status.unwrap_or(known.status),
        message: arguments.text("message").unwrap_or(known.message),
        detail: arguments.text("detail").unwrap_or(known.detail),
        code: known.code,
    }));
    done()
}
