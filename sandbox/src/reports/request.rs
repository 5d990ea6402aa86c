//! The parameters of a report: its period, basis and columns.

use std::collections::HashMap;

use chrono::{Datelike as _, Days, Months, NaiveDate};

use crate::books::Ledger;

/// The reason why a report is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such report.
    Report(String),
    /// A parameter is not one that the report takes.
    Parameter(String),
}

pub(super) type Outcome<T> = Result<T, Refusal>;

/// The days of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: NaiveDate,
    pub(super) end: NaiveDate,
    /// The words of the macro that gave the days.
    pub(super) macro_words: Option<String>,
}

/// A request for a report of a company.
pub(crate) struct Request<'r> {
    pub(crate) ledger: &'r Ledger,
    pub(crate) parameters: &'r HashMap<String, String>,
    pub(crate) today: NaiveDate,
    /// The time of the answer.
    pub(crate) time: String,
    pub(crate) max_cells: usize,
    /// Income and expenses of a trial balance begin with the fiscal year.
    pub(crate) resets_by_year: bool,
}

impl Request<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let text = self.parameters.get(name).map(|text| text.trim());
        text.filter(|text| !text.is_empty())
    }

    pub(super) fn date(&self, name: &str) -> Outcome<Option<NaiveDate>> {
        let parse = |text: &str| {
            let date = text.parse().ok();
            date.ok_or_else(|| Refusal::Parameter(format!("{name} is not a date: {text}")))
        };
        self.text(name).map(parse).transpose()
    }

    pub(super) fn number(&self, name: &str, default: i64) -> Outcome<i64> {
        let parse = |text: &str| {
            let number = text
                .parse()
                .ok()
                .filter(|number| (1..1000).contains(number));
            number.ok_or_else(|| Refusal::Parameter(format!("{name} is not a number: {text}")))
        };
        self.text(name).map_or(Ok(default), parse)
    }

    /// Returns the ids of a filter, or `None` for one that was not sent.
    pub(super) fn ids(&self, name: &str) -> Option<Vec<&str>> {
        self.text(name)
            .map(|text| text.split(',').map(str::trim).collect())
    }

    pub(super) fn is_cash(&self) -> Outcome<bool> {
        match self.text("accounting_method") {
            None => Ok(false),
            Some(method) if method.eq_ignore_ascii_case("accrual") => Ok(false),
            Some(method) if method.eq_ignore_ascii_case("cash") => Ok(true),
            Some(method) => Err(Refusal::Parameter(format!(
                "accounting_method is Cash or Accrual, not {method}"
            ))),
        }
    }

    /// Returns the days of a report. If one of the two dates is missing, a macro gives them
    /// (facts/reports.md H).
    pub(super) fn period(&self, default: &str) -> Outcome<Period> {
        let dates = (self.date("start_date")?, self.date("end_date")?);
        if let (Some(start), Some(end)) = dates {
            if start > end {
                let reason = format!("start_date {start} is after end_date {end}");
                return Err(Refusal::Parameter(reason));
            }
            let macro_words = None;
            return Ok(Period {
                start,
                end,
                macro_words,
            });
        }
        let words = self
            .text("date_macro")
            .unwrap_or(default)
            .to_ascii_lowercase();
        let (start, end) = self
            .days_of(&words)
            .ok_or_else(|| Refusal::Parameter(format!("date_macro {words} is not supported")))?;
        Ok(Period {
            start,
            end,
            macro_words: Some(words),
        })
    }

    /// Returns the day of an ageing report.
    pub(super) fn report_date(&self) -> Outcome<NaiveDate> {
        Ok(self.date("report_date")?.unwrap_or(self.today))
    }

    /// Returns the days of a macro.
    fn days_of(&self, words: &str) -> Option<(NaiveDate, NaiveDate)> {
        let today = self.today;
        let (words, to_date) = match words.strip_suffix("-to-date") {
            Some(rest) => (rest, true),
            None => (words, false),
        };
        let (start, length) = match words {
            "today" => return Some((today, today)),
            "yesterday" => return Some((today.pred_opt()?, today.pred_opt()?)),
            "this week" | "last week" | "next week" => {
                let start = today - Days::new(today.weekday().num_days_from_sunday().into());
                let start = match words {
                    "last week" => start - Days::new(7),
                    "next week" => start + Days::new(7),
                    _ => start,
                };
                return Some((start, if to_date { today } else { start + Days::new(6) }));
            }
            words => {
                let (which, unit) = words.split_once(' ')?;
                let length = match unit {
                    "month" => 1,
                    "calendar quarter" | "fiscal quarter" | "quarter" => 3,
                    "calendar year" | "fiscal year" | "year" => 12,
                    _ => return None,
                };
                let first = if unit.starts_with("fiscal") {
                    self.ledger.chart.fiscal_month
                } else {
                    1
                };
                let start = first_of(today, first, length);
                let start = match which {
                    "this" => start,
                    "last" => start - Months::new(length),
                    "next" => start + Months::new(length),
                    _ => return None,
                };
                (start, length)
            }
        };
        let end = start + Months::new(length) - Days::new(1);
        Some((start, if to_date { end.min(today) } else { end }))
    }

    /// Returns the first day of the fiscal year of a day.
    pub(super) fn fiscal_year(&self, day: NaiveDate) -> NaiveDate {
        first_of(day, self.ledger.chart.fiscal_month, 12)
    }

    /// Returns the days of each column of a statement, with its title.
    pub(super) fn columns(&self, period: &Period) -> Outcome<Vec<(String, Period)>> {
        let by = self.text("summarize_column_by").unwrap_or("Total");
        let mut columns = Vec::new();
        let mut start = period.start;
        while start <= period.end {
            let next = match by.to_ascii_lowercase().as_str() {
                "total" => break,
                "days" => start + Days::new(1),
                "week" => start + Days::new(7 - u64::from(start.weekday().num_days_from_sunday())),
                "month" => first_of(start, 1, 1) + Months::new(1),
                "quarter" => first_of(start, 1, 3) + Months::new(3),
                "year" => first_of(start, self.ledger.chart.fiscal_month, 12) + Months::new(12),
                _ => {
                    let reason = format!("summarize_column_by {by} is not supported");
                    return Err(Refusal::Parameter(reason));
                }
            };
            let end = (next - Days::new(1)).min(period.end);
            let whole = first_of(start, 1, 1) == start && end + Days::new(1) == next;
            let title = match by.to_ascii_lowercase().as_str() {
                "month" if whole => start.format("%b %Y").to_string(),
                "days" => start.format("%b %-d, %Y").to_string(),
                _ => format!(
                    "{} - {}",
                    start.format("%b %-d, %Y"),
                    end.format("%b %-d, %Y")
                ),
            };
            let macro_words = None;
            columns.push((
                title,
                Period {
                    start,
                    end,
                    macro_words,
                },
            ));
            start = next;
        }
        Ok(columns)
    }
}

/// Returns the first day of the span of so many months that a day is in. Spans begin with a month.
fn first_of(day: NaiveDate, first_month: u32, length: u32) -> NaiveDate {
    let since = (day.month() + 12 - first_month) % 12 % length;
    day.with_day(1).unwrap_or(day) - Months::new(since)
}
