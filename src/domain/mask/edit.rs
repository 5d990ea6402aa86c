//! Finds what is masked in JSON text, and changes it there.

use std::ops::Range;

use super::{Action, Hasher, Mask, Node};
use crate::domain::scan::{Next, Scanner, unescaped};

/// Objects of an answer are followed so far; records stand at the third level.
const MAX_DEPTH: usize = 16;

/// Changes of a text, none of which overlap.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    fn replace(&mut self, range: Range<usize>, by: impl Into<String>) {
        self.0.push((range, by.into()));
    }

    /// Returns the changed text; `None` without changes.
    pub(super) fn apply(mut self, text: &[u8]) -> Option<Vec<u8>> {
        self.0.sort_by_key(|(range, _)| range.start);
        let mut changed = Vec::with_capacity(text.len());
        let mut copied = 0;
        for (range, by) in &self.0 {
            changed.extend_from_slice(text.get(copied..range.start).unwrap_or_default());
            changed.extend_from_slice(by.as_bytes());
            copied = range.end;
        }
        changed.extend_from_slice(text.get(copied..).unwrap_or_default());
        (!self.0.is_empty()).then_some(changed)
    }
}

/// The members of one object: those that stay, and those that go.
#[derive(Default)]
struct Members(Vec<(Range<usize>, bool)>);

impl Members {
    /// Removes members together with one of the commas beside each.
    fn cut(self, open: usize, edits: &mut Edits) {
        let mut begin = open;
        let mut rest = self.0.iter().peekable();
        while let Some((member, goes)) = rest.next() {
            if !goes {
                begin = member.end;
                continue;
            }
            let mut end = member.end;
            while let Some((next, true)) = rest.peek() {
                end = next.end;
                rest.next();
            }
            match rest.peek() {
                // With the comma behind them.
                Some((next, _)) => edits.replace(member.start..next.start, ""),
                // With the comma before them.
                None => edits.replace(begin..end, ""),
            }
        }
    }
}

/// The way in which values are masked.
#[derive(Clone, Copy)]
struct Masking<'m> {
    hasher: Option<&'m Hasher>,
    /// Masked properties that are looked for also in members that no rule names.
    everywhere: Option<&'m Node>,
    depth: usize,
}

impl<'m> Masking<'m> {
    fn new(hasher: Option<&'m Hasher>) -> Self {
        Self {
            hasher,
            everywhere: None,
            depth: 0,
        }
    }
}

/// Finds what is masked in a record. `None` if it is no object.
pub(super) fn mask_record(node: &Node, text: &[u8], hasher: Option<&Hasher>) -> Option<Edits> {
    let (mut edits, mut scanner) = (Edits::default(), Scanner::new(text));
    if scanner.peek() != b'{' {
        return None;
    }
    Masking::new(hasher).object(node, &mut scanner, &mut edits)?;
    (scanner.peek() == 0).then_some(edits)
}

/// Finds what is masked in an answer: in the records below the key of an entity, and, below a key that
/// is that of none, everything that has the name of a masked property.
pub(super) fn mask_answer(mask: &Mask, body: &[u8]) -> Option<Edits> {
    let (mut edits, mut scanner) = (Edits::default(), Scanner::new(body));
    let walk = Answer {
        mask,
        masking: Masking::new(mask.hasher.as_ref()),
    };
    walk.part(&mut scanner, &mut edits, 0)?;
    (scanner.peek() == 0).then_some(edits)
}

/// Finds properties with the names of masked ones in any object of a text.
pub(super) fn mask_anywhere(
    node: &Node,
    text: &[u8],
    hasher: Option<&Hasher>,
    edits: &mut Edits,
) -> Option<()> {
    let mut scanner = Scanner::new(text);
    Masking::new(hasher).anywhere(node, &mut scanner, edits)?;
    (scanner.peek() == 0).then_some(())
}

struct Answer<'m> {
    mask: &'m Mask,
    masking: Masking<'m>,
}

/// Objects and lists that hold records deeper inside.
const CONTAINERS: [&str; 3] = ["QueryResponse", "CDCResponse", "BatchItemResponse"];
/// Members that hold no records.
const FAULTS: [&str; 4] = ["Fault", "Faults", "Error", "Errors"];

impl Answer<'_> {
    fn part(&self, scanner: &mut Scanner<'_>, edits: &mut Edits, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match scanner.peek() {
            b'[' => {
                scanner.take(b'[');
                let mut is_first = true;
                while let Next::Item(()) = scanner.element(is_first)? {
                    self.part(scanner, edits, depth + 1)?;
                    is_first = false;
                }
                Some(())
            }
            b'{' => {
                scanner.take(b'{');
                let mut is_first = true;
                while let Next::Item((_, name)) = scanner.member(is_first)? {
                    self.member(&unescaped(name)?, scanner, edits, depth)?;
                    is_first = false;
                }
                Some(())
            }
            _ => scanner.value().map(drop),
        }
    }

    fn member(
        &self,
        name: &str,
        scanner: &mut Scanner<'_>,
        edits: &mut Edits,
        depth: usize,
    ) -> Option<()> {
        let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_one_of(&CONTAINERS) {
            return self.part(scanner, edits, depth + 1);
        }
        if is_one_of(&FAULTS) {
            return scanner.value().map(drop);
        }
        match (self.mask.below(name), scanner.peek()) {
            ((_, Some(node)), b'{' | b'[') => self.masking.inside(node, scanner, edits),
            // What stands in the place of records may be a part of one.
            ((_, Some(_)), _) => {
                let range = scanner.value()?;
                edits.replace(range, "null");
                Some(())
            }
            ((true, None), _) => scanner.value().map(drop),
            ((false, None), b'{' | b'[') => self.masking.anywhere(&self.mask.union, scanner, edits),
            ((false, None), _) => scanner.value().map(drop),
        }
    }
}

impl<'m> Masking<'m> {
    /// Masks the object that follows, or those of a list. What is neither, in their place, is removed.
    fn inside(self, node: &Node, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Option<()> {
        match scanner.peek() {
            b'{' => self.object(node, scanner, edits),
            b'[' => {
                scanner.take(b'[');
                let mut is_first = true;
                while let Next::Item(()) = scanner.element(is_first)? {
                    is_first = false;
                    match scanner.peek() {
                        b'{' => self.object(node, scanner, edits)?,
                        _ => {
                            let range = scanner.value()?;
                            edits.replace(range, "null");
                        }
                    }
                }
                Some(())
            }
            _ => None,
        }
    }

    fn object(self, node: &Node, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Option<()> {
        let custom = match node.custom.is_empty() {
            true => None,
            false => custom_action(node, scanner.clone())?,
        };
        scanner.take(b'{');
        let open = scanner.at();
        let mut members = Members::default();
        let mut is_first = true;
        while let Next::Item((begin, name)) = scanner.member(is_first)? {
            is_first = false;
            let name = unescaped(name)?;
            let custom = custom.filter(|_| name.to_ascii_lowercase().ends_with("value"));
            let goes = match (node.member(&name), custom) {
                (_, Some(action)) => self.leaf(action, scanner, edits)?,
                (Some(inner), None) => self.value(inner, scanner, edits)?,
                (None, None) => {
                    self.other(scanner, edits)?;
                    false
                }
            };
            members.0.push((begin..scanner.at(), goes));
        }
        members.cut(open, edits);
        Some(())
    }

    /// Masks a member's value. Returns true if the member has to go.
    fn value(self, node: &Node, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Option<bool> {
        if let Some(action) = node.action {
            return self.leaf(action, scanner, edits);
        }
        match scanner.peek() {
            b'{' | b'[' => self.inside(node, scanner, edits).map(|()| false),
            // A single value, where the table says that an object is, may be what is masked inside it.
            _ => {
                let range = scanner.value()?;
                Some(scanner.slice(range) != b"null")
            }
        }
    }

    /// Applies an action to the value that follows. Returns true if its member has to go.
    fn leaf(self, action: Action, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Option<bool> {
        let first = scanner.peek();
        let range = scanner.value()?;
        let (Action::Hash, Some(hasher)) = (action, self.hasher) else {
            return Some(true);
        };
        let raw = scanner.slice(range.clone());
        let text = match first {
            b'{' | b'[' => return Some(true),
            b'"' => unescaped(raw.get(1..raw.len().checked_sub(1)?)?),
            _ if raw == b"null" => return Some(false),
            _ => unescaped(raw),
        };
        // A text with half of a surrogate pair has no bytes to hash.
        let Some(text) = text else {
            return Some(true);
        };
        let hash = hasher.hash(&text);
        if *hash != *text {
            edits.replace(range, format!("\"{hash}\""));
        }
        Some(false)
    }

    /// Goes over a value that no rule names.
    fn other(self, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Option<()> {
        match (self.everywhere, scanner.peek()) {
            (Some(node), b'{' | b'[') => self.anywhere(node, scanner, edits),
            _ => scanner.value().map(drop),
        }
    }

    /// Masks what has the name of a masked property, in any object of the value that follows.
    fn anywhere(self, node: &'m Node, scanner: &mut Scanner<'_>, edits: &mut Edits) -> Option<()> {
        let deeper = Self {
            everywhere: Some(node),
            depth: self.depth + 1,
            ..self
        };
        match scanner.peek() {
            _ if self.depth > MAX_DEPTH => None,
            b'[' => {
                scanner.take(b'[');
                let mut is_first = true;
                while let Next::Item(()) = scanner.element(is_first)? {
                    deeper.anywhere(node, scanner, edits)?;
                    is_first = false;
                }
                Some(())
            }
            b'{' => deeper.object(node, scanner, edits),
            _ => scanner.value().map(drop),
        }
    }
}

/// Returns what is done with the values of the custom field that follows.
fn custom_action(node: &Node, mut scanner: Scanner<'_>) -> Option<Option<Action>> {
    scanner.take(b'{');
    let (mut is_first, mut found) = (true, None);
    while let Next::Item((_, name)) = scanner.member(is_first)? {
        is_first = false;
        let is_name = unescaped(name)?.eq_ignore_ascii_case("Name");
        let range = scanner.value()?;
        let Some(inner) = scanner.slice(range).strip_prefix(b"\"").filter(|_| is_name) else {
            continue;
        };
        let text = unescaped(inner.strip_suffix(b"\"")?)?;
        let named = node.custom.iter().find(|(known, _)| *known == *text);
        found = found.or(named.map(|(_, action)| *action));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer_of, invoices, measured};

    #[test]
    fn instructions_of_masking_a_page_of_invoices() {
        let rules = "Invoice.BillEmail,Invoice.CustomerMemo,Invoice.DocNumber:hash";
        let mask = Mask::parse(rules, Some("0123456789abcdef0123456789abcdef")).unwrap();
        let body = answer_of("Invoice", &invoices(1000));
        let masked = measured(|| mask.answer(body.as_bytes())).unwrap().unwrap();
        let text = String::from_utf8(masked).unwrap();
        assert!(!text.contains("books7@") && !text.contains("Have a great day"));
        assert_eq!(text.matches(r#""DocNumber":"hmac:"#).count(), 1000);
    }
}
