//! Exact amounts: the digits of a payload as a decimal number, without a float in between.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The reason for not posting amounts that 28 digits do not hold.
pub(super) const TOO_LARGE: &str = "its amounts are too large to be added exactly";

/// A number of a payload, as a JSON number or as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Decimal);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = raw.strip_prefix('"').unwrap_or(raw);
        let text = text.strip_suffix('"').unwrap_or(text);
        let unreadable =
            || D::Error::custom(format!("{text:?} is no amount that can be kept exactly"));
        parse_amount(text).map(Self).ok_or_else(unreadable)
    }
}

/// Amounts of more digits before the point are refused: QuickBooks has at most 10 (facts/fields.tsv), and
/// sums of these keep every decimal.
const MAX_DIGITS: u32 = 16;

/// Digits before the point of an amount that was converted.
const MAX_CONVERTED_DIGITS: u32 = 20;

fn is_below(amount: Decimal, digits: u32) -> bool {
    amount.abs() < Decimal::from_i128_with_scale(10_i128.pow(digits), 0)
}

/// Converts to cents of the home currency; `None` if the product is too large.
pub(super) fn convert(amount: Decimal, rate: Decimal) -> Option<Decimal> {
    let home = amount.checked_mul(rate).map(cents)?;
    is_below(home, MAX_CONVERTED_DIGITS).then_some(home)
}

/// Parses an amount of the ledger; `None` if [`domain::parse_amount`](crate::domain::parse_amount) does not
/// take it, or it has more than 16 digits before the point.
pub(crate) fn parse_amount(text: &str) -> Option<Decimal> {
    let number = crate::domain::parse_amount(text)?.normalize();
    is_below(number, MAX_DIGITS).then_some(number)
}

/// Rounds to cents, halves away from zero, as QuickBooks prints its amounts.
pub(super) fn cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

/// Adds amounts; `None` if they are too large.
pub(super) fn sum(amounts: impl IntoIterator<Item = Decimal>) -> Option<Decimal> {
    let mut amounts = amounts.into_iter();
    amounts.try_fold(Decimal::ZERO, Decimal::checked_add)
}

/// Returns the part of `whole` that `part` is of `all`, in cents.
pub(super) fn share(whole: Decimal, part: Decimal, all: Decimal) -> Option<Decimal> {
    if part == all {
        return Some(whole);
    }
    let share = whole.checked_mul(part)?.checked_div(all).map(cents)?;
    is_below(share, MAX_CONVERTED_DIGITS).then_some(share)
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::{Amount, cents, parse_amount, share};

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn every_digit_is_kept() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("100.00", "100"),
            (".00", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-1e+2", "-100"),
            ("9007199254740993.01", "9007199254740993.01"),
            (
                "-9999999999999999.999999999999",
                "-9999999999999999.999999999999",
            ),
            ("0.1", "0.1"),
        ] {
            assert_eq!(parse_amount(text), Some(decimal(expected)), "{text}");
        }
    }

    #[test]
    fn amounts_of_which_sums_may_not_be_exact_are_nothing() {
        for text in ["", "1,000", "10000000000000000", "-1e16"] {
            assert_eq!(parse_amount(text), None, "{text}");
        }
    }

    #[test]
    fn payloads_hold_numbers_or_text() {
        let read = |json| serde_json::from_str::<Amount>(json).map(|amount| amount.0);
        assert_eq!(read("0.1").unwrap(), decimal("0.1"));
        assert_eq!(read("\"12.50\"").unwrap(), decimal("12.5"));
        for json in ["\"abc\"", "true", "{}", "[]"] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!(cents(decimal("2.005")), decimal("2.01"));
        assert_eq!(cents(decimal("-2.005")), decimal("-2.01"));
        assert_eq!(cents(decimal("2.0049")), decimal("2.00"));
    }

    #[test]
    fn all_of_a_whole_is_the_whole() {
        let share = |whole, part, all| share(decimal(whole), decimal(part), decimal(all));
        assert_eq!(share("10.01", "3", "3"), Some(decimal("10.01")));
        assert_eq!(share("10", "1", "3"), Some(decimal("3.33")));
        assert_eq!(share("10", "1", "0"), None);
    }
}
