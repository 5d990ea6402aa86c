//! The texts that people read, in English and Spanish.
//!
//! English sentences are in the code; `locales/es.po` has their translations, under the English
//! template as `msgid`. Texts for programs stay English: logs, JSON, tables and the database.
//!
//! - An edge writes its own sentences with [`say!`].
//! - A text that the core has finished in English, such as that of an error, goes through
//!   [`translated`], which finds the template that it was made from.

mod catalogue;
mod finished;
mod template;
mod which;

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};

pub(crate) use self::catalogue::fill;
pub(crate) use self::which::Language;

#[cfg(test)]
pub(crate) use self::catalogue::entries;
#[cfg(test)]
pub(crate) use self::template::Template;

/// The language of the command. The server has none of its own: each request brings one.
static CURRENT: AtomicU8 = AtomicU8::new(Language::En as u8);

/// Writes a count in the language of the command: 12,969 in English. Amounts of money are shown as they
/// are stored, so that they can be compared and copied.
pub(crate) fn number(value: u64) -> String {
    number_in(current(), value)
}

/// The same in a given language.
pub(crate) fn number_in(language: Language, value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(language.separator());
        }
        text.push(digit);
    }
    text
}

/// Sets the language of the command.
pub(crate) fn set_current(language: Language) {
    CURRENT.store(language as u8, Ordering::Relaxed);
}

/// Returns the language of the command.
pub(crate) fn current() -> Language {
    match CURRENT.load(Ordering::Relaxed) {
        code if code == Language::Es as u8 => Language::Es,
        _ => Language::En,
    }
}

/// Translates a finished English text, or as much of it as the catalogue knows, into the language
/// of the command. For [`say!`], pass such texts as arguments: `reason = translated(&reason)`.
pub(crate) fn translated(text: &str) -> Cow<'_, str> {
    translated_into(current(), text)
}

/// The same into a given language.
pub(crate) fn translated_into(language: Language, text: &str) -> Cow<'_, str> {
    match language {
        Language::En => Cow::Borrowed(text),
        Language::Es => match without_numbers_of_errors(text) {
            Cow::Borrowed(text) => finished::translate(language, catalogue::spanish(), text),
            Cow::Owned(text) => {
                Cow::Owned(finished::translate(language, catalogue::spanish(), &text).into_owned())
            }
        },
    }
}

/// Leaves out the numbers of the system's errors, which its words before them say to people: ` (os error 111)`.
pub(crate) fn without_numbers_of_errors(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = " (os error ";
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return Cow::Borrowed(text);
    };
    match rest.split_once(')') {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned([before, &without_numbers_of_errors(after)].concat())
        }
        _ => Cow::Owned([before, BEGIN, &without_numbers_of_errors(rest)].concat()),
    }
}

/// Makes a sentence in the language of the command, or `in` another one:
///
/// ```text
/// say!("Read {start} up to, not including, {end}", start = first, end)
/// say!(count rows; "{rows} row is in step", "{rows} rows are in step", rows)
/// say!(in language; "Last sync: {ago}", ago)
/// say!(in language; count days; "{days} day left", "{days} days left", days)
/// ```
///
/// A template is one whole sentence. Its placeholders are names, without widths or precisions, so
/// that a translation may put them elsewhere; format a value before it is passed. After `count`
/// come the number that decides between the two templates, then both. The compiler checks that
/// arguments and placeholders agree, a test that `locales/es.po` has the template.
macro_rules! say {
    (in $language:expr; count $count:expr; $one:literal, $many:literal
        $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        match $crate::language::Language::is_one($count) {
            true => $crate::language::say!(in $language; $one $(, $name $(= $value)?)*),
            false => $crate::language::say!(in $language; $many $(, $name $(= $value)?)*),
        }
    };
    (in $language:expr; $template:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        match $language {
            $crate::language::Language::En => {
                format!($template $(, $name = $crate::language::say!(@value $name $(= $value)?))*)
            }
            language => $crate::language::fill(
                language,
                $template,
                &[$((stringify!($name), $crate::language::say!(@value $name $(= $value)?).to_string())),*],
            ),
        }
    };
    (@value $name:ident = $value:expr) => { $value };
    (@value $name:ident) => { $name };
    ($($rest:tt)+) => { $crate::language::say!(in $crate::language::current(); $($rest)+) };
}
pub(crate) use say;

#[cfg(test)]
mod tests;
