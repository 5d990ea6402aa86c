//! The checksum at the end of a line: `,"crc32":"89abcdef"}`, over all bytes before the comma. Plain text
//! has no other protection against a damaged disk or a careless editor.

use flate2::Crc;

const BEGIN: &[u8] = b",\"crc32\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 8;

/// Reason why a line is refused whose checksum does not match.
pub(super) const CHANGED: &str = "it was damaged or changed after it was written: its checksum does not \
    match. Extract its window again; if you changed it on purpose, remove its member crc32";

fn of(content: &[u8]) -> String {
    let mut crc = Crc::new();
    crc.update(content);
    format!("{:08x}", crc.sum())
}

/// Returns the checksum of a line that has none.
pub(super) fn of_line(line: &[u8]) -> String {
    // The closing brace comes after the checksum.
    of(line.strip_suffix(b"}").unwrap_or(line))
}

/// Appends the checksum to a line that is a JSON object with at least one member.
pub(super) fn append(line: &mut Vec<u8>) {
    let digits = of_line(line);
    append_digits(line, &digits);
}

/// Appends a checksum that was computed before.
pub(super) fn append_digits(line: &mut Vec<u8>, digits: &str) {
    line.pop();
    line.extend_from_slice(BEGIN);
    line.extend_from_slice(digits.as_bytes());
    line.extend_from_slice(END);
}

/// Checks a line. Returns false if it has no checksum at its end.
///
/// # Errors
/// Returns what is wrong if the checksum does not match.
pub(super) fn check(line: &[u8]) -> Result<bool, String> {
    let parts = || {
        let rest = line.strip_suffix(END)?;
        let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        Some((rest.strip_suffix(BEGIN)?, digits))
    };
    match parts() {
        None => Ok(false),
        Some((content, digits)) if of(content).as_bytes() == digits => Ok(true),
        Some(_) => Err(CHANGED.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_flipped_bit_is_found(text in "[a-z0-9 ]{0,60}", place in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut line = format!("{{\"payload\":\"{text}\"}}").into_bytes();
            append(&mut line);
            prop_assert_eq!(check(&line), Ok(true));
            let whole = line.clone();
            let place = place.index(line.len());
            line[place] ^= 1 << bit;
            // A flip in the name of the checksum changes nothing of the content, but makes a name that no line has.
            let content = whole.len() - BEGIN.len() - DIGITS - END.len();
            prop_assert!(check(&line) != Ok(true));
            prop_assert!(place >= content || check(&line).is_err());
        }
    }

    #[test]
    fn a_line_of_an_earlier_version_has_none() {
        assert_eq!(check(br#"{"a":"b"}"#), Ok(false));
        assert_eq!(check(b"}"), Ok(false));
    }
}
