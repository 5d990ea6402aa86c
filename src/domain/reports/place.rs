//! The account, the transaction and the party that a row is about (qbo-facts 13.22).

use super::answer::{ReportAnswer, ReportRow, RowKind};
use super::registry::{ReportSpec, Subject};

/// The columns of a report that say what a row is about.
#[derive(Debug, Clone)]
pub(crate) struct RowPlaces {
    subject: Subject,
    account: Option<usize>,
    txn_type: Option<usize>,
    txn_date: Option<usize>,
    parties: Vec<usize>,
    /// The labels of leaves are names of the subject, as in statements.
    has_labels: bool,
}

/// The subject of a row. Texts are those of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowPlace<'r> {
    pub(crate) account_id: Option<&'r str>,
    /// The report's own word, which may be translated.
    pub(crate) txn_type: Option<&'r str>,
    /// The id of the record of that type.
    pub(crate) txn_id: Option<&'r str>,
    /// The id of a customer, a vendor or an employee.
    pub(crate) party_id: Option<&'r str>,
}

impl RowPlaces {
    pub(crate) fn of(report: &ReportSpec, answer: &ReportAnswer) -> Self {
        let parties = ["name", "cust_name", "vend_name", "emp_name"];
        let (txn_type, txn_date) = (answer.column("txn_type"), answer.column("tx_date"));
        Self {
            subject: report.subject,
            account: answer.column("account_name"),
            txn_type,
            txn_date,
            parties: parties
                .iter()
                .filter_map(|key| answer.column(key))
                .collect(),
            has_labels: txn_type.is_none() && txn_date.is_none(),
        }
    }

    /// Returns what a row is about. The id of the transaction stands in the cell of its type; where a
    /// report has none there, in that of its date.
    pub(crate) fn row<'r>(&self, row: &'r ReportRow) -> RowPlace<'r> {
        let id = |at: usize| row.cells.get(at)?.id.as_deref();
        let label = id(0).filter(|_| self.has_labels && row.kind != RowKind::Summary);
        let section = || {
            row.path
                .iter()
                .rev()
                .find_map(|section| section.id.as_deref())
        };
        let subject = label.or_else(section);
        let of = |wanted: Subject| subject.filter(|_| self.subject == wanted);
        let is_data = row.kind == RowKind::Data;
        let text = |at: usize| row.cells.get(at).map(|cell| cell.value.as_str());
        let party = self
            .parties
            .iter()
            .find_map(|at| id(*at))
            .filter(|_| is_data);
        RowPlace {
            account_id: self.account.and_then(id).or_else(|| of(Subject::Account)),
            txn_type: self
                .txn_type
                .and_then(text)
                .filter(|text| is_data && !text.is_empty()),
            txn_id: [self.txn_type, self.txn_date]
                .into_iter()
                .flatten()
                .find_map(id)
                .filter(|_| is_data),
            party_id: party
                .or_else(|| of(Subject::Customer))
                .or_else(|| of(Subject::Vendor)),
        }
    }
}
