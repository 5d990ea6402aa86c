//! Probe of the trial balance.

use std::collections::BTreeMap;

use chrono::{Datelike, Months, NaiveDate};
use rust_decimal::Decimal;

use super::{ProbeResult, Prober};
use crate::domain::reports::{Basis, ReportAnswer, ReportRequest, RowKind, find_report};
use crate::error::Result;

/// Amounts by account id, without their signs.
type Amounts = BTreeMap<String, Decimal>;

const NAME: &str = "trial-balance-income";

impl Prober<'_> {
    /// Compares income and expenses of the last whole fiscal year with the trial balances at its end and before it.
    pub(super) async fn probe_reports(&self, found: &mut Vec<ProbeResult>) -> Result<()> {
        let income = self.trial_balance_income().await;
        found.push(Self::finding(NAME, income)?);
        Ok(())
    }

    async fn trial_balance_income(&self) -> Result<ProbeResult> {
        let company = self.query("SELECT * FROM CompanyInfo").await?;
        let month = company
            .rows()
            .first()
            .and_then(|company| company["FiscalYearStartMonth"].as_str())
            .and_then(|name| name.parse::<chrono::Month>().ok());
        let Some(month) = month else {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company does not say when its fiscal year begins",
            ));
        };
        let (first, last) = last_year(self.now.date_naive(), month.number_from_month());
        let before = first.pred_opt().unwrap_or(first);
        let year = self.report("ProfitAndLoss", (first, last)).await?;
        let year = sums(&year, |answer| answer.column("total").into_iter().collect());
        if year.values().all(Decimal::is_zero) {
            return Ok(ProbeResult::unknown(
                NAME,
                "the company had no income and no expenses in its last fiscal year",
            ));
        }
        let closing = self.balances(last).await?;
        let opening = self.balances(before).await?;
        Ok(match fits(&year, &opening, &closing) {
            (true, false) => ProbeResult::seen(NAME, "fiscal-year"),
            (false, true) => ProbeResult::seen(NAME, "inception"),
            (true, true) => ProbeResult::unknown(
                NAME,
                "no account has income or expenses of two fiscal years",
            ),
            (false, false) => ProbeResult::unknown(NAME, "the trial balance shows another time"),
        })
    }

    async fn report(&self, name: &str, days: (NaiveDate, NaiveDate)) -> Result<Vec<ReportAnswer>> {
        let request = ReportRequest::new(find_report(name)?, Basis::Accrual, days, &[], &[])?;
        let answers = self.source.report(&request, &self.meter).await?;
        let answers = answers.into_iter();
        Ok(answers.map(|landed| landed.parsed.answer).collect())
    }

    async fn balances(&self, day: NaiveDate) -> Result<Amounts> {
        let answers = self.report("TrialBalance", (day, day)).await?;
        Ok(sums(&answers, |answer| {
            let sides = ["debt_amt", "credit_amt"];
            sides.iter().filter_map(|key| answer.column(key)).collect()
        }))
    }
}

/// Returns the last fiscal year that has ended.
fn last_year(today: NaiveDate, month: u32) -> (NaiveDate, NaiveDate) {
    let year = today.year() - i32::from(today.month() < month);
    let begun = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(today);
    (begun - Months::new(12), begun.pred_opt().unwrap_or(begun))
}

/// Adds the amounts of accounts in some columns. Those of one trial balance have one side.
fn sums(answers: &[ReportAnswer], columns: impl Fn(&ReportAnswer) -> Vec<usize>) -> Amounts {
    let mut found = Amounts::new();
    for answer in answers {
        let columns = columns(answer);
        let rows = answer.rows.iter();
        for row in rows.filter(|row| row.kind != RowKind::Summary) {
            let Some(id) = row.cells.first().and_then(|label| label.id.clone()) else {
                continue;
            };
            let amounts = columns.iter().filter_map(|column| row.amount(*column));
            *found.entry(id).or_default() += amounts.sum::<Decimal>();
        }
    }
    found
}

/// Returns whether the accounts of a year show in the trial balance what was posted in the year, and whether they
/// show what was before it, too.
fn fits(year: &Amounts, opening: &Amounts, closing: &Amounts) -> (bool, bool) {
    let of =
        |amounts: &Amounts, account: &String| amounts.get(account).copied().unwrap_or_default();
    let moved = year.iter().filter(|(_, amount)| !amount.is_zero());
    let moved: Vec<_> = moved
        .map(|(account, amount)| (amount.abs(), of(opening, account), of(closing, account)))
        .collect();
    (
        moved
            .iter()
            .all(|(amount, _, closing)| closing.abs() == *amount),
        moved
            .iter()
            // The side of a balance may change, if more goes back than was sold.
            .all(|(amount, opening, closing)| {
                [closing - opening, closing + opening]
                    .iter()
                    .any(|moved| moved.abs() == *amount)
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(all: &[(&str, i64)]) -> Amounts {
        let all = all.iter();
        all.map(|(account, amount)| ((*account).to_owned(), Decimal::from(*amount)))
            .collect()
    }

    #[test]
    fn the_last_year_is_the_last_that_has_ended() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        for (today, month, first, last) in [
            ("2031-01-01", 1, "2030-01-01", "2030-12-31"),
            ("2031-06-30", 7, "2029-07-01", "2030-06-30"),
            ("2031-07-01", 7, "2030-07-01", "2031-06-30"),
        ] {
            assert_eq!(last_year(day(today), month), (day(first), day(last)));
        }
    }

    #[test]
    fn a_trial_balance_shows_a_year_or_all_time_or_does_not_tell() {
        let year = amounts(&[("10", 5), ("12", -2), ("13", 0)]);
        let before = amounts(&[("10", 7), ("12", 3)]);
        let all = amounts(&[("10", 12), ("12", 1)]);
        assert_eq!(
            fits(&year, &before, &amounts(&[("10", 5), ("12", 2)])),
            (true, false)
        );
        assert_eq!(fits(&year, &before, &all), (false, true));
        assert_eq!(
            fits(&year, &amounts(&[]), &amounts(&[("10", 5), ("12", 2)])),
            (true, true)
        );
        assert_eq!(
            fits(&year, &before, &amounts(&[("10", 99)])),
            (false, false)
        );
    }
}
