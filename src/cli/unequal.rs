//! The last lines on stderr of a comparison that has found a difference.

use super::failures::Failure;
use super::hint::told;
use super::logging::language;
use super::shortfall::{MAX_NAMED, Shortfall};
use super::words::number_in;
use crate::app::SetAside;
use crate::domain::{
    KnownReject, Verification, VerificationReport, VerificationStatus, Window, WindowDifference,
};
use crate::language::say;

/// Explains the exit code of a comparison, which may have repaired differences already.
pub(super) fn explain(report: &VerificationReport, was_repaired: bool) {
    let set_aside = report.runs.iter().flat_map(|run| {
        let of_run = |reject: &KnownReject| SetAside {
            realm_id: run.realm_id.clone(),
            entity: run.entity.clone(),
            window: Window {
                start: reject.changed_at,
                end: reject.changed_at,
            },
            id: reject.id.clone(),
            error: reject.error.clone(),
            intuit_tid: reject.intuit_tid.clone(),
        };
        run.rejects.iter().map(of_run).collect::<Vec<_>>()
    });
    let shortfall = Shortfall {
        phase: "load",
        failures: report.runs.iter().flat_map(differences).collect(),
        set_aside: set_aside.take(MAX_NAMED).collect(),
        rejected: report.runs.iter().map(|run| run.rejects.len() as u64).sum(),
        rest: rest_of_verification(report, was_repaired),
    };
    shortfall.print();
}

fn rest_of_verification(report: &VerificationReport, was_repaired: bool) -> String {
    let mut rest = Vec::new();
    let mut different = report.runs.iter().flat_map(|run| &run.different);
    let is_unread = different
        .clone()
        .any(|window| window.repair_error.is_some());
    if is_unread {
        rest.push("the same command reads these windows again, once the cause is mended");
    }
    if different.any(|window| window.repair_error.is_none()) {
        rest.push(match was_repaired {
            true if is_unread => "the others differ although they were read again",
            true => "these windows differ although they were read again",
            false => "the same command with --repair reads the windows that differ again",
        });
    }
    rest.push("with --json it prints all differences");
    if report.runs.iter().any(|run| !run.rejects.is_empty()) {
        rest.push("`qbo-rs rejects` lists all records that are set aside");
    }
    rest.join("; ")
}

fn differences(run: &Verification) -> Vec<Failure> {
    let difference = |found: &WindowDifference| {
        let differs = say!(in language();
            "differs: {source} in QuickBooks, {table} in the table; {missing} missing, {stale} stale, {extra} extra",
            source = number_in(language(), found.source),
            table = number_in(language(), found.table),
            missing = found.missing.len(),
            stale = found.stale.len(),
            extra = found.extra.len()
        );
        let again = found.repair_error.as_deref().map(|error| {
            let reason = told(language(), error);
            say!(in language(); "reading it again failed: {reason}", reason)
        });
        Failure {
            realm_id: run.realm_id.clone(),
            entity: Some(run.entity.clone()),
            window: Some(found.window()),
            reason: [Some(differs), again]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; "),
            cause: found.repair_error.clone(),
        }
    };
    let whole = |reason| Failure {
        realm_id: run.realm_id.clone(),
        entity: Some(run.entity.clone()),
        window: None,
        reason,
        cause: None,
    };
    let (source, table) = (run.source, run.table + run.archived);
    match (&run.unavailable, run.status == VerificationStatus::Ok) {
        (Some(reason), false) => vec![whole(say!(in language();
            count table; "differs: {table} record in the table cannot be compared: {reason}",
            "differs: {table} records in the table cannot be compared: {reason}",
            reason = told(language(), reason), table
        ))],
        (None, false) if run.different.is_empty() && source != table => {
            vec![whole(say!(in language();
                "differs: {source} in QuickBooks, {table} in the table, in no window that was compared; compare again",
                source,
                table
            ))]
        }
        _ => run.different.iter().map(difference).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: u64, table: u64, unavailable: Option<&str>) -> Verification {
        Verification {
            entity: "classes".to_owned(),
            realm_id: "9".to_owned(),
            status: match source == table {
                true => VerificationStatus::Ok,
                false => VerificationStatus::Different,
            },
            windows: 1,
            source,
            table,
            different: Vec::new(),
            rejects: Vec::new(),
            repaired: 0,
            archived: 0,
            renamed_references: 0,
            changed_later: 0,
            read_until: None,
            requests: 1,
            unavailable: unavailable.map(str::to_owned),
        }
    }

    #[test]
    fn each_comparison_that_fails_has_a_line_with_its_reason() {
        for (run, words) in [
            (
                run(0, 7, Some("Feature Not Supported")),
                ["7 records", "Feature Not"],
            ),
            (run(3, 2, None), ["3 in QuickBooks", "2 in the table"]),
        ] {
            let failures = differences(&run);
            assert_eq!(failures.len(), 1);
            for word in words {
                assert!(failures[0].reason.contains(word), "{}", failures[0].reason);
            }
            let report = VerificationReport { runs: vec![run] };
            let text = crate::cli::output::verification(&report);
            assert!(!text.contains("no difference"), "{text}");
        }
        assert!(differences(&run(0, 0, Some("Feature Not Supported"))).is_empty());
        assert!(differences(&run(4, 4, None)).is_empty());
    }
}
