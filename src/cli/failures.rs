//! The failures of a report, for the last lines of a command: each window or entity with what its line says.

use super::hint::told;
use super::logging::{is_json, language};
use super::repeats::fault_of;
use super::words::number_in;
use crate::domain::{NOT_ATTEMPTED, Report, RunEnd, RunReport, Window, WindowReport, WindowStatus};
use crate::language::{Language, say};

/// The most entities that are named of those which were not tried.
const MAX_UNTRIED: usize = 5;

/// A company, an entity or a window that failed or differs.
pub(super) struct Failure {
    pub(super) realm_id: String,
    pub(super) entity: Option<String>,
    pub(super) window: Option<Window>,
    /// What the line says, in the language of the last lines.
    pub(super) reason: String,
    /// The reason as it was met, in English; `None` of what is no fault, as of a difference.
    pub(super) cause: Option<String>,
}

impl Failure {
    /// Returns true for a failure of the whole company, which is told in parts: what, why, and what helps.
    pub(super) fn is_of_company(&self) -> bool {
        self.entity.is_none() && self.window.is_none()
    }
}

/// Returns the failures of a report. What holds for the whole company is said once, not for each entity.
pub(super) fn failures_of_runs(report: &Report) -> Vec<Failure> {
    let (tried, untried) = report.told_and_untried();
    let mut failures: Vec<Failure> = tried.into_iter().flat_map(failures_of_run).collect();
    if let Some(first) = untried.first() {
        let above = failures.last().and_then(|failure| failure.cause.as_deref());
        failures.push(Failure {
            realm_id: first.realm_id.clone(),
            entity: None,
            window: None,
            reason: untried_entities(&untried, above, language()),
            cause: None,
        });
    }
    failures
}

/// Names the entities that were not tried, the first of them, and why, unless the line above says it.
pub(super) fn untried_entities(
    runs: &[&RunReport],
    above: Option<&str>,
    language: Language,
) -> String {
    let named = runs.iter().take(MAX_UNTRIED).map(|run| run.entity.as_str());
    let mut named: Vec<&str> = named.collect();
    if runs.len() > MAX_UNTRIED {
        named.push("...");
    }
    let (count, named) = (runs.len(), named.join(", "));
    let why = runs.first().and_then(|run| match &run.ended_by {
        Some(RunEnd::CompanyLost(reason, ..)) => Some(reason.as_str()),
        _ => None,
    });
    match why {
        Some(reason) if !above.is_some_and(|above| is_same(above, reason)) => {
            let reason = told(language, reason);
            say!(in language; count count; "{count} more entity was not tried ({named}): {reason}",
                "{count} more entities were not tried ({named}): {reason}", count, named, reason)
        }
        _ => {
            say!(in language; count count; "{count} more entity was not tried, for the same reason: {named}",
                "{count} more entities were not tried, for the same reason: {named}", count, named)
        }
    }
}

/// Returns true if two reasons are one fault.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    fault_of(one) == fault_of(other)
}

/// Returns windows that failed. Of those that met what ended the run, as windows do that are read side by side,
/// the first stands for all.
pub(super) fn without_repeats<'r>(
    run: &RunReport,
    failed: &[&'r WindowReport],
) -> Vec<&'r WindowReport> {
    let end = match &run.ended_by {
        Some(RunEnd::Failure(reason, _)) => Some(reason),
        _ => None,
    };
    let is_end = |window: &&WindowReport| end.is_some() && window.error.as_ref() == end;
    let first = failed.iter().position(is_end);
    let failed = failed.iter().enumerate();
    failed
        .filter(|(at, window)| !is_end(window) || Some(*at) == first)
        .map(|(_, window)| *window)
        .collect()
}

/// Returns the failed windows of a run. Those that were not attempted for the same reason are one, and of a
/// company that is refused none of them says more than the refusal.
fn failures_of_run(run: &RunReport) -> Vec<Failure> {
    if let Some(reason) = run.denial() {
        return vec![Failure {
            realm_id: run.realm_id.clone(),
            entity: None,
            window: None,
            reason: reason.to_owned(),
            cause: Some(reason.to_owned()),
        }];
    }
    let failed = run
        .windows
        .iter()
        .filter(|window| window.status == WindowStatus::Failed);
    let (not_attempted, failed): (Vec<&WindowReport>, Vec<_>) =
        failed.partition(|window| window.is_not_attempted());
    let failure = |window: Window, cause: &str, reason: String| Failure {
        realm_id: run.realm_id.clone(),
        entity: Some(run.entity.clone()),
        window: Some(window),
        reason,
        cause: Some(cause.to_owned()),
    };
    let mut failures: Vec<Failure> = Vec::new();
    for window in without_repeats(run, &failed) {
        let reason = reason_of(window);
        let above = failures.last().and_then(|above| above.cause.as_deref());
        let text = match above {
            // Each event is one of its own; who reads lines has read the line above.
            Some(above) if is_same(above, reason) && !is_json() => {
                say!("failed, for the same reason")
            }
            _ => failed_for(reason),
        };
        failures.push(failure(window.window(), reason, text));
    }
    if let (Some(first), Some(last)) = (not_attempted.first(), not_attempted.last()) {
        let range = Window {
            start: first.start,
            end: last.end,
        };
        let language = language();
        let count = not_attempted.len() as u64;
        let reason = not_attempted_for(first);
        let n = number_in(language, count);
        let above = failures.last().and_then(|above| above.cause.as_deref());
        let text = match above.is_some_and(|above| is_same(above, reason)) {
            true => say!(in language; count count; "{n} window not attempted, for the same reason",
                "{n} windows not attempted, for the same reason", n),
            false => {
                let reason = told(language, reason);
                say!(in language; count count; "{n} window not attempted: {reason}",
                    "{n} windows not attempted: {reason}", n, reason)
            }
        };
        failures.push(failure(range, reason, text));
    }
    failures
}

/// Returns the clause with the reason of a failure.
pub(super) fn failed_for(error: &str) -> String {
    let language = language();
    say!(in language; "failed: {reason}", reason = told(language, error))
}

/// Returns the reason why a window was not attempted.
pub(super) fn not_attempted_for(window: &WindowReport) -> &str {
    reason_of(window).trim_start_matches(NOT_ATTEMPTED)
}

fn reason_of(window: &WindowReport) -> &str {
    window.error.as_deref().unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FailureKind;
    use crate::error::Recovery;

    #[test]
    fn what_holds_for_the_whole_company_is_said_once() {
        use crate::domain::{RunEnd, RunReport};
        let end = RunEnd::of(&crate::error::Error::PermissionDenied {
            reason: "Application Authorization Failed".to_owned(),
            trace: crate::error::Trace::default(),
        });
        let day = Window::parse("2024-01-01", "2024-01-02").unwrap();
        let run = |entity: &str| {
            let windows = vec![WindowReport::not_attempted(day, "access denied: Application"); 3];
            RunReport::new(entity, "9", "run", windows, 0).ended_by(end.clone())
        };
        let report = Report {
            runs: ["items", "bills", "terms", "vendors"].map(run).into(),
            ..Report::default()
        };
        let failures = failures_of_runs(&report);
        let texts: Vec<&str> = failures.iter().map(|failure| &*failure.reason).collect();
        assert_eq!(
            texts,
            [
                "access denied: Application Authorization Failed",
                "3 more entities were not tried, for the same reason: bills, terms, vendors"
            ]
        );
    }

    #[test]
    fn windows_that_were_not_tried_do_not_repeat_the_reason() {
        let day = Window::parse("2024-01-01", "2024-01-02").unwrap();
        let denied = "access denied: Application Authorization Failed";
        let failed = WindowReport {
            error: Some(denied.to_owned()),
            ..WindowReport::empty(day, WindowStatus::Failed)
        };
        let untried = WindowReport::not_attempted(day, denied);
        let reasons = |windows| {
            let failures = failures_of_run(&RunReport::new("items", "9", "run", windows, 0));
            let reasons = failures.into_iter().map(|failure| failure.reason);
            reasons.collect::<Vec<String>>()
        };
        assert_eq!(
            reasons(vec![failed, untried.clone(), untried.clone()]),
            [
                format!("failed: {denied}"),
                "2 windows not attempted, for the same reason".to_owned()
            ]
        );
        let alone = format!("1 window not attempted: {denied}");
        assert_eq!(reasons(vec![untried]), [alone]);
    }

    fn failed(day: u32, reason: &str) -> WindowReport {
        let start = chrono::NaiveDate::from_ymd_opt(2024, 1, day).unwrap();
        let end = start.succ_opt().unwrap();
        let window = Window::parse(&start.to_string(), &end.to_string()).unwrap();
        WindowReport {
            error: Some(reason.to_owned()),
            ..WindowReport::empty(window, WindowStatus::Failed)
        }
    }

    fn texts(windows: Vec<WindowReport>) -> Vec<String> {
        let failures = failures_of_run(&RunReport::new("items", "9", "run", windows, 0));
        let reasons = failures.into_iter().map(|failure| failure.reason);
        reasons.collect()
    }

    #[test]
    fn the_same_reason_is_that_of_the_line_above() {
        let of_500 = |tid| format!("HTTP 500 (intuit_tid={tid}) (6 attempts in 9.4 s)");
        let [first, second, third, last] = ["a", "b", "c", "d"].map(of_500);
        assert_eq!(
            texts(vec![
                failed(1, &first),
                failed(2, &second),
                failed(3, "permission denied"),
                failed(4, &third),
                failed(5, "HTTP 500 (code 3100, intuit_tid=e)"),
                failed(6, "HTTP 500 (code 10000, intuit_tid=f)"),
                WindowReport::not_attempted(failed(7, "").window(), &last),
            ]),
            [
                format!("failed: {first}"),
                "failed, for the same reason".to_owned(),
                "failed: permission denied".to_owned(),
                format!("failed: {third}"),
                "failed: HTTP 500 (code 3100, intuit_tid=e)".to_owned(),
                "failed: HTTP 500 (code 10000, intuit_tid=f)".to_owned(),
                format!("1 window not attempted: {last}"),
            ]
        );
    }

    #[test]
    fn entities_that_were_not_tried_say_why_if_the_line_above_does_not() {
        let run = RunReport::new("bills", "9", "run", Vec::new(), 0);
        let lost = RunEnd::CompanyLost(
            "revoked".to_owned(),
            Recovery::Reauthorise,
            FailureKind::AccessDenied,
        );
        let run = run.ended_by(Some(lost));
        let text = |above| untried_entities(&[&run], above, Language::En);
        assert_eq!(
            text(Some("HTTP 500")),
            "1 more entity was not tried (bills): revoked"
        );
        assert_eq!(
            text(Some("revoked")),
            "1 more entity was not tried, for the same reason: bills"
        );
    }
}
