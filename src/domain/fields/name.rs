//! Names of columns.

/// Returns the name of a property as a column: snake case, with an abbreviation kept in one piece,
/// so `total_amt`, `ssn` and `allow_ipn_payment`.
pub fn column_name(property: &str) -> String {
    let letters: Vec<char> = property.chars().collect();
    let mut name = String::with_capacity(property.len() + 4);
    for (position, letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            if !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
            continue;
        }
        let before = position.checked_sub(1).and_then(|at| letters.get(at));
        let after = letters.get(position + 1);
        let follows_word = before.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let begins_word = before.is_some_and(char::is_ascii_uppercase)
            && after.is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (follows_word || begins_word) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::column_name;

    #[test]
    fn names_are_snake_case_and_keep_abbreviations() {
        for (property, expected) in [
            ("TotalAmt", "total_amt"),
            ("SSN", "ssn"),
            ("Line1", "line1"),
            ("AllowIPNPayment", "allow_ipn_payment"),
            ("AllowOnlineACHPayment", "allow_online_ach_payment"),
            ("TransactionLocationType", "transaction_location_type"),
            ("Vendor1099", "vendor1099"),
            ("domain", "domain"),
            ("sub type.Of", "sub_type_of"),
        ] {
            assert_eq!(column_name(property), expected);
        }
    }
}
