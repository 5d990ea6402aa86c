//! Exact decimal numbers. Money is kept in cents, and no floating point is involved.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

/// The units of a [`Decimal`] in one.
const ONE: i128 = 1_000_000_000;
const DECIMALS: usize = 9;

/// A decimal number with nine decimals: more than the quantities and rates of records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Decimal(i128);

impl Decimal {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const ONE: Self = Self(ONE);

    /// Parses a number as JSON writes it, without an exponent. Further decimals are cut off.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches('"');
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if digits.is_empty() || !is_number(whole) || !is_number(rest) || whole.len() > 18 {
            return None;
        }
        let rest = &rest[..rest.len().min(DECIMALS)];
        let units = format!("{whole}{rest:0<DECIMALS$}");
        Some(Self(sign * units.parse::<i128>().ok()?))
    }

    pub(crate) fn from_units(units: i64) -> Self {
        Self(i128::from(units) * ONE)
    }

    /// Returns the number in hundredths, rounded half away from zero.
    pub(crate) fn cents(self) -> i64 {
        narrow(divided(self.0 * 100, ONE))
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }

    /// Returns the part of an amount that this quantity is of another.
    pub(crate) fn share_of(self, cents: i64, whole: Self) -> i64 {
        match whole.0 {
            0 => 0,
            whole => narrow(divided(i128::from(cents) * self.0, whole)),
        }
    }

    /// Returns an amount in another currency, at this rate.
    pub(crate) fn convert(self, cents: i64) -> i64 {
        narrow(divided(i128::from(cents) * self.0, ONE))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).ok_or_else(|| D::Error::custom("this is not a decimal number"))
    }
}

/// Returns the part of `whole` that `part` is of `of`, rounded half away from zero.
pub(crate) fn share(whole: i64, part: i64, of: i64) -> i64 {
    match of {
        0 => 0,
        of => narrow(divided(
            i128::from(whole) * i128::from(part),
            i128::from(of),
        )),
    }
}

/// Divides, and rounds half away from zero.
fn divided(number: i128, by: i128) -> i128 {
    let (number, by) = if by < 0 { (-number, -by) } else { (number, by) };
    let half = by / 2;
    match number < 0 {
        true => -((-number + half) / by),
        false => (number + half) / by,
    }
}

fn narrow(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// Writes an amount with two decimals, as statements and records do.
pub(crate) fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// Writes an amount as list reports do: zero has no digit before the point.
pub(crate) fn list_money(cents: i64) -> String {
    match cents {
        0 => ".00".to_owned(),
        _ => money(cents),
    }
}

/// Writes an amount as records do: zero is a bare digit.
pub(crate) fn record_money(cents: i64) -> String {
    match cents {
        0 => "0".to_owned(),
        _ => money(cents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_rounded_half_away_from_zero() {
        let cents = |text: &str| Decimal::parse(text).unwrap().cents();
        assert_eq!(
            (cents("10.5"), cents("-0.005"), cents("0.0049")),
            (1050, -1, 0)
        );
        assert_eq!(cents("123456789012345.67"), 12_345_678_901_234_567);
        let rate = Decimal::parse("1.087345").unwrap();
        assert_eq!(
            (rate.convert(10_000), rate.convert(-10_000)),
            (10_873, -10_873)
        );
        assert_eq!(
            (share(100, 1, 3), share(-100, 2, 3), share(5, 1, 0)),
            (33, -67, 0)
        );
        assert!(Decimal::parse("1e5").is_none() && Decimal::parse("").is_none());
        let texts = [
            money(-5),
            list_money(0),
            record_money(0),
            money(0),
            list_money(7),
        ];
        assert_eq!(texts, ["-0.05", ".00", "0", "0.00", "0.07"]);
    }
}
