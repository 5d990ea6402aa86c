//! The work whose instructions `make bench-check` counts.
//!
//! A case is a test whose name begins with `instructions_of_`, beside the code that it measures. It is
//! found by that name and runs with all other tests, so that it cannot rot. Only what it does inside of
//! [`measured`] is counted: see `benches/instructions/`.

use std::hint::black_box;

/// Does the work that is counted. The counter knows this function by its name.
#[inline(never)]
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> T {
    // A call in the last place would be a jump, after which nobody returns here.
    black_box(work())
}

/// Returns invoices of about 1.6 KB, in order of time, with properties as QuickBooks sends them.
pub(crate) fn invoices(count: usize) -> Vec<String> {
    (0..count).map(invoice).collect()
}

/// Returns the answer of a query, with these rows.
pub(crate) fn answer_of(entity: &str, rows: &[String]) -> String {
    format!(
        r#"{{"QueryResponse":{{"{entity}":[{}],"startPosition":1,"maxResults":{}}},"time":"2025-06-01T10:20:30.512-07:00"}}"#,
        rows.join(","),
        rows.len()
    )
}

fn invoice(number: usize) -> String {
    let lines: Vec<String> = (1..=4)
        .map(|line| {
            let (quantity, price) = (number % 7 + line, number % 90 + 10 * line);
            format!(
                r#"{{"Id":"{line}","LineNum":{line},"Description":"Hours of work, as agreed with Müller & Söhne","Amount":{}.50,"DetailType":"SalesItemLineDetail","SalesItemLineDetail":{{"ItemRef":{{"value":"{}","name":"Consulting"}},"UnitPrice":{price}.25,"Qty":{quantity},"TaxCodeRef":{{"value":"NON"}}}}}}"#,
                quantity * price,
                number % 40 + 1
            )
        })
        .collect();
    let (minute, second) = (number / 60 % 60, number % 60);
    format!(
        r#"{{"Id":"{}","SyncToken":"{}","domain":"QBO","sparse":false,"MetaData":{{"CreateTime":"2025-05-01T09:00:00-07:00","LastUpdatedTime":"2025-05-01T10:{minute:02}:{second:02}-07:00"}},"DocNumber":"{}","TxnDate":"2025-05-01","DueDate":"2025-05-31","CurrencyRef":{{"value":"USD","name":"United States Dollar"}},"Line":[{}],"CustomerRef":{{"value":"{}","name":"Müller & Söhne \"Nord\""}},"BillAddr":{{"Id":"4","Line1":"12 Ocean Dr.","City":"Half Moon Bay","CountrySubDivisionCode":"CA","PostalCode":"94213"}},"BillEmail":{{"Address":"books{number}@example.com"}},"CustomerMemo":{{"value":"Thank you for your business.\nHave a great day!"}},"TotalAmt":{}.10,"Balance":0,"EmailStatus":"NotSet"}}"#,
        10_000 + number,
        number % 4,
        1000 + number,
        lines.join(","),
        number % 500 + 1,
        number % 900
    )
}
