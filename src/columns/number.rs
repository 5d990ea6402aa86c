//! Exact numbers: text to a whole number of the last decimal, without a float in between.

/// Digits of a number, before and after the point together.
pub const DIGITS: u8 = 38;
/// Digits after the point.
pub const DECIMALS: i8 = 10;
/// Digits after the point of a factor, which may be longer than a column.
pub(super) const FACTOR_DECIMALS: usize = 28;

/// Ten to the power of `exponent`, if 38 digits hold it.
fn power_of_ten(exponent: usize) -> Option<i128> {
    (exponent < usize::from(DIGITS)).then(|| 10_i128.pow(exponent as u32))
}

/// Parses a number as JSON writes it, or as text of QuickBooks has it: `+1`, `.00`, `5.`. Returns
/// it in units of its last decimal; `None` for text that is no number, and for a number that has
/// more decimals or digits than a column holds.
pub(super) fn parse_number(text: &str) -> Option<i128> {
    parse(text, DECIMALS as usize)
}

/// Parses a number of up to 28 decimals, in units of the last one.
pub(super) fn parse_factor(text: &str) -> Option<i128> {
    parse(text, FACTOR_DECIMALS)
}

fn parse(text: &str, decimals: usize) -> Option<i128> {
    let (is_negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let units = units((whole, fraction), exponent, decimals)?;
    Some(if is_negative { -units } else { units })
}

/// Parses the digits after `e`. One of many digits counts as the largest: nothing but zero has it.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::from(u32::MAX));
    let size = size.min(i64::from(u32::MAX));
    Some(if text.starts_with('-') { -size } else { size })
}

/// Returns the digits as a whole number of units, if so many decimals hold them without loss.
fn units((whole, fraction): (&str, &str), exponent: i64, decimals: usize) -> Option<i128> {
    let digits = whole.bytes().chain(fraction.bytes());
    let count = whole.len() + fraction.len();
    // Zeros at both ends say nothing.
    let Some(first) = digits.clone().position(|digit| digit != b'0') else {
        return Some(0);
    };
    let zeros = digits.clone().rev().position(|digit| digit != b'0')?;
    let shift = exponent - fraction.len() as i64 + zeros as i64 + decimals as i64;
    let shift = usize::try_from(shift).ok()?;
    let significant = count - zeros - first;
    if significant.checked_add(shift)? > usize::from(DIGITS) {
        return None;
    }
    let mantissa = digits
        .skip(first)
        .take(significant)
        .fold(0_i128, |number, digit| {
            number * 10 + i128::from(digit - b'0')
        });
    mantissa.checked_mul(power_of_ten(shift)?)
}

/// Multiplies a number by a factor of so many decimals. A product of more decimals is rounded, halves away from
/// zero, as Postgres rounds; `None` if it has too many digits.
pub(super) fn multiply(a: i128, (factor, decimals): (i128, usize)) -> Option<i128> {
    let (a, a_decimals) = without_zeros(a, DECIMALS as usize);
    let (b, b_decimals) = without_zeros(factor, decimals);
    let product = a.checked_mul(b)?;
    let decimals = a_decimals + b_decimals;
    let wanted = DECIMALS as usize;
    let units = match decimals.checked_sub(wanted) {
        Some(surplus) => divide_rounded(product, power_of_ten(surplus)?),
        None => product.checked_mul(power_of_ten(wanted - decimals)?)?,
    };
    (units.unsigned_abs() < 10_u128.pow(u32::from(DIGITS))).then_some(units)
}

/// Returns a number with as few decimals as it needs, and how many those are.
fn without_zeros(mut units: i128, mut decimals: usize) -> (i128, usize) {
    while decimals > 0 && units % 10 == 0 {
        units /= 10;
        decimals -= 1;
    }
    (units, decimals)
}

fn divide_rounded(number: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (number / divisor, number % divisor);
    match rest.unsigned_abs() * 2 >= divisor.unsigned_abs() {
        true => quotient + number.signum(),
        false => quotient,
    }
}

#[cfg(test)]
mod tests {
    use super::{DECIMALS, FACTOR_DECIMALS, multiply, parse_factor, parse_number};

    const ONE: i128 = 10_000_000_000;

    #[test]
    fn every_digit_is_kept() {
        for (text, units) in [
            ("0", 0),
            ("-0", 0),
            ("0.00", 0),
            ("0e999999999999", 0),
            ("100", 100 * ONE),
            ("100.00", 100 * ONE),
            ("0.1", ONE / 10),
            (".00", 0),
            (".5", ONE / 2),
            ("5.", 5 * ONE),
            ("+7", 7 * ONE),
            ("-12.3456789012", -123_456_789_012),
            ("1e2", 100 * ONE),
            ("1.5E+3", 1500 * ONE),
            ("25e-2", ONE / 4),
            ("1.00000000000000000000000", ONE),
            ("9007199254740993.01", 90_071_992_547_409_930_100_000_000),
            (
                "9999999999999999999999999999.9999999999",
                10_i128.pow(38) - 1,
            ),
        ] {
            assert_eq!(parse_number(text), Some(units), "{text}");
        }
    }

    #[test]
    fn what_a_column_does_not_hold_is_nothing_and_not_another_number() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e5",
            "1e",
            "1e+",
            "1.2.3",
            "1,000",
            " 1",
            "1 ",
            "0x1",
            "NaN",
            "Infinity",
            "--1",
            "1e1e1",
            "\u{661}",
            "0.12345678901",
            "1e-11",
            "1e28",
            "1e999999",
            "1e99999999999999999999",
            "10000000000000000000000000000",
        ] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn products_are_exact_until_they_need_more_decimals() {
        let number = |text| parse_number(text).unwrap();
        let factor = |text| (number(text), DECIMALS as usize);
        for (a, b, product) in [
            ("100.10", "1.25", "125.125"),
            ("-3", "0.5", "-1.5"),
            ("0.00001", "0.000005", "0.0000000001"),
            ("0.00001", "-0.000005", "-0.0000000001"),
            ("0.00001", "0.000004", "0"),
            (
                "123456789012345678.91",
                "1.0000000001",
                "123456789024691357.8112345679",
            ),
        ] {
            assert_eq!(
                multiply(number(a), factor(b)),
                Some(number(product)),
                "{a} {b}"
            );
        }
        assert_eq!(multiply(number("1e27"), factor("10")), None);
        assert_eq!(multiply(number("1e27"), factor("1e27")), None);
        let long = |text| (parse_factor(text).unwrap(), FACTOR_DECIMALS);
        for (a, b, product) in [
            ("1000", "0.00912408759124", "9.1240875912"),
            ("-1000", "0.0091240875912500", "-9.1240875913"),
            ("3", "0.3333333333333333333333333333", "1"),
            ("1e20", "0.0000000000000000000000000001", "0.00000001"),
        ] {
            assert_eq!(
                multiply(number(a), long(b)),
                Some(number(product)),
                "{a} {b}"
            );
        }
        // An integer of 128 bits does not hold the product.
        assert_eq!(
            multiply(
                number("123456789012.34"),
                long("0.3333333333333333333333333333")
            ),
            None
        );
        assert_eq!(parse_factor("0.00000000000000000000000000001"), None);
    }
}
