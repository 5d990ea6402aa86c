//! Guesses at what a mistyped name was meant to be.

/// Share of a name's letters that may be wrong for a guess.
const MAX_WRONG: f64 = 0.34;
/// Bytes of a name that are compared; no known name is longer.
const MAX_LENGTH: usize = 64;

/// Returns the known name that a name most likely stands for, or `None` if none is near.
pub(crate) fn closest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let typed = folded(name);
    if typed.is_empty() || typed.len() > MAX_LENGTH {
        return None;
    }
    let distance = |candidate: &&'k str| strsim::damerau_levenshtein(&typed, &folded(candidate));
    let best = known.into_iter().min_by_key(distance)?;
    let letters = typed.chars().count().max(best.chars().count());
    let is_near = distance(&best) as f64 <= (letters as f64 * MAX_WRONG).max(1.0);
    is_near.then_some(best)
}

/// Returns a name in lower case, without accents, underscores, hyphens and spaces: `BillPayment`,
/// `bill_payment` and `bill-payment` are the same.
pub(crate) fn folded(name: &str) -> String {
    unaccented(name.trim()).replace(['_', '-', ' '], "")
}

/// Returns a text in lower case, without accents.
pub(crate) fn unaccented(text: &str) -> String {
    let letters = text.chars().flat_map(char::to_lowercase);
    letters.map(without_accent).collect()
}

fn without_accent(letter: char) -> char {
    match letter {
        'á' => 'a',
        'é' => 'e',
        'í' => 'i',
        'ó' => 'o',
        'ú' | 'ü' => 'u',
        'ñ' => 'n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_guessed_and_far_ones_are_not() {
        let known = ["customers", "invoices", "items", "QBO_CLIENT_ID"];
        for (typed, meant) in [
            ("invocies", Some("invoices")),
            ("custmers", Some("customers")),
            ("itms", Some("items")),
            ("QBO_CLIENTID", Some("QBO_CLIENT_ID")),
            ("horses", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(closest(typed, known), meant, "{typed}");
        }
        assert_eq!(closest(&"a".repeat(100_000), known), None);
    }

    #[test]
    fn case_accents_and_separators_do_not_tell_names_apart() {
        assert_eq!(folded(" Bill-Payment "), folded("bill_payment"));
        assert_eq!(folded("Artículos"), "articulos");
        assert_eq!(folded("COMPAÑÍA"), "compania");
    }
}
