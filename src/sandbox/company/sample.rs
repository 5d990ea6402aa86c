//! Invented records, each a pure function of seed, entity and index, with the traps seen in real ones (qbo-facts 9):
//! decimals as written, 19-digit ids, lines without ids, missing and unknown fields, odd characters, hierarchy,
//! inactive names with a suffix, several records in one second.

use std::fmt::Write as _;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Body, CompanySize, Row, pacific, scatter, tie};

/// 2024-01-01T00:00:00Z.
const FIRST_SECOND: i64 = 1_704_067_200;
/// Two years.
const SPAN_S: i64 = 731 * DAY_S;
const DAY_S: i64 = 86_400;
/// Records are created up to this long before the end, so that later edits fit in.
const EDIT_ROOM_S: i64 = 60 * DAY_S;

/// Every tenth record of a list is inactive.
const INACTIVE_EVERY: u32 = 10;
/// Ids above 2^53 occur in real companies.
const LONG_ID_EVERY: u32 = 97;
const FIRST_LONG_ID: u64 = 5_000_000_000_000_500_000;

const GIVEN: [&str; 16] = [
    "Ana", "Björn", "Chioma", "D'Arcy", "Elif", "Farid", "Grace", "Hiro", "Inés", "João", "Keiko", "Luis", "Maeve",
    "Nuria", "Oleg", "Priya",
];
const FAMILY: [&str; 16] = [
    "Abebe",
    "Borja",
    "Castillo",
    "Dvořák",
    "Espinoza",
    "Fischer",
    "Guerrero",
    "Haddad",
    "Ivanova",
    "Jaramillo",
    "Kim",
    "Lindqvist",
    "Mendoza",
    "Nakamura",
    "O'Neill",
    "Paredes",
];
const TRADE: [&str; 16] = [
    "Bakery",
    "Carpentry & Sons",
    "Dental Care",
    "Electrics",
    "Flower's Corner",
    "Garage",
    "Hardware",
    "Imports, Inc.",
    "Jewellers",
    "Kitchens",
    "Landscaping",
    "Motors",
    "Nursery",
    "Optics",
    "Printing 🖨",
    "Roofing \"A1\"",
];
const GOODS: [&str; 12] = [
    "Trimming",
    "Gravel 3/4\"",
    "Pump & Hose",
    "Soil",
    "Sod",
    "Fountain",
    "Design",
    "Maintenance",
    "Lighting",
    "Rocks",
    "Café table",
    "Installation",
];
const CITIES: [(&str, &str); 6] = [
    ("Quito", "P"),
    ("Guayaquil", "G"),
    ("Bayshore", "CA"),
    ("Tucson", "AZ"),
    ("St. John's", "NL"),
    ("Half Moon Bay", "CA"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Customer,
    Item,
    Invoice,
}

/// One entity of a sample company.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    kind: Kind,
    seed: u64,
    size: CompanySize,
}

/// All entities of a sample company.
pub(super) fn all(seed: u64, size: CompanySize) -> Vec<Sample> {
    [Kind::Customer, Kind::Item, Kind::Invoice].map(|kind| Sample { kind, seed, size }).into()
}

impl Sample {
    pub fn entity(&self) -> &'static str {
        match self.kind {
            Kind::Customer => "Customer",
            Kind::Item => "Item",
            Kind::Invoice => "Invoice",
        }
    }

    pub fn count(&self) -> u32 {
        match self.kind {
            Kind::Customer => self.size.customers,
            Kind::Item => self.size.items,
            Kind::Invoice => self.size.invoices,
        }
    }

    /// The keys of a record.
    pub fn row(&self, index: u32) -> Row {
        let Times { created, updated, .. } = self.times(index);
        let id = id(index);
        let is_active = self.kind == Kind::Invoice || !is_inactive(index);
        Row { tie: tie(&id), id: id.into(), updated, created, is_active, body: Body::Sample(index) }
    }

    /// Appends the record's JSON.
    pub fn write_payload(&self, index: u32, out: &mut String) {
        let mut record = Draft { rng: self.rng(index, 1), times: self.times(index), index, size: self.size, out };
        match self.kind {
            Kind::Customer => record.customer(),
            Kind::Item => record.item(),
            Kind::Invoice => record.invoice(),
        }
    }

    fn rng(&self, index: u32, stream: u64) -> Pcg64Mcg {
        Pcg64Mcg::seed_from_u64(scatter(
            self.seed ^ scatter((self.kind as u64) << 40 | stream << 32 | u64::from(index)),
        ))
    }

    fn times(&self, index: u32) -> Times {
        // An import saves several records in one second: one group of eight in ten shares its first record's.
        let is_import = (index / 8).is_multiple_of(10);
        let placed_at = if is_import { index - index % 8 } else { index };
        let step = (SPAN_S - EDIT_ROOM_S) / i64::from(self.count().max(1));
        let mut rng = self.rng(placed_at, 0);
        let created = FIRST_SECOND + step * i64::from(placed_at) + rng.random_range(0..step.max(1));
        let mut rng = self.rng(index, 2);
        let is_edited = !is_import && rng.random_range(0..4) == 0;
        let updated = if is_edited { created + rng.random_range(1..EDIT_ROOM_S) } else { created };
        // Derived fields change the time without the token (qbo-facts 3.5).
        let sync_token = if is_edited { rng.random_range(0..3) } else { 0 };
        Times { created, updated, sync_token }
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    created: i64,
    updated: i64,
    sync_token: u32,
}

fn id(index: u32) -> String {
    match (index + 1).is_multiple_of(LONG_ID_EVERY) {
        true => (FIRST_LONG_ID + u64::from(index)).to_string(),
        false => (index + 1).to_string(),
    }
}

fn is_inactive(index: u32) -> bool {
    index % INACTIVE_EVERY == INACTIVE_EVERY - 1
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Cents as QBO writes them: two decimals, but a bare zero.
fn money(cents: u64) -> String {
    if cents == 0 { "0".to_owned() } else { format!("{}.{:02}", cents / 100, cents % 100) }
}

/// A record being written.
struct Draft<'o> {
    rng: Pcg64Mcg,
    times: Times,
    index: u32,
    size: CompanySize,
    out: &'o mut String,
}

impl Draft<'_> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn pick<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.rng.random_range(0..list.len())]
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

    fn head(&mut self) {
        let Times { created, updated, sync_token } = self.times;
        let _ = write!(
            self.out,
            r#""domain":"QBO","sparse":false,"Id":"{}","SyncToken":"{sync_token}","MetaData":{{"CreateTime":"{}","LastUpdatedTime":"{}"}}"#,
            id(self.index),
            pacific::format(created),
            pacific::format(updated),
        );
    }

    fn address(&mut self, key: &str, full: bool) {
        let number = self.rng.random_range(1..9999);
        let (city, state) = CITIES[self.rng.random_range(0..CITIES.len())];
        let street = self.pick(&FAMILY);
        let line = quoted(&format!("{number} {street} St."));
        let _ = write!(self.out, r#","{key}":{{"Id":"{}""#, number + 10_000);
        if full {
            let code = self.rng.random_range(10_000..99_999);
            let _ = write!(
                self.out,
                r#","Line1":{line},"City":{},"CountrySubDivisionCode":"{state}","PostalCode":"{code}","Lat":"INVALID","Long":"INVALID""#,
                quoted(city)
            );
        }
        self.push("}");
    }

    /// Long, odd or absent, as people write them.
    fn note(&mut self) -> Option<String> {
        match self.rng.random_range(0..200) {
            0 => Some("Lorem \"quoted\" ipsum, 50% off; ".repeat(125)),
            1 => Some("line one\r\nline two\ttabbed".to_owned()),
            2 => Some("שלום 🙂 naïve café — 你好".to_owned()),
            3 => Some(r"back\slash and 'quotes'".to_owned()),
            4..40 => Some(format!("Ordered by {} on the phone", self.pick(&GIVEN))),
            _ => None,
        }
    }

    fn customer(&mut self) {
        let index = self.index;
        let (given, family, trade) = (self.pick(&GIVEN), self.pick(&FAMILY), self.pick(&TRADE));
        let suffix = if is_inactive(index) { " (deleted)" } else { "" };
        let is_job = index % INACTIVE_EVERY == 3;
        let display = format!("{family} {trade} {}{suffix}", index + 1);
        let full = if is_job { format!("Parent {}:{display}", index - 3) } else { display.clone() };
        let balance = money(self.rng.random_range(0..2_000_000) / 10 * u64::from(!index.is_multiple_of(3)));
        let _ = write!(self.out, r#"{{"Taxable":{},"Job":{is_job},"BillWithParent":{is_job}"#, index.is_multiple_of(2));
        if is_job {
            // No name: the reference alone must do.
            let _ = write!(self.out, r#","ParentRef":{{"value":"{}"}},"Level":1"#, id(index - 3));
        }
        if !self.one_in(5) {
            let full_address = !self.one_in(6);
            self.address("BillAddr", full_address);
        }
        let _ = write!(
            self.out,
            r#","Balance":{balance},"BalanceWithJobs":{balance},"CurrencyRef":{{"value":"USD","name":"United States Dollar"}},"PreferredDeliveryMethod":"Print","IsProject":false,"ClientEntityId":"0","#
        );
        self.head();
        let (display, full) = (quoted(&display), quoted(&full));
        let _ = write!(
            self.out,
            r#","GivenName":{},"FamilyName":{},"FullyQualifiedName":{full},"CompanyName":{},"DisplayName":{display},"PrintOnCheckName":{display},"Active":{}"#,
            quoted(given),
            quoted(family),
            quoted(&format!("{family} {trade}")),
            !is_inactive(index)
        );
        let _ = write!(self.out, r#","V4IDPseudonym":"{:032x}""#, u128::from(scatter(index.into())) << 16);
        if !self.one_in(3) {
            let number = self.rng.random_range(1_000_000..9_999_999);
            let _ = write!(self.out, r#","PrimaryPhone":{{"FreeFormNumber":"(593) {number}"}}"#);
        }
        if !self.one_in(4) {
            let _ = write!(self.out, r#","PrimaryEmailAddr":{{"Address":"contact{}@example.com"}}"#, index + 1);
        }
        if let Some(note) = self.note() {
            let _ = write!(self.out, r#","Notes":{}"#, quoted(&note));
        }
        self.push("}");
    }

    fn item(&mut self) {
        let index = self.index;
        let suffix = if is_inactive(index) { " (deleted)" } else { "" };
        let good = self.pick(&GOODS);
        let name = quoted(&format!("{good} {}{suffix}", index + 1));
        let kind = ["Service", "Inventory", "NonInventory", "Category"][index as usize % 4];
        let _ = write!(
            self.out,
            r#"{{"Name":{name},"Active":{},"FullyQualifiedName":{name},"Taxable":{}"#,
            !is_inactive(index),
            index.is_multiple_of(3)
        );
        if let Some(description) = self.note() {
            let _ = write!(self.out, r#","Description":{}"#, quoted(&description));
        }
        if kind != "Category" {
            // A category has neither price nor account.
            let price = money(self.rng.random_range(0..500_000));
            let _ = write!(
                self.out,
                r#","UnitPrice":{price},"PurchaseCost":0,"IncomeAccountRef":{{"value":"79","name":"Sales of Product Income"}}"#
            );
        }
        let _ = write!(self.out, r#","Type":"{kind}","TrackQtyOnHand":{}"#, kind == "Inventory");
        if kind == "Inventory" {
            let quantity = self.rng.random_range(0..90_000_000);
            let _ = write!(
                self.out,
                r#","QtyOnHand":{}.{:07},"InvStartDate":"{}","Sku":"SKU-{index:05}""#,
                quantity / 10_000_000,
                quantity % 10_000_000,
                pacific::date(self.times.created)
            );
        }
        self.push(",");
        self.head();
        self.push("}");
    }

    fn invoice(&mut self) {
        let is_void = self.one_in(60);
        self.push(r#"{"AllowIPNPayment":false,"AllowOnlinePayment":false,"AllowOnlineCreditCardPayment":false,"AllowOnlineACHPayment":false,"#);
        self.head();
        // Numbers repeat, and some were typed by hand.
        let number = 1000 + self.index % 3701;
        let _ = write!(
            self.out,
            r#","CustomField":[{{"DefinitionId":"1","Name":"Crew #","Type":"StringType"}}],"DocNumber":"{number}","TxnDate":"{}","CurrencyRef":{{"value":"USD","name":"United States Dollar"}},"LinkedTxn":[],"Line":["#,
            pacific::date(self.times.created)
        );
        let total = self.lines(is_void);
        let tax = if is_void { 0 } else { total * 8 / 100 };
        let customer = self.rng.random_range(0..self.size.customers.max(1));
        let name = self.pick(&FAMILY);
        let _ = write!(
            self.out,
            r#"],"TxnTaxDetail":{{"TotalTax":{}}},"CustomerRef":{{"value":"{}","name":{}}},"CustomerMemo":{{"value":"Thank you for your business and have a great day!"}}"#,
            money(tax),
            id(customer),
            quoted(name)
        );
        self.address("BillAddr", true);
        if !self.one_in(3) {
            self.address("ShipAddr", true);
        }
        let (total, due) = (money(total + tax), pacific::date(self.times.created + 30 * DAY_S));
        let balance = if self.one_in(2) { "0" } else { &total };
        let _ = write!(
            self.out,
            r#","SalesTermRef":{{"value":"3"}},"DueDate":"{due}","TotalAmt":{total},"ApplyTaxAfterDiscount":false,"PrintStatus":"NeedToPrint","EmailStatus":"NotSet","Balance":{balance}"#
        );
        let note = if is_void { Some("Voided".to_owned()) } else { self.note() };
        if let Some(note) = note {
            let _ = write!(self.out, r#","PrivateNote":{}"#, quoted(&note));
        }
        self.push("}");
    }

    /// One to three sales lines and their subtotal, which has neither id nor number. Returns the sum in cents.
    fn lines(&mut self, is_void: bool) -> u64 {
        let mut sum = 0;
        let count = self.rng.random_range(1..4u32);
        for line in 1..=count {
            let price = self.rng.random_range(100..60_000u64);
            let quantity = self.rng.random_range(1..13u64);
            let amount = if is_void { 0 } else { price * quantity / 2 };
            sum += amount;
            let good = self.pick(&GOODS);
            let item = self.rng.random_range(0..self.size.items.max(1));
            let description = quoted(&format!("{good} for the week"));
            let half = if quantity % 2 == 0 { "" } else { ".5" };
            let _ = write!(
                self.out,
                r#"{{"Id":"{line}","LineNum":{line},"Description":{description},"Amount":{},"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{{"ItemRef":{{"value":"{}","name":{}}},"UnitPrice":{},"Qty":{}{half},"TaxCodeRef":{{"value":"NON"}}}}}},"#,
                money(amount),
                id(item),
                quoted(good),
                money(price),
                quantity / 2,
            );
        }
        let _ = write!(
            self.out,
            r#"{{"Amount":{},"DetailType":"SubTotalLineDetail","SubTotalLineDetail":{{}}}}"#,
            money(sum)
        );
        sum
    }
}
