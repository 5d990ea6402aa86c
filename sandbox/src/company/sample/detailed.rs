//! Drafts of customers, items and invoices, in more detail than a list of fields can give.

use std::fmt::Write as _;

use rand::RngExt;

use super::draft::{Draft, money, quoted};
use super::numbering::is_job;
use super::template::Placeholder;
use crate::entities::Words;

impl Draft {
    pub(super) fn customer(&mut self) {
        let is_job = is_job(self.number);
        let (given, family, trade) = (
            self.word(Words::Given),
            self.word(Words::Family),
            self.word(Words::Trade),
        );
        let company = quoted(&format!("{family} {trade}"));
        let balance =
            money(self.rng.random_range(0..200_000) * u64::from(!self.number.is_multiple_of(3)));
        let is_taxable = self.number.is_multiple_of(2);
        let _ = write!(
            self.out,
            r#"{{"Taxable":{is_taxable},"Job":{is_job},"BillWithParent":{is_job}"#
        );
        if is_job {
            // Real references to a parent have no name either.
            self.push(r#","ParentRef":{"value":""#);
            self.placeholder(Placeholder::ParentId);
            self.push(r#""},"Level":1"#);
        }
        if !self.one_in(5) {
            self.push(r#","BillAddr":"#);
            let is_full = !self.one_in(6);
            self.address(is_full);
        }
        let _ = write!(
            self.out,
            r#","Balance":{balance},"BalanceWithJobs":{balance},"CurrencyRef":{{"value":"USD","name":"United States Dollar"}},"PreferredDeliveryMethod":"Print","IsProject":false,"ClientEntityId":"0","#
        );
        self.common_members();
        let (given, last) = (quoted(given), quoted(family));
        let _ = write!(
            self.out,
            r#","GivenName":{given},"FamilyName":{last},"FullyQualifiedName":""#
        );
        if is_job {
            self.push("Parent ");
            self.placeholder(Placeholder::ParentNumber);
            self.push(":");
        }
        self.unique_name(&company);
        let _ = write!(self.out, r#","CompanyName":{company},"DisplayName":""#);
        self.unique_name(&company);
        self.push(r#","PrintOnCheckName":""#);
        self.unique_name(&company);
        self.push(r#","Active":"#);
        self.placeholder(Placeholder::Active);
        let _ = write!(
            self.out,
            r#","V4IDPseudonym":"{:032x}""#,
            self.rng.random_range(1..u64::MAX)
        );
        if !self.one_in(3) {
            let number = self.rng.random_range(1_000_000..9_999_999);
            let _ = write!(
                self.out,
                r#","PrimaryPhone":{{"FreeFormNumber":"(593) {number}"}}"#
            );
        }
        if !self.one_in(4) {
            self.push(r#","PrimaryEmailAddr":{"Address":"contact"#);
            self.placeholder(Placeholder::Number);
            self.push(r#"@example.com"}"#);
        }
        if let Some(note) = self.note() {
            let _ = write!(self.out, r#","Notes":{}"#, quoted(&note));
        }
        self.push("}");
    }

    pub(super) fn item(&mut self) {
        let good = quoted(self.word(Words::Goods));
        let kind = ["Service", "Inventory", "NonInventory", "Category"][self.number as usize % 4];
        self.push(r#"{"Name":""#);
        self.unique_name(&good);
        self.push(r#","Active":"#);
        self.placeholder(Placeholder::Active);
        self.push(r#","FullyQualifiedName":""#);
        self.unique_name(&good);
        let _ = write!(self.out, r#","Taxable":{}"#, self.number.is_multiple_of(3));
        if let Some(description) = self.note() {
            let _ = write!(self.out, r#","Description":{}"#, quoted(&description));
        }
        if kind != "Category" {
            // Categories have neither a price nor an account.
            let price = money(self.rng.random_range(0..500_000));
            let _ = write!(
                self.out,
                r#","UnitPrice":{price},"PurchaseCost":0,"IncomeAccountRef":{{"value":"79","name":"Sales:Sales of Product Income"}}"#
            );
        }
        let _ = write!(
            self.out,
            r#","Type":"{kind}","TrackQtyOnHand":{}"#,
            kind == "Inventory"
        );
        if kind == "Inventory" {
            let quantity = self.rng.random_range(0..90_000_000);
            let (whole, rest) = (quantity / 10_000_000, quantity % 10_000_000);
            let _ = write!(
                self.out,
                r#","QtyOnHand":{whole}.{rest:07},"InvStartDate":"#
            );
            self.quoted_placeholder(Placeholder::CreatedDate);
            self.push(r#","Sku":"SKU-"#);
            self.placeholder(Placeholder::Number);
            self.push("\"");
        }
        self.push(",");
        self.common_members();
        self.push("}");
    }

    pub(super) fn invoice(&mut self) {
        let is_void = self.number % 60 == 37;
        self.push(r#"{"AllowIPNPayment":false,"AllowOnlinePayment":false,"AllowOnlineCreditCardPayment":false,"AllowOnlineACHPayment":false,"#);
        self.common_members();
        self.push(r#","CustomField":[{"DefinitionId":"1","Name":"Crew #","Type":"StringType"}"#);
        if self.has_optional_parts {
            self.more_custom_fields();
        }
        self.push("]");
        if self.has_optional_parts {
            self.invoice_link();
        }
        self.push(r#","DocNumber":"#);
        self.quoted_placeholder(Placeholder::DocNumber);
        self.push(r#","TxnDate":"#);
        self.quoted_placeholder(Placeholder::CreatedDate);
        self.push(r#","CurrencyRef":{"value":"USD","name":"United States Dollar"},"LinkedTxn":[],"Line":["#);
        let total = self.invoice_lines(is_void);
        let tax = if is_void { 0 } else { total * 8 / 100 };
        let _ = write!(
            self.out,
            r#"],"TxnTaxDetail":{{"TotalTax":{}}},"CustomerRef":{{"value":"#,
            money(tax)
        );
        self.quoted_placeholder(Placeholder::CustomerId);
        let name = quoted(self.word(Words::Family));
        let _ = write!(
            self.out,
            r#","name":{name}}},"CustomerMemo":{{"value":"Thank you for your business and have a great day!"}},"BillAddr":"#
        );
        self.address(true);
        if !self.one_in(3) {
            self.push(r#","ShipAddr":"#);
            self.address(true);
        }
        self.push(r#","SalesTermRef":{"value":"3"},"DueDate":"#);
        self.quoted_placeholder(Placeholder::DueDate);
        let total = money(total + tax);
        let balance = if self.one_in(2) { "0" } else { &total };
        let _ = write!(
            self.out,
            r#","TotalAmt":{total},"ApplyTaxAfterDiscount":false,"PrintStatus":"NeedToPrint","EmailStatus":"NotSet","Balance":{balance}"#
        );
        let note = if is_void {
            Some("Voided".to_owned())
        } else {
            self.note()
        };
        if let Some(note) = note {
            let _ = write!(self.out, r#","PrivateNote":{}"#, quoted(&note));
        }
        self.push("}");
    }

    /// Writes the custom fields of some invoices that are only answered if asked for (qbo-facts 13.4).
    fn more_custom_fields(&mut self) {
        if self.number % 5 == 2 {
            for (id, name) in [(2, "Plot"), (3, "Soil"), (4, "Gate code"), (5, "Season")] {
                let _ = write!(
                    self.out,
                    r#",{{"DefinitionId":"{id}","Name":"{name}","Type":"StringType","StringValue":"{name} {}"}}"#,
                    self.number
                );
            }
        }
    }

    /// Writes the link to pay some invoices, which is only answered if asked for (qbo-facts 13.5).
    fn invoice_link(&mut self) {
        if self.number % 4 == 1 {
            self.push(r#","InvoiceLink":"https://connect.example.com/pay/"#);
            self.placeholder(Placeholder::Number);
            self.push("\"");
        }
    }

    /// Writes one to three sales lines and their subtotal, which has neither id nor number. Returns
    /// the sum in cents.
    fn invoice_lines(&mut self, is_void: bool) -> u64 {
        let mut sum = 0;
        let count = self.rng.random_range(1..4u32);
        for line in 1..=count {
            let price = self.rng.random_range(100..60_000u64);
            let quantity = self.rng.random_range(1..13u64);
            let amount = if is_void { 0 } else { price * quantity / 2 };
            sum += amount;
            let good = self.word(Words::Goods);
            let item = self.rng.random_range(1..40);
            let description = quoted(&format!("{good} for the week"));
            let half = if quantity % 2 == 0 { "" } else { ".5" };
            let _ = write!(
                self.out,
                r#"{{"Id":"{line}","LineNum":{line},"Description":{description},"Amount":{},"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{{"ItemRef":{{"value":"{item}","name":{}}},"UnitPrice":{},"Qty":{}{half},"TaxCodeRef":{{"value":"NON"}}}}}},"#,
                money(amount),
                quoted(good),
                money(price),
                quantity / 2,
            );
        }
        let subtotal = money(sum);
        let _ = write!(
            self.out,
            r#"{{"Amount":{subtotal},"DetailType":"SubTotalLineDetail","SubTotalLineDetail":{{}}}}"#
        );
        sum
    }
}
