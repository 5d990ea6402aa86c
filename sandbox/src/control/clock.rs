//! The command that moves the sandbox's clock.

use serde_json::json;

use super::arguments::Arguments;
use super::command::CommandResult;
use crate::clock;
use crate::state::State;

/// Moves the clock if the arguments say so. Answers the time that it shows.
pub(super) fn run(state: &State, arguments: &Arguments) -> CommandResult {
    let backwards = match arguments.text("backwards").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("backwards is true or false, not '{other}'")),
    };
    match (arguments.text("advance"), arguments.instant("set")?) {
        (Some(_), Some(_)) => return Err("give advance or set, not both".to_owned()),
        (Some(by), None) if backwards || by.trim_start().starts_with('-') => {
            return Err(
                "advance only moves forward; set with backwards=true moves the clock back"
                    .to_owned(),
            );
        }
        (Some(by), None) => state.clock.advance(clock::parse_duration(&by)?)?,
        (None, Some(to)) => state.clock.set(to, backwards)?,
        (None, None) if backwards => {
            return Err("backwards needs set, the instant to move back to".to_owned());
        }
        (None, None) => {}
    }
    let offset_s = state.clock.offset_ms() / 1000;
    let now = clock::format(state.clock.now());
    Ok(json!({"now": now, "offset_s": offset_s}).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::{Sandbox, SandboxOptions};

    fn sandbox() -> Sandbox {
        Sandbox::start(SandboxOptions {
            now: Some("2026-03-01T08:00:00Z".parse().unwrap()),
            size: crate::CompanySize {
                customers: 5,
                items: 5,
                invoices: 5,
                others: Some(1),
            },
            ..SandboxOptions::default()
        })
        .unwrap()
    }

    fn shown(sandbox: &Sandbox, arguments: &str) -> String {
        let answer: Value =
            serde_json::from_str(&sandbox.control("clock", arguments).unwrap()).unwrap();
        answer["now"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_clock_advances_by_durations_and_is_set_to_instants() {
        let sandbox = sandbox();
        assert!(shown(&sandbox, "{}").starts_with("2026-03-01T08:0"));
        assert!(shown(&sandbox, r#"{"advance": "31d"}"#).starts_with("2026-04-01T08:0"));
        assert!(shown(&sandbox, r#"{"advance": "1h30m"}"#).starts_with("2026-04-01T09:3"));
        assert!(shown(&sandbox, r#"{"set": "2026-05-01"}"#).starts_with("2026-05-01T00:0"));
        let back = r#"{"set": "2026-01-01T00:00:00-08:00", "backwards": true}"#;
        assert!(shown(&sandbox, back).starts_with("2026-01-01T08:0"));
    }

    #[test]
    fn what_would_move_it_back_or_is_not_understood_changes_nothing() {
        let sandbox = sandbox();
        for (arguments, words) in [
            (
                r#"{"set": "2026-02-28T00:00:00Z"}"#,
                "lies before 2026-03-01T08:0",
            ),
            (r#"{"advance": "-1d"}"#, "advance only moves forward"),
            (
                r#"{"advance": "1d", "backwards": true}"#,
                "advance only moves forward",
            ),
            (r#"{"advance": "soon"}"#, "not a duration"),
            (r#"{"advance": 31}"#, "not a duration"),
            (r#"{"set": "soon"}"#, "set is not an instant: 'soon'"),
            (
                r#"{"advance": "1d", "set": "2027-01-01"}"#,
                "advance or set, not both",
            ),
            (r#"{"backwards": true}"#, "backwards needs set"),
            (
                r#"{"set": "2027-01-01", "backwards": "x"}"#,
                "backwards is true or false",
            ),
            (r#"{"advance": "100000d"}"#, "the years 2000 to 2199"),
        ] {
            let refusal = sandbox.control("clock", arguments).unwrap_err().to_string();
            assert!(refusal.contains(words), "{arguments}: {refusal}");
            assert!(shown(&sandbox, "{}").starts_with("2026-03-01T08:0"));
        }
    }
}
