//! The form of a company's id.

/// The most digits of an id; Intuit's have 15 to 19.
const MAX_DIGITS: usize = 30;

/// Returns whether `text` has the form of a realm id: 1 to 30 digits. It becomes part of URLs and of the
/// names of directories.
pub fn is_realm_id(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
