//! Errors that are planted in a company with books: the records say one thing, and the reports
//! another. The reports are right.

use super::books::Planted;
use super::change::{Outcome, with_changes};
use super::fields::Fields;
use super::misread::{
    earlier, more_amount, negated, other_account, other_rate, voided, without_line, without_tax,
};
use super::records::{Change, Company};
use crate::books::Extra;
use crate::entities::{self, Entity};
use crate::hash::hash;

/// What an error does to a record.
#[derive(Clone, Copy)]
enum Effect {
    /// The record is not served.
    Lost,
    /// The record is served a second time, with another id.
    Doubled,
    /// The record is served although it was deleted.
    Undeleted,
    /// The record is served with this change, which is wrong.
    Served(fn(&mut Fields)),
    /// The record was changed, and is served as it was before.
    Stale(fn(&mut Fields)),
    /// No record shows the posting.
    ReportOnly,
}

/// A kind of error.
pub(crate) struct Plant {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// The entities whose records it can concern.
    entities: &'static [&'static str],
    /// A text that the record must hold.
    needs: &'static str,
    effect: Effect,
}

const SALES: &[&str] = &["Invoice", "SalesReceipt"];
const LOST: &[&str] = &[
    "Invoice",
    "SalesReceipt",
    "Payment",
    "Bill",
    "BillPayment",
    "Purchase",
    "JournalEntry",
    "TaxPayment",
];
const ALL: &[&str] = &[
    "Invoice",
    "SalesReceipt",
    "Payment",
    "Bill",
    "BillPayment",
    "Purchase",
    "JournalEntry",
];

/// The kinds of errors.
pub(crate) const PLANTS: &[Plant] = &[
    Plant {
        name: "lost",
        description: "the record is not served",
        entities: LOST,
        needs: "",
        effect: Effect::Lost,
    },
    Plant {
        name: "doubled",
        description: "the record is served a second time, with another id",
        entities: &["Bill", "Purchase", "SalesReceipt", "JournalEntry"],
        needs: "",
        effect: Effect::Doubled,
    },
    Plant {
        name: "undeleted",
        description: "the record is served, although it was deleted",
        entities: &["Purchase", "JournalEntry", "SalesReceipt"],
        needs: "",
        effect: Effect::Undeleted,
    },
    Plant {
        name: "stale",
        description: "the record is served as it was before its amount changed",
        entities: &["Invoice", "Bill", "Purchase"],
        needs: "",
        effect: Effect::Stale(more_amount),
    },
    Plant {
        name: "unvoided",
        description: "the record is served as it was before it was voided",
        entities: &["SalesReceipt", "Purchase"],
        needs: "",
        effect: Effect::Stale(voided),
    },
    Plant {
        name: "moved",
        description: "the record is served with its date before it was moved by a month or so",
        entities: ALL,
        needs: "",
        effect: Effect::Stale(earlier),
    },
    Plant {
        name: "wrong-sign",
        description: "the amounts of the record have the wrong sign",
        entities: &["Invoice", "Bill", "Purchase", "SalesReceipt"],
        needs: "",
        effect: Effect::Served(negated),
    },
    Plant {
        name: "wrong-account",
        description: "a line of the record has another account",
        entities: &["Bill", "Purchase"],
        needs: "AccountBasedExpenseLineDetail",
        effect: Effect::Served(other_account),
    },
    Plant {
        name: "lost-line",
        description: "a line of the record is missing",
        entities: &["Invoice", "Bill", "SalesReceipt"],
        needs: "",
        effect: Effect::Served(without_line),
    },
    Plant {
        name: "lost-tax",
        description: "the record has no tax",
        entities: SALES,
        needs: "TaxLine",
        effect: Effect::Served(without_tax),
    },
    Plant {
        name: "lost-link",
        description: "a payment does not say what it settles",
        entities: &["Payment", "BillPayment"],
        needs: "LinkedTxn",
        effect: Effect::Served(without_line),
    },
    Plant {
        name: "wrong-rate",
        description: "the record has another exchange rate",
        entities: &["Invoice", "Bill", "Payment", "JournalEntry"],
        needs: "ExchangeRate",
        effect: Effect::Served(other_rate),
    },
    Plant {
        name: "report-only",
        description: "reports show a payroll check that no record shows",
        entities: &[],
        needs: "",
        effect: Effect::ReportOnly,
    },
];

impl Company {
    /// Plants an error. Without an id, the record follows from the company's seed and the number of
    /// errors so far. Returns what was planted.
    ///
    /// # Errors
    /// The reason, if the company has no books, or no record fits.
    pub(crate) fn plant(
        &mut self,
        kind: &str,
        entity: Option<&str>,
        id: Option<&str>,
    ) -> Result<Planted, String> {
        let plant = PLANTS.iter().find(|plant| plant.name == kind);
        let plant = plant.ok_or_else(|| {
            let names: Vec<_> = PLANTS.iter().map(|plant| plant.name).collect();
            format!("'{kind}' is not one of {}", names.join(", "))
        })?;
        if self.books.is_none() {
            return Err("the company has no books".to_owned());
        }
        let planted = match plant.effect {
            Effect::ReportOnly => self.plant_extra(),
            _ => {
                let (entity, id) = self.pick(plant, entity, id)?;
                self.plant_record(plant, entity, &id)
                    .map_err(|error| error.to_string())?
            }
        };
        if let Some(books) = &mut self.books {
            books.saved.planted.push(planted.clone());
        }
        Ok(planted)
    }

    /// Returns what was planted so far.
    pub(crate) fn planted(&self) -> Vec<Planted> {
        self.books
            .as_ref()
            .map(|books| books.saved.planted.clone())
            .unwrap_or_default()
    }

    /// Picks the record of an error: one that has an amount, and in which no error is yet.
    fn pick(
        &self,
        plant: &Plant,
        entity: Option<&str>,
        id: Option<&str>,
    ) -> Result<(&'static Entity, String), String> {
        let books = self.books.as_ref().map(|books| &books.saved);
        let number = books.map_or(0, |books| hash(books.seed ^ books.planted.len() as u64));
        let first = number as usize % plant.entities.len().max(1);
        let names = plant.entities[first..]
            .iter()
            .chain(&plant.entities[..first]);
        for name in names.filter(|name| entity.is_none_or(|asked| asked == **name)) {
            let Some(found) = entities::find(name) else {
                continue;
            };
            let is_planted = |id: &str| {
                books.is_some_and(|books| {
                    let mut planted = books.planted.iter();
                    planted.any(|planted| {
                        let is_it = planted.id == id || planted.other.as_deref() == Some(id);
                        planted.entity == **name && is_it
                    })
                })
            };
            let fits = |payload: &str| {
                payload.contains(plant.needs)
                    && !payload.contains("\"Voided\"")
                    && has_amount(payload)
            };
            let rows = self
                .collection(name)
                .into_iter()
                .flat_map(|rows| rows.rows());
            let mut fitting: Vec<String> = rows
                .filter(|row| id.is_none_or(|id| *row.id() == *id))
                .filter(|row| !is_planted(&row.id()) && fits(&row.payload()))
                .map(|row| row.id().into_owned())
                .collect();
            fitting.sort();
            if !fitting.is_empty() {
                let at = hash(number) as usize % fitting.len();
                return Ok((found, fitting.swap_remove(at)));
            }
        }
        Err(format!("no record fits {}", plant.name))
    }

    fn plant_record(
        &mut self,
        plant: &Plant,
        entity: &'static Entity,
        id: &str,
    ) -> Outcome<Planted> {
        let (_, payload) = self.find_record(entity.name, id)?;
        let mut truth = Some(payload.clone());
        let mut other = None;
        match plant.effect {
            Effect::Lost => {
                if let Some(rows) = self.collections.get_mut(entity.name) {
                    rows.forget(id);
                }
            }
            Effect::Doubled => {
                let twin = self.take_book_id();
                let row = with_changes(entity, &payload, |record| record.set_text("Id", &twin))?;
                self.apply(entity, &twin, Change::Saved(row));
                self.set_truth(entity, &twin, None);
                other = Some(twin);
            }
            Effect::Undeleted => truth = None,
            Effect::Served(change) => {
                let row = with_changes(entity, &payload, change)?;
                self.apply(entity, id, Change::Saved(row));
            }
            Effect::Stale(change) => {
                truth = Some(with_changes(entity, &payload, change)?.payload.into());
            }
            Effect::ReportOnly => {}
        }
        let date = truth.as_ref().unwrap_or(&payload);
        let date = Fields::parse(date).and_then(|record| record.text("TxnDate"));
        if !matches!(plant.effect, Effect::Doubled) {
            self.set_truth(entity, id, truth);
        }
        Ok(Planted {
            kind: plant.name.to_owned(),
            entity: entity.name.to_owned(),
            id: id.to_owned(),
            date: date.unwrap_or_default(),
            other,
            items: items_of(&payload),
        })
    }

    /// Adds a payroll check that no record shows, on the date of the last one.
    fn plant_extra(&mut self) -> Planted {
        let id = self.take_book_id();
        let mut date = chrono::NaiveDate::default();
        if let Some(books) = &mut self.books {
            date = books
                .saved
                .extras
                .last()
                .map(|extra| extra.date)
                .unwrap_or_default();
            books.saved.extras.push(Extra {
                id: id.clone(),
                label: "Payroll Check".to_owned(),
                date,
                number: "DD".to_owned(),
                memo: "Payroll Check".to_owned(),
                name: None,
                lines: vec![("36".to_owned(), 123_456), ("1".to_owned(), -123_456)],
                stock: None,
            });
            books.change();
        }
        Planted {
            kind: "report-only".to_owned(),
            entity: String::new(),
            id,
            date: date.to_string(),
            other: None,
            items: Vec::new(),
        }
    }

    fn set_truth(&mut self, entity: &'static Entity, id: &str, truth: Option<String>) {
        if let Some(books) = &mut self.books {
            books.set_truth(entity.name, id, truth);
        }
    }

    fn take_book_id(&mut self) -> String {
        let Some(books) = &mut self.books else {
            return String::new();
        };
        books.saved.next_id += 1;
        books.saved.next_id.to_string()
    }
}

/// Returns the ids of the items in the lines of a record.
fn items_of(payload: &str) -> Vec<String> {
    let rest = payload.split("\"ItemRef\":{\"value\":\"").skip(1);
    rest.filter_map(|rest| rest.split('"').next().map(str::to_owned))
        .collect()
}

/// Returns whether a record has an amount that is not zero.
fn has_amount(payload: &str) -> bool {
    let digits = |rest: &str| rest.starts_with(|c: char| ('1'..='9').contains(&c));
    payload
        .split("Amount\":")
        .skip(1)
        .any(|rest| digits(rest) || rest.starts_with("0.0"))
}
