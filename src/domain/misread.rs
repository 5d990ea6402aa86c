//! Guesses at dates that cannot be read: of another order, of a month that is shorter, or a month by its name.

use chrono::{Datelike, Months, NaiveDate};

use crate::domain::guess::unaccented;

/// The names of months in Spanish and English, by their first letters.
const MONTHS: [[&str; 2]; 12] = [
    ["enero", "january"],
    ["febrero", "february"],
    ["marzo", "march"],
    ["abril", "april"],
    ["mayo", "may"],
    ["junio", "june"],
    ["julio", "july"],
    ["agosto", "august"],
    ["septiembre", "september"],
    ["octubre", "october"],
    ["noviembre", "november"],
    ["diciembre", "december"],
];

/// Returns what to write in place of a text that is no date; `None` if it looks like none.
pub(crate) fn instead_of(text: &str) -> Option<String> {
    let text = unaccented(text.trim());
    named_month(&text).or_else(|| of_numbers(&text))
}

/// Reads `enero`, `ene 2024`, `enero de 2024`, `January 2024`.
fn named_month(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split([' ', '-', '/', ','])
        .filter(|word| !word.is_empty() && *word != "de")
        .collect();
    let (name, year) = match words[..] {
        [name] => (name, None),
        [name, year] if year.len() == 4 => (name, Some(year.parse::<u16>().ok()?)),
        _ => return None,
    };
    let is_called = |names: &[&str; 2]| {
        name.len() >= 3 && names.iter().any(|known| known.starts_with(name)) || name == "setiembre"
    };
    let month = MONTHS.iter().position(is_called)? + 1;
    // Both languages have a word of their own for September.
    let month = if name == "setiembre" { 9 } else { month };
    Some(match year {
        Some(year) => meant(format!("{year:04}-{month:02}")),
        None => {
            let example = format!("2024-{month:02}");
            format!("a month is written with its year, as {example}")
        }
    })
}

fn meant(date: impl std::fmt::Display) -> String {
    format!("did you mean {date}?")
}

fn of_numbers(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(['/', '.', '-', ' ']).collect();
    let numbers: Option<Vec<u32>> = parts.iter().map(|part| part.parse().ok()).collect();
    let (numbers, lengths) = (
        numbers?,
        parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
    );
    match (&numbers[..], &lengths[..]) {
        ([number], [8]) => {
            let date = day(number / 10_000, number / 100 % 100, number % 100)?;
            Some(meant(date))
        }
        ([year, month], [4, 1 | 2]) => of_month(*year, *month),
        ([month, year], [1 | 2, 4]) => of_month(*year, *month),
        ([year, month, date], [4, ..]) => of_day(*year, *month, *date),
        ([first, second, year], [1 | 2, 1 | 2, 4]) => of_unordered(*year, *first, *second),
        _ => None,
    }
}

fn of_month(year: u32, month: u32) -> Option<String> {
    Some(match month {
        1..=12 => meant(format!("{year:04}-{month:02}")),
        _ => "a year has the months 01 to 12".to_owned(),
    })
}

fn of_day(year: u32, month: u32, date: u32) -> Option<String> {
    if let Some(date) = day(year, month, date) {
        return Some(meant(date));
    }
    let Some(first) = day(year, month, 1) else {
        // 2024-31-12
        return match day(year, date, month) {
            Some(date) => Some(meant(date)),
            None => Some("a year has the months 01 to 12".to_owned()),
        };
    };
    let last = first.checked_add_months(Months::new(1))?.pred_opt()?;
    let month = first.format("%Y-%m");
    Some(format!("the last day of {month} is {last}"))
}

/// Reads what Latin America writes with the day first and the United States with the month.
fn of_unordered(year: u32, first: u32, second: u32) -> Option<String> {
    let dates = [day(year, second, first), day(year, first, second)];
    Some(match dates {
        [Some(latin), Some(american)] if latin != american => {
            format!("put the year first: {latin} or {american}")
        }
        [Some(date), _] | [None, Some(date)] => meant(date),
        [None, None] if second <= 12 => return of_day(year, second, first),
        [None, None] => "a year has the months 01 to 12".to_owned(),
    })
}

fn day(year: u32, month: u32, date: u32) -> Option<NaiveDate> {
    let found = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, date)?;
    (1..=9999).contains(&found.year()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_date_has_its_own_answer() {
        for (text, answer) in [
            ("31/12/2024", "did you mean 2024-12-31?"),
            ("12/31/2024", "did you mean 2024-12-31?"),
            ("31.12.2024", "did you mean 2024-12-31?"),
            ("05/04/2024", "put the year first: 2024-04-05 or 2024-05-04"),
            ("05/05/2024", "did you mean 2024-05-05?"),
            ("2024/12/31", "did you mean 2024-12-31?"),
            ("2024-31-12", "did you mean 2024-12-31?"),
            ("20241231", "did you mean 2024-12-31?"),
            ("2024-1-5", "did you mean 2024-01-05?"),
            ("2024-1", "did you mean 2024-01?"),
            ("1/2024", "did you mean 2024-01?"),
            ("2024-02-30", "the last day of 2024-02 is 2024-02-29"),
            ("30/02/2023", "the last day of 2023-02 is 2023-02-28"),
            ("2024-13", "a year has the months 01 to 12"),
            ("99/99/2024", "a year has the months 01 to 12"),
            ("enero", "a month is written with its year, as 2024-01"),
            ("Enero 2025", "did you mean 2025-01?"),
            ("enero de 2025", "did you mean 2025-01?"),
            ("mar", "a month is written with its year, as 2024-03"),
            ("setiembre 2025", "did you mean 2025-09?"),
            ("jan 2025", "did you mean 2025-01?"),
        ] {
            assert_eq!(instead_of(text).as_deref(), Some(answer), "{text}");
        }
        for text in [
            "",
            "soon",
            "x 2024",
            "1/2",
            "0",
            "-",
            "ma",
            "4294967296/1/2024",
        ] {
            assert_eq!(instead_of(text), None, "{text}");
        }
    }
}
