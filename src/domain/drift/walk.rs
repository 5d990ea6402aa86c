//! The walk over the text of a record.

use std::borrow::Cow;

use super::sights::Sight;
use super::value::fits;
use super::{DriftKind, DriftWatch};
use crate::domain::fields::FieldType;
use crate::domain::mask::is_hash;
use crate::domain::scan::{Next, Scanner, unescaped};
use crate::domain::shape::{Kind, Member, Shape, ShapeId, Shapes};

/// Objects are followed so far. Those of Intuit are at most eight in one another; only the lines of
/// groups could go on for ever.
const MAX_DEPTH: usize = 12;

/// Names of the members on the way to a value.
#[derive(Default)]
struct Place {
    names: [&'static str; MAX_DEPTH],
    depth: usize,
}

impl Place {
    fn above(&self) -> &[&'static str] {
        self.names.get(..self.depth).unwrap_or_default()
    }
}

/// Looks at a record. Text that is no JSON object ends the walk: it cannot have been stored.
pub(super) fn record(watch: &mut DriftWatch, shapes: &'static Shapes, text: &[u8]) {
    let mut walk = Walk {
        watch,
        shapes,
        place: Place::default(),
    };
    let mut scanner = Scanner::new(text);
    if scanner.peek() == b'{' {
        let _ = walk.object(Shapes::ROOT, &mut scanner);
    }
}

struct Walk<'w> {
    watch: &'w mut DriftWatch,
    shapes: &'static Shapes,
    place: Place,
}

impl Walk<'_> {
    fn object(&mut self, id: ShapeId, scanner: &mut Scanner<'_>) -> Option<()> {
        let shape = self.shapes.get(id)?;
        scanner.take(b'{');
        let (mut is_first, mut before) = (true, 0);
        loop {
            match scanner.peek() {
                b'}' => {
                    scanner.step();
                    return Some(());
                }
                b',' if !is_first => {
                    scanner.step();
                    scanner.peek();
                }
                _ if is_first => {}
                _ => return None,
            }
            is_first = false;
            let place = match self.guessed(id, shape, before, scanner) {
                Some(place) => place,
                None => {
                    let name = scanner.string()?;
                    if !scanner.take(b':') {
                        return None;
                    }
                    let Some(place) = position(&shape.members, name) else {
                        self.unknown(name, scanner)?;
                        continue;
                    };
                    let guesses = self.watch.order.get_mut(id)?.get_mut(before)?;
                    *guesses = [place, guesses[0]];
                    place
                }
            };
            before = place + 1;
            self.value(shape.members.get(place)?, scanner)?;
        }
    }

    /// Goes over the name that follows if it is one of the two that stood there last.
    #[inline]
    fn guessed(
        &mut self,
        id: ShapeId,
        shape: &Shape,
        before: usize,
        scanner: &mut Scanner<'_>,
    ) -> Option<usize> {
        let guesses = self.watch.order.get_mut(id)?.get_mut(before)?;
        let [first, second] = *guesses;
        if scanner.exactly(&shape.members.get(first)?.quoted) {
            return Some(first);
        }
        if !scanner.exactly(&shape.members.get(second)?.quoted) {
            return None;
        }
        *guesses = [second, first];
        Some(second)
    }

    fn value(&mut self, member: &'static Member, scanner: &mut Scanner<'_>) -> Option<()> {
        let first = scanner.peek();
        if first == b'n' {
            scanner.plain();
            return Some(());
        }
        match (member.kind, first) {
            (Kind::Scalar(FieldType::Text), b'"') => {
                let text = scanner.string()?;
                if !member.words.is_empty() {
                    self.word(member, text);
                }
                return Some(());
            }
            (Kind::Scalar(FieldType::Text), b't' | b'f' | b'-' | b'0'..=b'9')
            | (Kind::Scalar(FieldType::Numeric), b'-' | b'0'..=b'9')
            | (Kind::Scalar(FieldType::Boolean), b't' | b'f') => {
                scanner.plain();
                return Some(());
            }
            (Kind::Scalar(kind), b'"') => {
                let text = value_text(scanner.string()?);
                if !text.is_some_and(|text| fits(kind, &text)) {
                    self.add(member, DriftKind::Unfit, "text");
                }
                return Some(());
            }
            (Kind::Object(id), b'{') => return self.inside(member, id, scanner),
            (Kind::List(id), b'[') => return self.list(member, id, scanner),
            (Kind::Json, _) => {}
            _ => {
                let found = type_of(scanner);
                self.add(member, DriftKind::Type, found);
            }
        }
        scanner.value().map(drop)
    }

    fn inside(&mut self, member: &Member, id: ShapeId, scanner: &mut Scanner<'_>) -> Option<()> {
        let depth = self.place.depth;
        let Some(name) = self.place.names.get_mut(depth) else {
            return scanner.value().map(drop);
        };
        *name = member.name;
        self.place.depth += 1;
        let walked = self.object(id, scanner);
        self.place.depth = depth;
        walked
    }

    fn list(
        &mut self,
        member: &'static Member,
        id: ShapeId,
        scanner: &mut Scanner<'_>,
    ) -> Option<()> {
        scanner.take(b'[');
        let mut is_first = true;
        while let Next::Item(()) = scanner.element(is_first)? {
            is_first = false;
            match scanner.peek() {
                b'{' => self.inside(member, id, scanner)?,
                _ => {
                    let found = type_of(scanner);
                    self.add(member, DriftKind::Type, found);
                    scanner.value()?;
                }
            }
        }
        Some(())
    }

    fn word(&mut self, member: &'static Member, text: &[u8]) {
        if text.is_empty() || member.words.iter().any(|word| word.as_bytes() == text) {
            return;
        }
        let is_known =
            value_text(text).is_some_and(|text| is_hash(&text) || member.words.contains(&&*text));
        if !is_known {
            self.add(member, DriftKind::Enum, "text");
        }
    }

    fn add(&mut self, member: &'static Member, kind: DriftKind, found: &'static str) {
        let name = member.name.as_bytes();
        self.count(name, kind, found, Some(expected(member.kind)));
    }

    fn unknown(&mut self, name: &[u8], scanner: &mut Scanner<'_>) -> Option<()> {
        let found = type_of(scanner);
        self.count(name, DriftKind::Unknown, found, None);
        scanner.value().map(drop)
    }

    fn count(
        &mut self,
        name: &[u8],
        kind: DriftKind,
        found: &'static str,
        expected: Option<&'static str>,
    ) {
        let sight = Sight {
            above: self.place.above(),
            name,
            kind,
            found,
            expected,
        };
        let watch = &mut *self.watch;
        watch.sights.count(&sight, watch.number, &watch.id);
    }
}

fn position(members: &[Member], name: &[u8]) -> Option<usize> {
    let found = members
        .iter()
        .position(|member| member.name.as_bytes() == name);
    if found.is_some() || !name.contains(&b'\\') {
        return found;
    }
    let name = unescaped(name)?;
    members.iter().position(|member| *member.name == *name)
}

/// Returns a text without its escapes. One that is longer than every number, day, instant and word is
/// none of them, and is not copied: it may be as long as a record.
fn value_text(inner: &[u8]) -> Option<Cow<'_, str>> {
    const MAX_VALUE: usize = 2000;
    match inner.len() > MAX_VALUE {
        true => Some(Cow::Borrowed("")),
        false => unescaped(inner),
    }
}

/// Returns the type of the value that follows, in the words of the table.
fn type_of(scanner: &Scanner<'_>) -> &'static str {
    let mut ahead = scanner.clone();
    match ahead.peek() {
        b'{' => match is_reference(ahead) {
            Some(true) => "reference",
            _ => "object",
        },
        b'[' => "list",
        b't' | b'f' => "boolean",
        b'n' => "null",
        b'"' => {
            let text = ahead.string().and_then(value_text).unwrap_or_default();
            match () {
                () if fits(FieldType::Timestamptz, &text) => "timestamptz",
                () if fits(FieldType::Date, &text) => "date",
                () => "text",
            }
        }
        _ => "numeric",
    }
}

/// Returns true if an object has `value`, and perhaps `name`.
fn is_reference(mut scanner: Scanner<'_>) -> Option<bool> {
    scanner.take(b'{');
    let (mut is_first, mut has_value) = (true, false);
    while let Next::Item((_, name)) = scanner.member(is_first)? {
        is_first = false;
        match name {
            b"value" => has_value = true,
            b"name" => {}
            _ => return Some(false),
        }
        scanner.value()?;
    }
    Some(has_value)
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Scalar(FieldType::Numeric) => "numeric",
        Kind::Scalar(FieldType::Boolean) => "boolean",
        Kind::Scalar(FieldType::Date) => "date",
        Kind::Scalar(FieldType::Timestamptz) => "timestamptz",
        Kind::Scalar(_) => "text",
        Kind::Object(_) => "object",
        Kind::List(_) => "list",
        Kind::Json => "json",
    }
}
