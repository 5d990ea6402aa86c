//! Days and times as almost all are written, told by comparing their parts. Where the text is at hand that
//! costs a third of a pattern; a view, which looks the text up for each part, asks the pattern.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::cast::{COMMON_DAY, COMMON_TIME};

/// The parts as lists of literals.
struct Parts {
    years: String,
    months: String,
    days: String,
    hours: String,
    sixty: String,
    offsets: String,
}

static PARTS: LazyLock<Parts> = LazyLock::new(|| Parts {
    years: list(2000..=2049),
    months: list(1..=12),
    days: list(1..=28),
    hours: list(0..=23),
    sixty: list(0..=59),
    offsets: (0..=12).fold("'Z'".to_owned(), |list, hours| {
        format!("{list}, '-{hours:02}:00', '+{hours:02}:00'")
    }),
});

fn list(numbers: RangeInclusive<u32>) -> String {
    let numbers: Vec<String> = numbers.map(|number| format!("'{number:02}'")).collect();
    numbers.join(", ")
}

/// Returns an expression whose patterns of common days and times are comparisons, where they look at a
/// column of the rows `r`.
pub(super) fn by_parts(expression: &str) -> String {
    let days = replaced(expression, COMMON_DAY, is_day);
    replaced(&days, COMMON_TIME, is_time)
}

fn replaced(expression: &str, pattern: &str, condition: fn(&str) -> String) -> String {
    let end = format!(" from '{pattern}')");
    let mut pieces = expression.split(&end);
    let mut all = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match all.rsplit_once("substring(") {
            Some((before, text)) if text.starts_with("r.") && !text.contains(' ') => {
                let condition = condition(text);
                all = format!("{before}(CASE WHEN {condition} THEN {text} END)");
            }
            _ => all.push_str(&end),
        }
        all.push_str(piece);
    }
    all
}

fn is_day(text: &str) -> String {
    format!("{text} LIKE '____-__-__' AND {}", begins_with_day(text))
}

fn begins_with_day(text: &str) -> String {
    let Parts {
        years,
        months,
        days,
        ..
    } = &*PARTS;
    format!(
        "left({text}, 4) IN ({years}) AND substr({text}, 6, 2) IN ({months}) \
         AND substr({text}, 9, 2) IN ({days})"
    )
}

fn is_time(text: &str) -> String {
    let Parts {
        hours,
        sixty,
        offsets,
        ..
    } = &*PARTS;
    format!(
        "{text} LIKE '____-__-__T__:__:__%' AND {} AND substr({text}, 12, 2) IN ({hours}) \
         AND substr({text}, 15, 2) IN ({sixty}) AND substr({text}, 18, 2) IN ({sixty}) \
         AND substr({text}, 20) IN ({offsets})",
        begins_with_day(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_comparisons_only_where_the_text_is_at_hand() {
        let day = |text: &str| format!("f(substring({text} from '{COMMON_DAY}')::date)");
        let both = format!("{} + {}", day("r.v1"), day("l.value ->> 'D'"));
        let changed = by_parts(&both);
        assert!(
            changed.starts_with(
                "f((CASE WHEN r.v1 LIKE '____-__-__' AND left(r.v1, 4) IN ('2000', '2001'"
            ),
            "{changed}"
        );
        assert!(changed.ends_with(&format!(
            " THEN r.v1 END)::date) + {}",
            day("l.value ->> 'D'")
        )));
        let time = by_parts(&format!("substring(r.v2 from '{COMMON_TIME}')"));
        assert!(time.starts_with("(CASE WHEN r.v2 LIKE '____-__-__T__:__:__%' AND left(r.v2, 4)"));
        assert!(!time.contains(COMMON_TIME));
    }
}
