//! The reports that Intuit documents (qbo-facts 13.10): one row each.

/// The dates that a report takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateStyle {
    /// `start_date` and `end_date`, both inclusive. Both are always sent: if one is missing, QuickBooks
    /// takes dates of its own choice for both.
    Range,
    /// `report_date`, the day as of which it is made.
    ReportDate,
    /// None.
    Undated,
}

/// Whether a report has a basis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BasisStyle {
    /// It takes none.
    Absent,
    /// It takes one, and recorded answers do not repeat it.
    Taken,
    /// It takes one, and its Header says which.
    Stated,
}

/// The kind of thing that the ids of labels and section heads name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Account,
    Customer,
    Vendor,
    /// Items, classes, ages, or nothing.
    Other,
}

/// A report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReportSpec {
    /// The end of its address, and its name in the Header of an answer.
    pub(crate) route: &'static str,
    /// The name under which Intuit documents it, where that is another one.
    pub(crate) documented: &'static str,
    pub(crate) dates: DateStyle,
    pub(crate) basis: BasisStyle,
    /// The rows of two adjacent ranges are those of both together.
    pub(crate) adds_up: bool,
    pub(crate) subject: Subject,
    /// Names of parameters beside dates, basis and columns, as Intuit's data of the report lists them.
    parameters: &'static str,
    /// The keys of the columns to ask for. QuickBooks leaves out those that a company does not have.
    columns: &'static str,
    /// Groups of columns, one of each of which must be in an answer. Groups are separated by blanks, the columns of
    /// a group by bars.
    needed: &'static str,
}

const fn report(route: &'static str, dates: DateStyle, parameters: &'static str) -> ReportSpec {
    ReportSpec {
        route,
        documented: route,
        dates,
        basis: BasisStyle::Absent,
        adds_up: false,
        subject: Subject::Other,
        parameters,
        columns: "",
        needed: "",
    }
}

const fn range(route: &'static str, parameters: &'static str) -> ReportSpec {
    report(route, DateStyle::Range, parameters)
}

const fn on_a_day(route: &'static str, parameters: &'static str) -> ReportSpec {
    report(route, DateStyle::ReportDate, parameters)
}

impl ReportSpec {
    const fn documented(self, documented: &'static str) -> Self {
        Self { documented, ..self }
    }

    const fn stating_basis(self) -> Self {
        Self {
            basis: BasisStyle::Stated,
            ..self
        }
    }

    const fn taking_basis(self) -> Self {
        Self {
            basis: BasisStyle::Taken,
            ..self
        }
    }

    const fn adding_up(self) -> Self {
        Self {
            adds_up: true,
            ..self
        }
    }

    const fn of(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }

    const fn with_columns(self, columns: &'static str, needed: &'static str) -> Self {
        Self {
            columns,
            needed,
            ..self
        }
    }
}

/// Columns of the general ledger. Accounts with several currencies have home amounts. Without a running
/// balance, the opening balances are empty (qbo-facts 13.22).
const LEDGER_COLUMNS: &str = "tx_date txn_type doc_num name memo split_acc debt_amt credit_amt \
    subt_nat_amount subt_nat_home_amount rbal_nat_amount rbal_nat_home_amount create_date last_mod_date";
const LEDGER_NEEDED: &str = "tx_date txn_type debt_amt|subt_nat_home_amount|subt_nat_amount \
    credit_amt|subt_nat_home_amount|subt_nat_amount rbal_nat_home_amount|rbal_nat_amount";

const JOURNAL_COLUMNS: &str = "tx_date txn_type doc_num name memo account_name debt_amt credit_amt \
    create_date last_mod_date";
const JOURNAL_NEEDED: &str = "tx_date txn_type account_name debt_amt credit_amt";

const LIST_COLUMNS: &str = "tx_date txn_type doc_num is_no_post name memo account_name other_account \
    subt_nat_amount subt_nat_home_amount create_date last_mod_date";
const LIST_NEEDED: &str = "tx_date txn_type";

const SPLIT_COLUMNS: &str = "tx_date txn_type doc_num is_no_post name memo account_name amount nat_amount \
    debt_amt credit_amt create_date last_mod_date";

const STATEMENT: &str =
    "customer vendor item class department qzurl adjusted_gain_loss sort_order summarize_column_by";
const SALES: &str = "customer item class department sort_order summarize_column_by";
const LIST: &str = "bothamount transaction_type docnum source_account_type group_by department name memo \
    customer vendor arpaid appaid printed cleared term payment_method start_moddate end_moddate \
    start_duedate end_duedate start_createdate end_createdate qzurl sort_by sort_order";

/// All reports of Intuit's data of 18 September 2026, in the order of their routes, and the trial balance
/// of French companies.
#[rustfmt::skip]
pub(crate) static REPORTS: &[ReportSpec] = &[
    report("AccountList", DateStyle::Undated, "account_type account_status start_moddate end_moddate sort_by sort_order")
        .documented("AccountListDetail").of(Subject::Account),
    on_a_day("AgedPayableDetail", "vendor term shipvia start_duedate end_duedate custom1 custom2 custom3 num_periods aging_period past_due")
        .documented("APAgingDetail").taking_basis(),
    on_a_day("AgedPayables", "customer vendor department aging_method qzurl sort_order")
        .documented("APAgingSummary").of(Subject::Vendor),
    on_a_day("AgedReceivableDetail", "customer term shipvia start_duedate end_duedate custom1 custom2 custom3 num_periods aging_method aging_period past_due")
        .documented("ARAgingDetail"),
    on_a_day("AgedReceivables", "customer department aging_method qzurl sort_order")
        .documented("ARAgingSummary").of(Subject::Customer),
    range("BalanceSheet", STATEMENT).stating_basis().of(Subject::Account),
    range("CashFlow", "customer vendor item class department sort_order summarize_column_by").of(Subject::Account),
    range("ClassSales", "customer item class department summarize_column_by")
        .documented("SalesByClassSummary").taking_basis().adding_up(),
    on_a_day("CustomerBalance", "customer department arpaid sort_order summarize_column_by")
        .taking_basis().of(Subject::Customer),
    on_a_day("CustomerBalanceDetail", "customer department term shipvia start_duedate end_duedate custom1 arpaid aging_method sort_by sort_order")
        .of(Subject::Customer),
    range("CustomerIncome", "customer vendor class department term sort_order summarize_column_by")
        .taking_basis().adding_up().of(Subject::Customer),
    range("CustomerSales", "customer item class department qzurl sort_order summarize_column_by")
        .documented("SalesByCustomer").taking_basis().adding_up().of(Subject::Customer),
    range("DepartmentSales", SALES).documented("SalesByDepartment").taking_basis().adding_up(),
    range("GeneralLedger", "account source_account account_type source_account_type customer vendor class department sort_by sort_order summarize_column_by")
        .stating_basis().adding_up().of(Subject::Account).with_columns(LEDGER_COLUMNS, LEDGER_NEEDED),
    range("InventoryValuationDetail", "start_svcdate end_svcdate group_by"),
    on_a_day("InventoryValuationSummary", "item qzurl sort_order summarize_column_by"),
    range("ItemSales", "customer item class department start_duedate end_duedate sort_order summarize_column_by")
        .documented("SalesByProduct").taking_basis().adding_up(),
    range("JournalReport", "sort_by sort_order").adding_up().with_columns(JOURNAL_COLUMNS, JOURNAL_NEEDED),
    range("ProfitAndLoss", STATEMENT).stating_basis().adding_up().of(Subject::Account),
    range("ProfitAndLossDetail", "customer vendor employee account account_type class department payment_method adjusted_gain_loss sort_by sort_order")
        .taking_basis().adding_up().of(Subject::Account),
    range("TaxSummary", "agency_id sort_order").taking_basis(),
    range("TransactionList", LIST).adding_up().with_columns(LIST_COLUMNS, LIST_NEEDED),
    range("TransactionListByCustomer", LIST).adding_up().of(Subject::Customer).with_columns(LIST_COLUMNS, LIST_NEEDED),
    range("TransactionListByVendor", LIST).adding_up().of(Subject::Vendor).with_columns(LIST_COLUMNS, LIST_NEEDED),
    range("TransactionListWithSplits", "docnum name payment_method source_account_type transaction_type group_by sort_by sort_order")
        .adding_up().of(Subject::Account).with_columns(SPLIT_COLUMNS, LIST_NEEDED),
    range("TrialBalance", "sort_order summarize_column_by").stating_basis().of(Subject::Account),
    range("TrialBalanceFR", "sort_order summarize_column_by").stating_basis().of(Subject::Account),
    on_a_day("VendorBalance", "vendor department appaid qzurl sort_order summarize_column_by")
        .taking_basis().of(Subject::Vendor),
    on_a_day("VendorBalanceDetail", "vendor department term start_duedate end_duedate appaid sort_by sort_order")
        .taking_basis().of(Subject::Vendor),
    range("VendorExpenses", "customer vendor class department sort_order summarize_column_by")
        .taking_basis().adding_up().of(Subject::Vendor),
];

impl ReportSpec {
    /// Returns the name in the style of our own entities, such as `trial_balance`.
    pub(crate) fn name(&self) -> String {
        let mut name = String::new();
        let mut before_is_small = false;
        for letter in self.route.chars() {
            if letter.is_ascii_uppercase() && before_is_small {
                name.push('_');
            }
            before_is_small = letter.is_ascii_lowercase();
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// Returns the names of the parameters beside dates, basis and columns.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.parameters.split_whitespace()
    }

    /// Returns the columns that are asked for if the caller names none.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.columns.split_whitespace()
    }

    /// Returns groups of columns; one of each group must be in an answer.
    pub(crate) fn needed(
        &self,
    ) -> impl Iterator<Item = impl Iterator<Item = &'static str> + Clone> {
        self.needed.split_whitespace().map(|group| group.split('|'))
    }

    /// Returns true if its answers may have this name. Nothing says which one the French route answers
    /// with.
    pub(crate) fn answers_as(&self, name: &str) -> bool {
        self.route == name || self.route.strip_suffix("FR") == Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_the_29_documented_reports_and_the_french_one() {
        assert_eq!(REPORTS.len(), 30);
        let routes: Vec<&str> = REPORTS.iter().map(|spec| spec.route).collect();
        assert!(routes.is_sorted(), "{routes:?}");
        let renamed = REPORTS.iter().filter(|spec| spec.route != spec.documented);
        let renamed: BTreeSet<&str> = renamed.map(|spec| spec.documented).collect();
        let expected = [
            "APAgingDetail",
            "APAgingSummary",
            "ARAgingDetail",
            "ARAgingSummary",
            "AccountListDetail",
            "SalesByClassSummary",
            "SalesByCustomer",
            "SalesByDepartment",
            "SalesByProduct",
        ];
        assert_eq!(renamed, BTreeSet::from(expected));
    }

    #[test]
    fn each_report_has_its_own_dates_and_parameters() {
        for spec in REPORTS {
            let parameters: Vec<&str> = spec.parameters().collect();
            let distinct: BTreeSet<&str> = parameters.iter().copied().collect();
            assert_eq!(distinct.len(), parameters.len(), "{}", spec.route);
            for ours in [
                "start_date",
                "end_date",
                "report_date",
                "date_macro",
                "accounting_method",
                "columns",
                "minorversion",
            ] {
                assert!(!distinct.contains(ours), "{} {ours}", spec.route);
            }
            // A report of one day has no ranges that could add up.
            let is_range = spec.dates == DateStyle::Range;
            assert!(is_range || !spec.adds_up, "{}", spec.route);
            let asked: BTreeSet<&str> = spec.columns().collect();
            for mut group in spec.needed() {
                assert!(group.all(|key| asked.contains(key)), "{}", spec.route);
            }
        }
        let without_basis = REPORTS
            .iter()
            .filter(|spec| spec.basis == BasisStyle::Absent);
        let without_basis: Vec<&str> = without_basis.map(|spec| spec.route).collect();
        let expected = [
            "AccountList",
            "AgedPayables",
            "AgedReceivableDetail",
            "AgedReceivables",
            "CashFlow",
            "CustomerBalanceDetail",
            "InventoryValuationDetail",
            "InventoryValuationSummary",
            "JournalReport",
            "TransactionList",
            "TransactionListByCustomer",
            "TransactionListByVendor",
            "TransactionListWithSplits",
        ];
        assert_eq!(without_basis, expected);
    }
}
