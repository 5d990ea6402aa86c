//! The drafts of an entity's records.

use std::fmt::Write as _;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::template::{Placeholder, Template};
use super::words;
use crate::entities::{Entity, Field, Identity, Value, Words};

/// Writes draft `number` of an entity. Properties that depend on a record's index depend on the
/// draft's number in the same way.
pub(super) fn write(
    entity: &'static Entity,
    rng: Pcg64Mcg,
    number: u32,
    has_optional_parts: bool,
) -> Template {
    let mut draft = Draft {
        rng,
        number,
        has_optional_parts,
        out: String::new(),
    };
    match (entity.name, entity.identity) {
        ("Customer", _) => draft.customer(),
        ("Item", _) => draft.item(),
        ("Invoice", _) => draft.invoice(),
        (_, Identity::Wrapped) => {
            draft.push(r#"{"Invoice":"#);
            draft.object(entity.fields);
            draft.push("}");
        }
        _ => draft.object(entity.fields),
    }
    Template::split(&draft.out)
}

/// A draft that is being written.
pub(super) struct Draft {
    pub rng: Pcg64Mcg,
    pub number: u32,
    /// Whether documents have parts that are only answered if asked for.
    pub has_optional_parts: bool,
    pub out: String,
}

/// Returns a text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Formats cents as QuickBooks does: with two decimals, or as a bare zero.
pub(super) fn money(cents: u64) -> String {
    if cents == 0 {
        "0".to_owned()
    } else {
        format!("{}.{:02}", cents / 100, cents % 100)
    }
}

impl Draft {
    pub(super) fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub(super) fn placeholder(&mut self, placeholder: Placeholder) {
        self.out.push(placeholder.mark());
    }

    /// Returns a random word of a kind.
    pub(super) fn word(&mut self, kind: Words) -> &'static str {
        let words = words::of_kind(kind);
        words[self.rng.random_range(0..words.len())]
    }

    /// Returns true with a probability of one in `count`.
    pub(super) fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

    /// Writes an object with these fields.
    fn object(&mut self, fields: &[Field]) {
        self.push("{");
        let mut is_first = true;
        for field in fields {
            if field.is_optional && self.one_in(3) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                self.push(",");
            }
            if !field.name.is_empty() {
                let _ = write!(self.out, r#""{}":"#, field.name);
            }
            self.value(&field.value);
        }
        self.push("}");
    }

    /// Writes the value of a field.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Json(json) => self.push(json),
            Value::OneOf(texts) => {
                let text = quoted(texts[self.rng.random_range(0..texts.len())]);
                self.push(&text);
            }
            Value::Name(kind) => {
                let word = quoted(self.word(*kind));
                self.push("\"");
                self.unique_name(&word);
            }
            Value::Word(kind) => {
                let text = quoted(self.word(*kind));
                self.push(&text);
            }
            Value::Money => {
                let amount = money(
                    self.rng.random_range(0..400_000) * u64::from(!self.number.is_multiple_of(7)),
                );
                self.push(&amount);
            }
            Value::Quantity => {
                let quantity = self.rng.random_range(1..90_000_000u64);
                let _ = write!(
                    self.out,
                    "{}.{:07}",
                    quantity / 10_000_000,
                    quantity % 10_000_000
                );
            }
            Value::Flag => {
                let flag = self.one_in(2).to_string();
                self.push(&flag);
            }
            Value::Active => self.placeholder(Placeholder::Active),
            Value::DocNumber => self.quoted_placeholder(Placeholder::DocNumber),
            Value::Date => self.quoted_placeholder(Placeholder::CreatedDate),
            Value::DueDate => self.quoted_placeholder(Placeholder::DueDate),
            Value::Phone => {
                let number = self.rng.random_range(1_000_000..9_999_999);
                let _ = write!(self.out, r#"{{"FreeFormNumber":"(593) {number}"}}"#);
            }
            Value::Email => {
                self.push(r#"{"Address":"contact"#);
                self.placeholder(Placeholder::Number);
                self.push(r#"@example.com"}"#);
            }
            Value::Address => self.address(true),
            Value::Note => {
                let note = self
                    .note()
                    .unwrap_or_else(|| self.word(Words::Goods).to_owned());
                self.push(&quoted(&note));
            }
            Value::Ref(count) => {
                let (id, name) = (
                    self.rng.random_range(1..=*count),
                    quoted(self.word(Words::Family)),
                );
                let _ = write!(self.out, r#"{{"value":"{id}","name":{name}}}"#);
            }
            Value::AccountRef(count) => {
                let id = self.rng.random_range(1..=*count);
                let (parent, name) = (self.word(Words::Trade), self.word(Words::Goods));
                let name = quoted(&format!("{parent}:{name}"));
                let _ = write!(self.out, r#"{{"value":"{id}","name":{name}}}"#);
            }
            Value::BareRef(count) => {
                let id = self.rng.random_range(1..=*count);
                let _ = write!(self.out, r#"{{"value":"{id}"}}"#);
            }
            Value::Lines(detail) => self.lines(detail),
            Value::Head => self.common_members(),
            Value::HeadWithoutId => {
                self.push(r#""domain":"QBO","sparse":false,"MetaData":{"LastUpdatedTime":""#);
                self.placeholder(Placeholder::Updated);
                self.push("\"}");
            }
            Value::RateDate => self.quoted_placeholder(Placeholder::RateDate),
            Value::RateSource => self.quoted_placeholder(Placeholder::RateSource),
        }
    }

    /// Writes a placeholder as a JSON string.
    pub(super) fn quoted_placeholder(&mut self, placeholder: Placeholder) {
        self.push("\"");
        self.placeholder(placeholder);
        self.push("\"");
    }

    /// Writes the rest of a JSON string, its closing quote included: a name that no other record
    /// has. `name` is a JSON string with its quotes.
    pub(super) fn unique_name(&mut self, name: &str) {
        self.push(&name[1..name.len() - 1]);
        self.push(" ");
        self.placeholder(Placeholder::Number);
        self.placeholder(Placeholder::Suffix);
        self.push("\"");
    }

    /// Writes the members that all records have, `Id` and `MetaData` among them.
    pub(super) fn common_members(&mut self) {
        self.push(r#""domain":"QBO","sparse":false,"Id":""#);
        self.placeholder(Placeholder::Id);
        self.push(r#"","SyncToken":""#);
        self.placeholder(Placeholder::SyncToken);
        self.push(r#"","MetaData":{"CreateTime":""#);
        self.placeholder(Placeholder::Created);
        self.push(r#"","LastUpdatedTime":""#);
        self.placeholder(Placeholder::Updated);
        self.push("\"}");
    }

    /// Writes an address: all its members, or only its id.
    pub(super) fn address(&mut self, is_full: bool) {
        let number = self.rng.random_range(1..9999);
        let _ = write!(self.out, r#"{{"Id":"{}""#, number + 10_000);
        if is_full {
            let street = quoted(&format!("{number} {} St.", self.word(Words::Family)));
            let city = quoted(self.word(Words::City));
            let code = self.rng.random_range(10_000..99_999);
            let _ = write!(
                self.out,
                r#","Line1":{street},"City":{city},"CountrySubDivisionCode":"AZ","PostalCode":"{code}","Lat":"INVALID","Long":"INVALID""#
            );
        }
        self.push("}");
    }

    /// Returns a note as people write them: long, odd or absent.
    pub(super) fn note(&mut self) -> Option<String> {
        match self.number {
            0 => Some("Lorem \"quoted\" ipsum, 50% off; ".repeat(125)),
            61 => Some("line one\r\nline two\ttabbed".to_owned()),
            122 => Some("שלום 🙂 naïve café — 你好".to_owned()),
            183 => Some(r"back\slash and 'quotes'".to_owned()),
            number if number % 6 == 2 => Some(format!(
                "Ordered by {} on the phone",
                self.word(Words::Given)
            )),
            _ => None,
        }
    }

    /// Writes one or two lines of a detail type.
    fn lines(&mut self, detail: &str) {
        self.push("[");
        for line in 1..=self.rng.random_range(1..3u32) {
            if line > 1 {
                self.push(",");
            }
            let amount = money(self.rng.random_range(100..60_000));
            let account = self.rng.random_range(1..90);
            let good = quoted(self.word(Words::Goods));
            let _ = write!(
                self.out,
                r#"{{"Id":"{line}","LineNum":{line},"Description":{good},"Amount":{amount},"DetailType":"{detail}","{detail}":{{"AccountRef":{{"value":"{account}"}},"TaxCodeRef":{{"value":"NON"}}}}}}"#
            );
        }
        self.push("]");
    }
}
