//! The books of a company, and what differs between its records and its books.
//!
//! The books follow from the records. Where an error was planted, the books follow from what the
//! record should say.

use std::sync::Arc;

use super::books::{Books, SavedBooks};
use super::collection;
use super::records::{Change, Company};
use crate::books::{self, Ledger};
use crate::entities;

/// The rows and columns of a report may have this many cells (facts/reports.md D).
const MAX_CELLS: usize = 400_000;

/// Highest number of transactions of a company with books, because each record is kept as text.
pub(crate) const MAX_BOOKS: u32 = 200_000;

impl Company {
    /// Generates a company with double-entry books, which has about this many transactions. The
    /// same seed and count always make the same company.
    pub fn generate_with_books(seed: u64, count: u32) -> Self {
        let sample = books::generate(seed, count);
        let mut company = Self::default();
        let mut next_id = 1;
        for record in sample.records {
            company.add_generated(record.entity, &record.payload, None);
            next_id += 1;
        }
        for (entity, payload, at) in sample.deleted {
            company.add_generated(entity, &payload, Some(at));
            next_id += 1;
        }
        next_id += sample.extras.len() as u64;
        company.books = Some(Books::new(SavedBooks {
            seed,
            // No transaction of the sample has an id as high as this.
            next_id: next_id + 1000,
            extras: sample.extras,
            ..SavedBooks::default()
        }));
        company
    }

    fn add_generated(&mut self, entity: &'static str, payload: &str, deleted_at: Option<i64>) {
        let found = entities::find(entity);
        let read = found.and_then(|entity| Some((entity, collection::read(entity, payload)?)));
        let Some((entity, row)) = read else {
            // The tests check that every generated record is one.
            return log::error!("sandbox: a generated record is not a record of {entity}");
        };
        let id = row.id.to_string();
        self.apply(entity, &id, Change::Saved(row));
        if let Some(at) = deleted_at {
            self.apply(entity, &id, Change::Removed { at });
        }
    }

    /// Returns the books, or `None` if the company has none.
    pub(crate) fn ledger(&self) -> Option<Arc<Ledger>> {
        let books = self.books.as_ref()?;
        if let Some(frozen) = &books.frozen {
            return Some(frozen.clone());
        }
        let mut ledger = books.ledger.lock();
        Some(
            ledger
                .get_or_insert_with(|| Arc::new(self.post(books)))
                .clone(),
        )
    }

    fn post(&self, books: &Books) -> Ledger {
        let records = |entity: &str, visit: &mut dyn FnMut(&str)| {
            let truth = books.saved.truth.get(entity);
            for payload in truth.iter().flat_map(|truth| truth.values()).flatten() {
                visit(payload);
            }
            for row in self
                .collection(entity)
                .into_iter()
                .flat_map(|rows| rows.rows())
            {
                if truth.is_none_or(|truth| !truth.contains_key(&*row.id())) {
                    visit(&row.payload());
                }
            }
        };
        Ledger::build(&records, &books.saved.extras)
    }

    /// Lets reports show the books as they are now, whatever changes, or the present books again.
    pub(crate) fn set_lag(&mut self, lags: bool) {
        let ledger = self.ledger();
        if let Some(books) = &mut self.books {
            books.frozen = ledger.filter(|_| lags);
        }
    }

    /// Returns the highest number of cells of a report.
    pub(crate) fn max_report_cells(&self) -> usize {
        let books = self.books.as_ref();
        books
            .and_then(|books| books.saved.max_cells)
            .unwrap_or(MAX_CELLS)
    }

    pub(crate) fn set_max_report_cells(&mut self, cells: usize) {
        if let Some(books) = &mut self.books {
            books.saved.max_cells = Some(cells);
        }
    }
}
