//! Short forms of texts of others, which may be as long as an answer or a line of a file.

use std::borrow::Cow;

/// Bytes of an id, a name or a value in a message.
pub(crate) const MAX_SHOWN: usize = 200;

/// Returns a text, or its first `limit` bytes and how many it has.
pub(crate) fn excerpt(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!(
        "{} … (cut; it has {} bytes)",
        &text[..end],
        text.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_ends_between_characters_and_says_that_it_is_cut() {
        assert!(matches!(excerpt("éé", 4), Cow::Borrowed("éé")));
        assert_eq!(excerpt("ééé", 3), "é … (cut; it has 6 bytes)");
        assert_eq!(excerpt("é", 0), " … (cut; it has 2 bytes)");
    }
}
