//! Numbers in flags that cannot be read.

use std::error::Error as _;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};

use clap::error::ContextKind;

use crate::domain::{MAX_SHOWN, excerpt};
use crate::error::Error;

/// Returns a mistake in a number, in words of ours: those of the standard library are English and name no value.
pub(super) fn misread_number(error: &clap::Error) -> Option<Error> {
    let text = |kind| error.get(kind).map(ToString::to_string);
    let (argument, value) = (
        text(ContextKind::InvalidArg)?,
        text(ContextKind::InvalidValue)?,
    );
    let cause = error.source()?;
    let value = excerpt(&value, MAX_SHOWN);
    let reason = if let Some(cause) = cause.downcast_ref::<ParseIntError>() {
        match cause.kind() {
            IntErrorKind::PosOverflow => format!("'{value}' is too large"),
            _ => format!("'{value}' is not a whole number"),
        }
    } else if cause.is::<ParseFloatError>() {
        format!("'{value}' is not a number")
    } else {
        let bounds = cause.to_string();
        let (_, bounds) = bounds.split_once(" is not in ")?;
        let (first, last) = bounds.split_once("..")?;
        match last.trim_start_matches('=') {
            "" => format!("'{value}' is less than {first}"),
            last => format!("'{value}' is not between {first} and {last}"),
        }
    };
    let name = argument.split(' ').next().unwrap_or_default();
    Some(Error::config(
        name.trim_start_matches('-').replace('-', "_"),
        reason,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::early::Early;
    use crate::cli::parse;

    #[test]
    fn a_number_is_refused_with_its_flag_and_its_value() {
        for (words, text) in [
            (
                "show items --limit three",
                "limit: 'three' is not a whole number",
            ),
            (
                "show items --limit 2.5",
                "limit: '2.5' is not a whole number",
            ),
            (
                "show items --limit=-5",
                "limit: '-5' is not between 1 and 10000",
            ),
            (
                "show items --limit 99999999999999999999999",
                "limit: '99999999999999999999999' is too large",
            ),
            (
                "sandbox --port 99999",
                "port: '99999' is not between 0 and 65535",
            ),
            (
                "sandbox --books 0",
                "books: '0' is not between 1 and 200000",
            ),
            (
                "sandbox --grace-s soon",
                "grace_s: 'soon' is not a whole number",
            ),
            (
                "sandbox --visibility-delay-s soon",
                "visibility_delay_s: 'soon' is not a number",
            ),
        ] {
            let line = ["qbo-rs"].into_iter().chain(words.split(' '));
            let line: Vec<_> = line.map(Into::into).collect();
            let error = parse(&line, Early::of(&line)).err();
            let error = error.unwrap_or_else(|| panic!("{words} was read"));
            let shown = misread_number(&error).map(|error| error.to_string());
            assert_eq!(shown.as_deref(), Some(text), "{words}: {error}");
        }
    }

    #[test]
    fn other_mistakes_are_left_to_clap() {
        for words in ["show items --style none", "show", "sandbox --port"] {
            let line = ["qbo-rs"].into_iter().chain(words.split(' '));
            let line: Vec<_> = line.map(Into::into).collect();
            let error = parse(&line, Early::of(&line)).err().unwrap();
            assert!(misread_number(&error).is_none(), "{words}: {error}");
        }
    }
}
