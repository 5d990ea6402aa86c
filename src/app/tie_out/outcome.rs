//! A comparison as the report that users get.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::comparison::{Comparison, REPORTS_ALONE};
use crate::books::tie_out::{AccountTieOut, Cause, PartyKind, PartyTieOut, TransactionDifference};
use crate::domain::cause::UNEXPLAINED;
use crate::domain::{
    AccountBooks, BooksStatus, BooksVerdict, CauseAmount, CompanyBooks, MonthBooks, PartyBooks,
    TransactionBooks, TransactionLine,
};

impl Comparison<'_> {
    /// Returns the sum of the unexplained amounts of all accounts, without their signs. Where these agree, it is that
    /// of customers and vendors, or else of transactions. It may be zero although transactions have no cause, because a
    /// document under another customer changes no account: whether something is unexplained is said by the verdict.
    pub(super) fn unexplained(&self) -> String {
        let findings = &self.findings;
        let of_accounts = findings.accounts.iter().map(AccountTieOut::unexplained);
        let of_parties = findings.parties.iter().map(PartyTieOut::unexplained);
        let unnamed = findings.differences.iter().filter(|it| it.cause.is_none());
        let of_transactions = unnamed.flat_map(|it| it.signed_lines().map(|(_, _, amount)| amount));
        let sums: [Decimal; 3] = [
            of_accounts.map(|amount| amount.abs()).sum(),
            of_parties.map(|amount| amount.abs()).sum(),
            of_transactions.map(|amount| amount.abs()).sum(),
        ];
        let sum = sums.into_iter().find(|sum| !sum.is_zero());
        text(sum.unwrap_or_default())
    }

    /// Returns whether a cause explains whatever differs.
    pub(super) fn is_explained(&self) -> bool {
        let findings = &self.findings;
        let (mut accounts, mut parties) = (findings.accounts.iter(), findings.parties.iter());
        let mut differences = findings.differences.iter();
        accounts.all(|it| it.unexplained().is_zero())
            && parties.all(|it| it.unexplained().is_zero())
            && differences.all(|it| it.cause.is_some())
    }

    /// Returns the report of the company.
    pub(super) fn outcome(&self, realm_id: &str) -> CompanyBooks {
        let unverified = self.reports.unverified();
        let status = match (&unverified[..], self.is_explained()) {
            ([], true) => BooksStatus::Ok,
            ([only], true) if only == REPORTS_ALONE => BooksStatus::ReportsAgree,
            _ => BooksStatus::Different,
        };
        CompanyBooks {
            realm_id: realm_id.to_owned(),
            basis: self.reports.basis.name(),
            as_of: self.findings.end,
            from: self.findings.from,
            currency: self.reports.currency(),
            accounts: self.findings.accounts.iter().map(account).collect(),
            parties: self
                .findings
                .parties
                .iter()
                .map(|one| self.party(one))
                .collect(),
            months: months(&self.findings.differences),
            transactions: self
                .findings
                .differences
                .iter()
                .map(|found| transaction(found, self.findings.file_of(found)))
                .collect(),
            unverified,
            requests: self.reports.requests(),
            status,
            verdict: BooksVerdict::Different,
        }
        .judged()
    }

    /// A report has no name of those of whom nothing is open in it: then it is that of the records.
    fn party(&self, party: &PartyTieOut) -> PartyBooks {
        let (kind, entity) = match party.kind {
            PartyKind::Customer => ("customer", "Customer"),
            PartyKind::Vendor => ("vendor", "Vendor"),
        };
        let lists = &self.findings.landed.lists;
        let known = || lists.party_name(entity, &party.id).unwrap_or_default();
        PartyBooks {
            kind,
            id: party.id.clone(),
            name: match &*party.name {
                "" => known().to_owned(),
                name => name.to_owned(),
            },
            report: text(party.report),
            records: text(party.records),
            difference: text(party.difference()),
            causes: causes(&party.causes),
            unexplained: text(party.unexplained()),
        }
    }
}

/// Returns an amount with at least two decimals.
fn text(amount: Decimal) -> String {
    let amount = amount.normalize();
    match amount.scale() {
        0..=2 => format!("{amount:.2}"),
        _ => amount.to_string(),
    }
}

fn causes(causes: &BTreeMap<Cause, Decimal>) -> Vec<CauseAmount> {
    let named = causes.iter().map(|(cause, amount)| CauseAmount {
        cause: cause.name(),
        amount: text(*amount),
    });
    named.collect()
}

fn account(account: &AccountTieOut) -> AccountBooks {
    AccountBooks {
        account_id: account.account_id.clone(),
        name: account.name.clone(),
        report: text(account.report),
        records: text(account.records),
        difference: text(account.difference()),
        causes: causes(&account.causes),
        unexplained: text(account.unexplained()),
    }
}

fn transaction(difference: &TransactionDifference, file: Option<&str>) -> TransactionBooks {
    let lines = difference.signed_lines().map(|(date, account, amount)| {
        let account_id = account.to_owned();
        TransactionLine {
            account_id,
            date,
            amount: text(amount),
        }
    });
    TransactionBooks {
        entity: difference.entity.clone(),
        id: difference.id.clone(),
        date: difference.date,
        cause: difference.cause.map_or(UNEXPLAINED, Cause::name),
        file: file.map(str::to_owned),
        lines: lines.collect(),
    }
}

/// The difference of an account in a month: its parts by cause, and what has none.
#[derive(Default)]
struct Month {
    causes: BTreeMap<Cause, Decimal>,
    unexplained: Decimal,
}

fn months(differences: &[TransactionDifference]) -> Vec<MonthBooks> {
    let mut months: BTreeMap<(String, &str), Month> = BTreeMap::new();
    for difference in differences {
        for (day, account, amount) in difference.signed_lines() {
            let month = months.entry((month_of(day), account)).or_default();
            match difference.cause {
                Some(cause) => *month.causes.entry(cause).or_default() += amount,
                None => month.unexplained += amount,
            }
        }
    }
    let listed = months.into_iter().filter_map(|((month, account), found)| {
        let Month {
            causes: mut parts,
            unexplained,
        } = found;
        parts.retain(|_, amount| !amount.is_zero());
        let difference = parts.values().sum::<Decimal>() + unexplained;
        (!parts.is_empty() || !unexplained.is_zero()).then(|| MonthBooks {
            month,
            account_id: account.to_owned(),
            difference: text(difference),
            causes: causes(&parts),
            unexplained: text(unexplained),
        })
    });
    listed.collect()
}

fn month_of(day: NaiveDate) -> String {
    day.format("%Y-%m").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::domain::cause::{Remedy, remedy};

    #[test]
    fn every_cause_has_the_remedy_that_its_row_of_the_documents_names() {
        let page = include_str!("../../../docs/books.md");
        // The advice of each cause; "as above" is that of the row above it.
        let (mut advised, mut above) = (BTreeMap::new(), "");
        for row in page.lines().filter(|row| row.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [names, _, advice] = cells[..] else {
                continue;
            };
            if advice != "as above" {
                above = advice;
            }
            for name in names.split(", ") {
                advised.insert(name.trim_matches('`'), above);
            }
        }
        for cause in Cause::ALL {
            let name = cause.name();
            let words = match remedy(name) {
                Remedy::Nothing => "nothing",
                Remedy::Sync => "`qbo-rs sync`",
                Remedy::Repair => "`qbo-rs verify ENTITY --deep --repair`",
                Remedy::CompareAgain => "compare again",
                Remedy::EndsWithOthers => "look at the other causes first",
                Remedy::Look => "see `books.gl_unbalanced`",
            };
            let advice = advised
                .get(name)
                .unwrap_or_else(|| panic!("{name} has no row"));
            assert!(advice.starts_with(words), "{name}: {advice}");
        }
    }

    #[test]
    fn amounts_have_two_decimals_and_lose_none() {
        for (amount, expected) in [
            ("0", "0.00"),
            ("-5", "-5.00"),
            ("12.5", "12.50"),
            ("12.3400", "12.34"),
            ("1.005", "1.005"),
        ] {
            assert_eq!(text(Decimal::from_str_exact(amount).unwrap()), expected);
        }
    }
}
