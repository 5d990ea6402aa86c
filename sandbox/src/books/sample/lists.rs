//! The records of the lists.

use std::fmt::Write as _;

use rand::RngExt as _;

use super::generator::{Generator, Head, SampleRecord, quoted};
use super::tables::{
    self, ACCOUNTS, AGENCIES, CURRENCIES, ITEMS, ItemRow, TAX_RATES, currency_of,
    currency_of_vendor, is_inactive, parent_of, receivable_of,
};
use crate::books::decimal::record_money;
use crate::books::{money, month_name};
use crate::pacific;

impl Generator {
    /// Adds all lists.
    pub(super) fn lists(&mut self) {
        self.accounts();
        self.taxes();
        for row in &ITEMS {
            self.item(row);
        }
        for number in 1..=self.customers {
            self.customer(number);
        }
        for number in 1..=self.vendors {
            self.vendor(number);
        }
        let names = [("Employee", "Noor Haddad"), ("Employee", "Oleg Paredes")];
        for (number, (entity, name)) in names.into_iter().enumerate() {
            let body = format!(r#""DisplayName":"{name}","Active":true"#);
            self.list(entity, number as u32 + 1, &body);
        }
        self.list(
            "Term",
            1,
            r#""Name":"Net 30","Active":true,"Type":"STANDARD","DueDays":30"#,
        );
        self.company();
        self.rates();
    }

    fn list(&mut self, entity: &'static str, id: u32, body: &str) {
        let at = self.start_second - 86_400 + i64::from(id);
        let head = Head::new(id.to_string(), at).json();
        let payload = format!("{{{body},{head}}}");
        self.records.push(SampleRecord { entity, payload });
    }

    fn accounts(&mut self) {
        for (id, name, kind, sub_type, parent, currency) in ACCOUNTS {
            let found = ACCOUNTS.iter().find(|row| row.0 == parent);
            let full = found.map_or_else(|| name.to_owned(), |row| format!("{}:{name}", row.1));
            let mut body = format!(
                r#""Name":{},"SubAccount":{},"FullyQualifiedName":{},"Active":{},"Classification":"{}","AccountType":"{kind}","AccountSubType":"{sub_type}","CurrencyRef":{{"value":"{currency}"}}"#,
                quoted(name),
                parent > 0,
                quoted(&full),
                !name.ends_with(" (deleted)"),
                classification(kind),
            );
            if parent > 0 {
                let _ = write!(body, r#","ParentRef":{{"value":"{parent}"}}"#);
            }
            self.list("Account", id, &body);
        }
    }

    fn taxes(&mut self) {
        for (number, name) in AGENCIES.into_iter().enumerate() {
            let body = format!(r#""DisplayName":"{name}","TaxTrackedOnSales":true"#);
            self.list("TaxAgency", number as u32 + 1, &body);
        }
        for (id, name, agency, percent) in TAX_RATES {
            let (whole, rest) = (percent / 100, percent % 100);
            let body = format!(
                r#""Name":"{name}","Active":true,"RateValue":{whole}.{rest:02},"AgencyRef":{{"value":"{agency}"}},"SpecialTaxType":"NONE","DisplayType":"ReadOnly""#
            );
            self.list("TaxRate", id, &body);
        }
        let rates = r#"{"TaxRateDetail":[{"TaxRateRef":{"value":"1"},"TaxTypeApplicable":"TaxOnAmount","TaxOrder":0},{"TaxRateRef":{"value":"2"},"TaxTypeApplicable":"TaxOnAmount","TaxOrder":0}]}"#;
        let body = format!(
            r#""Name":"Tucson","Active":true,"Taxable":true,"TaxGroup":true,"SalesTaxRateList":{rates},"PurchaseTaxRateList":{{"TaxRateDetail":[]}}"#
        );
        self.list("TaxCode", 1, &body);
    }

    fn item(&mut self, row: &ItemRow) {
        let mut body = format!(
            r#""Name":{name},"Active":true,"FullyQualifiedName":{name},"Taxable":{},"UnitPrice":{},"Type":"{}","IncomeAccountRef":{{"value":"{}"}},"PurchaseCost":{}"#,
            row.is_taxed,
            money(row.price),
            row.kind,
            row.income,
            record_money(row.cost),
            name = quoted(row.name),
        );
        match row.kind {
            "Inventory" => {
                let start = pacific::date(self.start_second);
                let _ = write!(
                    body,
                    r#","TrackQtyOnHand":true,"QtyOnHand":0,"InvStartDate":"{start}","ExpenseAccountRef":{{"value":"29"}},"AssetAccountRef":{{"value":"8"}}"#
                );
            }
            "NonInventory" => {
                body.push_str(r#","TrackQtyOnHand":false,"ExpenseAccountRef":{"value":"34"}"#)
            }
            _ => body.push_str(r#","TrackQtyOnHand":false"#),
        }
        self.list("Item", row.id, &body);
    }

    fn customer(&mut self, number: u32) {
        let word = ["Abebe", "Björn & Co", "D'Arcy", "Elif", "Fischer", "Inés"]
            [self.rng.random_range(0..6)];
        let suffix = if is_inactive(number) {
            " (deleted)"
        } else {
            ""
        };
        let name = quoted(&format!("{word} {number}{suffix}"));
        let mut body = format!(
            r#""DisplayName":{name},"FullyQualifiedName":{name},"Active":{},"Taxable":true,"CurrencyRef":{{"value":"{}"}},"Job":{}"#,
            !is_inactive(number),
            currency_of(number),
            parent_of(number).is_some(),
        );
        if let Some(account) = receivable_of(number) {
            let _ = write!(body, r#","ARAccountRef":{{"value":"{account}"}}"#);
        }
        if let Some(parent) = parent_of(number) {
            let _ = write!(body, r#","ParentRef":{{"value":"{parent}"}},"Level":1"#);
        }
        self.list("Customer", number, &body);
    }

    fn vendor(&mut self, number: u32) {
        let suffix = if is_inactive(number) {
            " (deleted)"
        } else {
            ""
        };
        let name = quoted(&format!("Supplier {number} \"Norte\"{suffix}"));
        let body = format!(
            r#""DisplayName":{name},"Active":{},"CurrencyRef":{{"value":"{}"}}"#,
            !is_inactive(number),
            currency_of_vendor(number),
        );
        self.list("Vendor", number, &body);
    }

    fn company(&mut self) {
        let month = month_name(self.fiscal_month);
        let start = pacific::date(self.start_second);
        let body = format!(
            r#""CompanyName":"Books of Quito & Tucson","LegalName":"Books of Quito & Tucson","CompanyStartDate":"{start}","FiscalYearStartMonth":"{month}","Country":"US","SupportedLanguages":"en","NameValue":[{{"Name":"OfferingSku","Value":"QuickBooks Online Plus"}}]"#
        );
        self.list("CompanyInfo", 1, &body);
        let body = format!(
            r#""AccountingInfoPrefs":{{"UseAccountNumbers":false,"TrackDepartments":false,"ClassTrackingPerTxn":false,"FirstMonthOfFiscalYear":"{month}","TaxYearMonth":"January"}},"CurrencyPrefs":{{"MultiCurrencyEnabled":true,"HomeCurrency":{{"value":"USD"}}}},"ReportPrefs":{{"ReportBasis":"Accrual","CalcAgingReportFromTxnDate":false}}"#
        );
        self.list("Preferences", 1, &body);
    }

    fn rates(&mut self) {
        for (number, (currency, _)) in CURRENCIES.iter().enumerate() {
            let body = format!(r#""Code":"{currency}","Name":"{currency}","Active":true"#);
            self.list("CompanyCurrency", number as u32 + 1, &body);
            for day in (0..self.days).step_by(7) {
                let at = self.start_second + day * 86_400;
                let (date, time) = (pacific::date(at), pacific::format(at));
                let rate = tables::rate(self.seed, currency, day);
                let payload = format!(
                    r#"{{"SourceCurrencyCode":"{currency}","TargetCurrencyCode":"USD","Rate":{rate},"AsOfDate":"{date}","domain":"QBO","sparse":false,"MetaData":{{"LastUpdatedTime":"{time}"}}}}"#
                );
                let entity = "ExchangeRate";
                self.records.push(SampleRecord { entity, payload });
            }
        }
    }
}

fn classification(kind: &str) -> &'static str {
    match kind {
        "Income" | "Other Income" => "Revenue",
        "Cost of Goods Sold" | "Expense" | "Other Expense" => "Expense",
        "Equity" => "Equity",
        "Accounts Payable" | "Credit Card" => "Liability",
        kind if kind.ends_with("Liability") => "Liability",
        _ => "Asset",
    }
}
