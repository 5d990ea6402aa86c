//! Writing one draft of a record.

use std::fmt::Write as _;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::template::{Gap, Template};
use super::words::words;
use crate::entities::{Entity, Field, Identity, Value, Words};

/// Draft number `number` of an entity. What depends on a record's index depends on the number in
/// the same way.
pub(super) fn draft(entity: &'static Entity, rng: Pcg64Mcg, number: u32) -> Template {
    let mut draft = Draft {
        rng,
        number,
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
    Template::cut(&draft.out)
}

pub(super) struct Draft {
    pub rng: Pcg64Mcg,
    pub number: u32,
    pub out: String,
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Cents as QBO writes them: two decimals, but a bare zero.
pub(super) fn money(cents: u64) -> String {
    if cents == 0 {
        "0".to_owned()
    } else {
        format!("{}.{:02}", cents / 100, cents % 100)
    }
}

impl Draft {
    pub fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub fn gap(&mut self, gap: Gap) {
        self.out.push(gap.mark());
    }

    pub fn word(&mut self, kind: Words) -> &'static str {
        let words = words(kind);
        words[self.rng.random_range(0..words.len())]
    }

    pub fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

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
                self.own_name(&word);
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
            Value::Active => self.gap(Gap::Active),
            Value::DocNumber => self.in_quotes(Gap::DocNumber),
            Value::Date => self.in_quotes(Gap::CreatedDate),
            Value::DueDate => self.in_quotes(Gap::DueDate),
            Value::Phone => {
                let number = self.rng.random_range(1_000_000..9_999_999);
                let _ = write!(self.out, r#"{{"FreeFormNumber":"(593) {number}"}}"#);
            }
            Value::Email => {
                self.push(r#"{"Address":"contact"#);
                self.gap(Gap::Number);
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
            Value::BareRef(count) => {
                let id = self.rng.random_range(1..=*count);
                let _ = write!(self.out, r#"{{"value":"{id}"}}"#);
            }
            Value::Lines(detail) => self.lines(detail),
            Value::Head => self.head(),
            Value::HeadWithoutId => {
                self.push(r#""domain":"QBO","sparse":false,"MetaData":{"LastUpdatedTime":""#);
                self.gap(Gap::Updated);
                self.push("\"}");
            }
            Value::RateDate => self.in_quotes(Gap::RateDate),
            Value::RateSource => self.in_quotes(Gap::RateSource),
        }
    }

    pub fn in_quotes(&mut self, gap: Gap) {
        self.push("\"");
        self.gap(gap);
        self.push("\"");
    }

    /// The rest of a text in quotes: a name, itself in quotes, that no other record has.
    pub fn own_name(&mut self, name: &str) {
        self.push(&name[1..name.len() - 1]);
        self.push(" ");
        self.gap(Gap::Number);
        self.gap(Gap::Suffix);
        self.push("\"");
    }

    pub fn head(&mut self) {
        self.push(r#""domain":"QBO","sparse":false,"Id":""#);
        self.gap(Gap::Id);
        self.push(r#"","SyncToken":""#);
        self.gap(Gap::SyncToken);
        self.push(r#"","MetaData":{"CreateTime":""#);
        self.gap(Gap::Created);
        self.push(r#"","LastUpdatedTime":""#);
        self.gap(Gap::Updated);
        self.push("\"}");
    }

    pub fn address(&mut self, is_full: bool) {
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

    /// Long, odd or absent, as people write them.
    pub fn note(&mut self) -> Option<String> {
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

    /// A line or two of a detail type.
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
