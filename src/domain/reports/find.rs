//! The report that a name means.

use super::registry::{REPORTS, ReportSpec};
use crate::domain::excerpt::{MAX_SHOWN, excerpt};
use crate::domain::guess::closest;
use crate::error::{Error, Result};

/// Returns the letters and digits of a name in lower case.
fn folded(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Finds a report by its route, by the name under which Intuit documents it, or by `snake_case` of
/// either.
///
/// # Errors
/// [`Error::Config`] with the nearest name.
pub(crate) fn find_report(name: &str) -> Result<&'static ReportSpec> {
    let asked = folded(name);
    let names = |spec: &ReportSpec| [folded(spec.route), folded(spec.documented)];
    if let Some(found) = REPORTS.iter().find(|spec| names(spec).contains(&asked)) {
        return Ok(found);
    }
    let known = REPORTS
        .iter()
        .flat_map(|spec| [spec.route, spec.documented]);
    let shown = excerpt(name, MAX_SHOWN);
    let count = REPORTS.len();
    let is_meant =
        |spec: &&ReportSpec, meant: &str| spec.route == meant || spec.documented == meant;
    let meant = closest(name, known);
    let meant = meant.and_then(|meant| REPORTS.iter().find(|spec| is_meant(spec, meant)));
    let reason = match meant {
        Some(ReportSpec { route, .. }) => format!(
            "unknown report '{shown}'; did you mean '{route}'? (all {count}: qbo-rs reports --list)"
        ),
        None => {
            format!("unknown report '{shown}'; all {count} are listed by: qbo-rs reports --list")
        }
    };
    Err(Error::config("report", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_several_names() {
        for (name, route) in [
            ("TrialBalance", "TrialBalance"),
            ("trial_balance", "TrialBalance"),
            ("trial-balance-fr", "TrialBalanceFR"),
            ("APAgingSummary", "AgedPayables"),
            ("ap_aging_summary", "AgedPayables"),
            ("sales_by_product", "ItemSales"),
            ("profit and loss", "ProfitAndLoss"),
        ] {
            assert_eq!(find_report(name).unwrap().route, route, "{name}");
        }
        for spec in REPORTS {
            assert_eq!(find_report(&spec.name()).unwrap(), spec);
        }
        for (name, nearest) in [
            ("TrailBalance", "TrialBalance"),
            ("profit_and_los", "ProfitAndLoss"),
            ("ap_ageing_summary", "AgedPayables"),
        ] {
            let error = find_report(name).unwrap_err().to_string();
            assert!(
                error.contains(&format!("did you mean '{nearest}'?")),
                "{error}"
            );
            assert!(error.contains(name), "{error}");
        }
        assert!(find_report("").is_err());
    }
}
