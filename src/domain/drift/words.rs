//! The words of enumerations, where facts name all of them: `facts/words.tsv`.

use std::collections::HashMap;
use std::sync::LazyLock;

static WORDS: LazyLock<HashMap<(&'static str, &'static str), Vec<&'static str>>> =
    LazyLock::new(|| {
        let text = include_str!("../../../facts/words.tsv");
        let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
        let row = |line: &'static str| match line.split('\t').collect::<Vec<_>>()[..] {
            [model, path, words] => Some(((model, path), words.split('|').collect())),
            _ => None,
        };
        rows.filter_map(row).collect()
    });

/// Returns the words that a property of a model can have; none if they are not known.
pub(crate) fn words(model: &'static str, path: &'static str) -> &'static [&'static str] {
    WORDS.get(&(model, path)).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields::{FieldType, fields};

    #[test]
    fn every_row_belongs_to_a_text_of_the_table_of_fields() {
        let table = fields().unwrap();
        assert!(WORDS.len() > 30);
        for ((model, path), words) in WORDS.iter() {
            let field = table
                .field(model, path)
                .unwrap_or_else(|| panic!("{model} {path}"));
            assert_eq!(field.field_type, FieldType::Text, "{model} {path}");
            assert!(
                words.len() > 1 && words.iter().all(|word| !word.is_empty()),
                "{model} {path}"
            );
        }
    }
}
