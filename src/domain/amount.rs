//! Exact amounts: the digits of a text as a decimal number, without a float in between.

use rust_decimal::Decimal;

/// Parses a number as JSON or a report writes it: `12.50`, `1.5e3`, `.00`. The digits after the point are
/// kept as they are written. `None` if the text is no number, or a decimal of 28 digits does not hold it
/// exactly.
pub(crate) fn parse_amount(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    if !mantissa.contains(|c: char| c.is_ascii_digit()) || !mantissa.chars().all(is_number) {
        return None;
    }
    let number = Decimal::from_str_exact(mantissa).ok()?;
    match exponent {
        0 => Some(number),
        _ => shift(number.normalize(), exponent),
    }
}

/// Multiplies by a power of ten.
fn shift(mut number: Decimal, exponent: i32) -> Option<Decimal> {
    if number.is_zero() {
        return Some(number);
    }
    let scale = i64::from(number.scale()) - i64::from(exponent);
    match u32::try_from(scale) {
        Ok(scale) => number.set_scale(scale).ok().map(|()| number),
        Err(_) => {
            number.set_scale(0).ok()?;
            let zeros = u32::try_from(-scale).ok().filter(|zeros| *zeros < 28)?;
            let power = Decimal::from_i128_with_scale(10_i128.pow(zeros), 0);
            number.checked_mul(power)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept_as_they_are_written() {
        for (text, expected) in [
            (".00", "0.00"),
            ("-46.00", "-46.00"),
            ("225.0", "225.0"),
            ("5.", "5"),
            ("1.50e3", "1500"),
            ("25E-2", "0.25"),
            ("0e99999", "0"),
        ] {
            let found = parse_amount(text).map(|amount| amount.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_cannot_be_kept_exactly_is_nothing() {
        for text in [
            "",
            "-",
            ".",
            "-Split-",
            "1,000",
            "1_000",
            "NaN",
            "1e",
            "e5",
            "1e99",
            "1e-40",
            "0x1",
            "--1",
            "1.00000000000000000000000000001",
            "99999999999999999999999999999999",
        ] {
            assert_eq!(parse_amount(text), None, "{text}");
        }
    }
}
