//! Answers as public programs have recorded or described them from 2016 to 2026 (facts/reports.md C to
//! G), rebuilt with invented names and figures.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;

fn parsed(body: &Value) -> ParsedReport {
    parse_report(body.to_string().as_bytes()).unwrap()
}

fn header(name: &str) -> Value {
    json!({
        "Time": "2031-02-03T04:05:06-08:00", "ReportName": name, "ReportBasis": "Accrual",
        "StartPeriod": "2031-01-01", "EndPeriod": "2031-01-31", "Currency": "USD",
        "Option": [{"Name": "NoReportData", "Value": "false"}],
    })
}

/// Columns with their keys in the metadata, as in answers of 2026.
fn keyed(columns: &[(&str, &str)]) -> Value {
    let columns = columns.iter().map(|(key, kind)| {
        json!({"ColTitle": key.to_uppercase(), "ColType": kind, "MetaData": [{"Name": "ColKey", "Value": key}]})
    });
    json!({"Column": columns.collect::<Vec<_>>()})
}

fn cells(texts: &[&str]) -> Value {
    json!({"ColData": texts.iter().map(|text| json!({"value": text})).collect::<Vec<_>>()})
}

fn report(name: &str, columns: Value, rows: Value) -> Value {
    json!({"Header": header(name), "Columns": columns, "Rows": {"Row": rows}})
}

fn money(text: &str) -> Option<Decimal> {
    Some(Decimal::from_str_exact(text).unwrap())
}

fn statement_columns() -> Value {
    keyed(&[("account", "Account"), ("total", "Money")])
}

/// Rows as short texts: labels of the path, kind, and cells.
fn lines(answer: &ReportAnswer) -> Vec<String> {
    let line = |row: &ReportRow| {
        let path: Vec<&str> = row
            .path
            .iter()
            .map(|section| section.label.as_str())
            .collect();
        let cells: Vec<&str> = row.cells.iter().map(|cell| cell.value.as_str()).collect();
        format!("{} {:?} {}", path.join("/"), row.kind, cells.join("|"))
    };
    answer.rows.iter().map(line).collect()
}

#[test]
fn amounts_of_a_parent_account_stand_in_its_header() {
    let body = report(
        "ProfitAndLoss",
        statement_columns(),
        json!([
            {
                "type": "Section", "group": "Income",
                "Header": cells(&["Income", ""]),
                "Rows": {"Row": [{
                    "type": "Section",
                    "Header": {"ColData": [{"value": "Repairs", "id": "901"}, {"value": "10.00"}]},
                    "Rows": {"Row": [
                        {"type": "Data", "ColData": [{"value": "Bikes", "id": "902"}, {"value": "-3.00"}]},
                    ]},
                    "Summary": cells(&["Total Repairs", "7.00"]),
                }]},
                "Summary": cells(&["Total Income", "7.00"]),
            },
            // Without Rows, with a blank amount.
            {"type": "Section", "group": "Expenses", "Header": cells(&["Costs", ""]), "Summary": cells(&["Total Costs", ""])},
            // A line that the report computes.
            {"type": "Section", "group": "NetIncome", "Summary": cells(&["Net Income", "7.00"])},
        ]),
    );
    let ParsedReport { answer, .. } = parsed(&body);
    assert_eq!(
        lines(&answer),
        [
            "Income Header Income|",
            "Income/Repairs Header Repairs|10.00",
            "Income/Repairs Data Bikes|-3.00",
            "Income/Repairs Summary Total Repairs|7.00",
            "Income Summary Total Income|7.00",
            "Costs Header Costs|",
            "Costs Summary Total Costs|",
            "Net Income Summary Net Income|7.00",
        ]
    );
    assert_eq!(answer.rows[2].path[0].group.as_deref(), Some("Income"));
    assert_eq!(answer.rows[2].path[1].group, None);
    assert_eq!(answer.rows[2].path[1].id.as_deref(), Some("901"));
    assert_eq!(answer.rows[7].path[0].group.as_deref(), Some("NetIncome"));
    let places = RowPlaces::of(find_report("ProfitAndLoss").unwrap(), &answer);
    let accounts: Vec<_> = answer
        .rows
        .iter()
        .map(|row| places.row(row).account_id)
        .collect();
    assert_eq!(
        accounts,
        [
            None,
            Some("901"),
            Some("902"),
            Some("901"),
            None,
            None,
            None,
            None
        ]
    );
    assert_eq!(answer.rows[5].amount(1), None);
    assert_eq!(answer.rows[1].amount(1), money("10.00"));
    assert_eq!(
        (answer.basis, answer.currency.as_deref()),
        (Some(Basis::Accrual), Some("USD"))
    );
    assert_eq!(answer.end, "2031-01-31".parse().ok());
}

#[test]
fn a_leaf_is_what_has_cells_and_no_parts_whatever_its_type_says() {
    // A trial balance of 2016: no types of leaves, no keys, and titles that are translated.
    let columns = json!({"Column": [
        {"ColTitle": "", "ColType": "Account"}, {"ColTitle": "Debe", "ColType": "Money"},
        {"ColTitle": "Haber", "ColType": "Money"},
    ]});
    let body = report(
        "TrialBalance",
        columns,
        json!([
            {"ColData": [{"id": "35", "value": "Bank"}, {"value": "12.50"}, {"value": ""}]},
            {"type": "Section", "ColData": [{"id": "36", "value": "Sales (deleted)"}, {"value": ""}, {"value": "12.50"}]},
            {"type": "Section", "group": "GrandTotal", "Summary": cells(&["TOTAL", "12.50", "12.50"])},
        ]),
    );
    let ParsedReport { answer, .. } = parsed(&body);
    let keys: Vec<&str> = answer
        .columns
        .iter()
        .map(|column| column.key.as_str())
        .collect();
    assert_eq!(keys, ["account", "debt_amt", "credit_amt"]);
    let kinds: Vec<RowKind> = answer.rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [RowKind::Data, RowKind::Data, RowKind::Summary]);
    let credit = answer.column("credit_amt").unwrap();
    assert_eq!(answer.rows[0].cell(credit), None);
    assert_eq!(answer.rows[1].amount(credit), money("12.50"));
    assert_eq!(answer.rows[2].path[0].group.as_deref(), Some("GrandTotal"));
    let places = RowPlaces::of(find_report("TrialBalance").unwrap(), &answer);
    assert_eq!(places.row(&answer.rows[1]).account_id, Some("36"));
    assert_eq!(places.row(&answer.rows[2]).account_id, None);
}

#[test]
fn a_column_is_named_by_its_key_its_type_or_its_title() {
    let columns = json!({"Column": [
        {"ColTitle": "Date", "ColType": "tx_date"},
        {"ColTitle": "Transaction type", "ColType": "String", "MetaData": [{"Name": "ColKey", "Value": "txn_type"}]},
        {"ColTitle": "1 - 30", "ColType": "Money"},
        {"ColTitle": "TOTAL", "ColType": "Money", "MetaData": [{"Name": "StartDate", "Value": "2031-01-01"}]},
        {"ColTitle": "", "ColType": "Customer"},
        {"ColTitle": "North", "ColType": "Money", "MetaData": [{"Name": "ColKey", "Value": "5"}], "Columns": {"Column": [
            {"ColTitle": "Qty", "ColType": "quantity"}, {"ColTitle": "Amount", "ColType": "amount"},
        ]}},
        {"ColType": "Money"}, {"ColType": "Money"},
    ]});
    let ParsedReport { answer, .. } = parsed(&report("ItemSales", columns, json!([])));
    let keys: Vec<&str> = answer
        .columns
        .iter()
        .map(|column| column.key.as_str())
        .collect();
    let expected = [
        "tx_date",
        "txn_type",
        "1 - 30",
        "total",
        "customer",
        "5.quantity",
        "5.amount",
        "money",
        "money_2",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn the_general_ledger_has_opening_rows_transactions_and_movements() {
    let keys = [
        ("tx_date", "Date"),
        ("txn_type", "String"),
        ("name", "String"),
        ("split_acc", "String"),
        ("subt_nat_amount", "Money"),
        ("rbal_nat_amount", "Money"),
    ];
    let body = report(
        "GeneralLedger",
        keyed(&keys),
        json!([{
            "type": "Section",
            "Header": {"ColData": [{"value": "Bank", "id": "35"}, {"value": ""}, {"value": ""}]},
            "Rows": {"Row": [
                {"type": "Data", "ColData": [
                    {"value": "Beginning Balance"}, {"value": ""}, {"value": ""}, {"value": ""}, {"value": ""}, {"value": "5.00"},
                ]},
                {"type": "Data", "ColData": [
                    {"value": "2031-01-09"}, {"value": "Payment", "id": "77"}, {"value": "", "id": ""},
                    {"value": "", "id": "84"}, {"value": ".00"}, {"value": "225.0"},
                ]},
            ]},
            "Summary": cells(&["Total for Bank", "", "", "", "0.00", ""]),
        }]),
    );
    let ParsedReport { answer, .. } = parsed(&body);
    let places = RowPlaces::of(find_report("GeneralLedger").unwrap(), &answer);
    let found: Vec<RowPlace<'_>> = answer.rows.iter().map(|row| places.row(row)).collect();
    let of_account = RowPlace {
        account_id: Some("35"),
        ..RowPlace::default()
    };
    let posting = RowPlace {
        txn_type: Some("Payment"),
        txn_id: Some("77"),
        ..of_account
    };
    assert_eq!(found, [of_account, of_account, posting, of_account]);
    // An empty id is none, `.00` is an amount, and a blank is none.
    let row = &answer.rows[2];
    assert_eq!(
        (row.cell(2), row.cells[3].id.as_deref()),
        (None, Some("84"))
    );
    assert_eq!(
        (row.amount(4), row.amount(5)),
        (money("0.00"), money("225.0"))
    );
    assert_eq!(answer.rows[1].amount(4), None);
    // Heads and sums may be shorter than the columns.
    assert_eq!(
        (answer.rows[0].amount(5), answer.rows[0].cell(5)),
        (None, None)
    );
}

fn journal_row(cells: [(&str, &str); 4]) -> Value {
    let cells = cells.map(|(value, id)| json!({"value": value, "id": id}));
    json!({"type": "Data", "ColData": cells})
}

fn journal(rows: Value) -> ReportAnswer {
    let kinds = ["tx_date", "txn_type", "name", "account_name"];
    let columns = kinds.map(|kind| json!({"ColTitle": kind.to_uppercase(), "ColType": kind}));
    parsed(&report("JournalReport", json!({"Column": columns}), rows)).answer
}

#[test]
fn lines_that_continue_a_transaction_have_its_date_type_and_name() {
    let sum = json!({"type": "Section", "Summary": cells(&["", "", "", ""])});
    let answer = journal(json!([
        journal_row([("2031-01-02", ""), ("Invoice", "65"), ("Ana", "4"), ("Receivables", "84")]),
        journal_row([("0-00-00", ""), ("", "65"), ("", ""), ("Sales", "79")]),
        // A line may have a name of its own.
        journal_row([("0-00-00", ""), ("", "65"), ("Bo", "5"), ("Tax", "90")]),
        sum.clone(),
        journal_row([("", ""), ("", ""), ("", ""), ("", "")]),
        // The service of 2026 repeats them.
        journal_row([("2031-01-03", ""), ("Journal Entry", "66"), ("", ""), ("Rent", "91")]),
        journal_row([("2031-01-03", ""), ("Journal Entry", "66"), ("", ""), ("Bank", "35")]),
        sum.clone(),
        // Nothing says what this one continues.
        journal_row([("0-00-00", ""), ("", "67"), ("", ""), ("Bank", "35")]),
        {"type": "Section", "Summary": cells(&["TOTAL", "", "", ""])},
    ]));
    let places = RowPlaces::of(find_report("JournalReport").unwrap(), &answer);
    let data = answer.rows.iter().filter(|row| row.kind == RowKind::Data);
    let found: Vec<_> = data
        .map(|row| {
            let place = places.row(row);
            let date = row.cells[0].value.as_str();
            (
                date,
                place.txn_type,
                place.txn_id,
                place.party_id,
                place.account_id,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (
                "2031-01-02",
                Some("Invoice"),
                Some("65"),
                Some("4"),
                Some("84")
            ),
            (
                "2031-01-02",
                Some("Invoice"),
                Some("65"),
                Some("4"),
                Some("79")
            ),
            (
                "2031-01-02",
                Some("Invoice"),
                Some("65"),
                Some("5"),
                Some("90")
            ),
            (
                "2031-01-03",
                Some("Journal Entry"),
                Some("66"),
                None,
                Some("91")
            ),
            (
                "2031-01-03",
                Some("Journal Entry"),
                Some("66"),
                None,
                Some("35")
            ),
            ("0-00-00", None, Some("67"), None, Some("35")),
        ]
    );
    assert!(!answer.is_cut);
    assert_eq!(answer.rows.len(), 9);
}

#[test]
fn a_cut_answer_is_seen_by_its_row_its_open_end_or_its_size() {
    let line = journal_row([
        ("2031-01-02", ""),
        ("Invoice", "65"),
        ("Ana", "4"),
        ("Sales", "79"),
    ]);
    let sum = json!({"type": "Section", "Summary": cells(&["", "", "", ""])});
    let notice = "Unable to display more data. Please reduce the date range.";
    let cut = json!({"type": "Data", "ColData": [{"value": notice}]});
    let whole = journal(json!([line, sum]));
    assert!(!whole.is_cut);
    let by_row = journal(json!([line, sum, cut]));
    assert!(by_row.is_cut);
    assert_eq!(by_row.rows, whole.rows);
    // The last transaction has no sum.
    assert!(journal(json!([line, sum, line])).is_cut);
    // A transaction whose sum is blank is whole, and so is a report without rows.
    assert!(!journal(json!([])).is_cut);
    // A memo says the same words in a row that says more.
    let memo = journal_row([("2031-01-02", ""), (notice, "65"), ("", ""), ("", "")]);
    assert!(!journal(json!([memo, sum])).is_cut);

    let columns = keyed(&[("account", "Account"), ("total", "Money")]);
    let leaf = json!({"ColData": [{"value": "x", "id": "1"}, {"value": "1.00"}]});
    let of_rows = |count: usize| {
        let rows = vec![leaf.clone(); count];
        parsed(&report("BalanceSheet", columns.clone(), rows.into())).answer
    };
    assert!(!of_rows(100_000).is_cut);
    assert!(of_rows(198_000).is_cut);
}

#[test]
fn an_answer_without_rows_has_an_empty_object_or_nothing() {
    for rows in [
        json!({}),
        json!({"Row": []}),
        json!({"Row": null}),
        Value::Null,
    ] {
        let mut body = report("AgedPayables", keyed(&[("vendor", "Vendor")]), json!([]));
        body["Rows"] = rows;
        body["Header"]["Option"][0]["Value"] = "true".into();
        let ParsedReport { answer, header } = parsed(&body);
        assert!(answer.rows.is_empty() && !answer.is_cut);
        assert_eq!(header.option("NoReportData"), Some("true"));
    }
    // Parts without rows inside, as in reports of ages.
    let body = report(
        "AgedReceivableDetail",
        keyed(&[("tx_date", "Date"), ("subt_open_bal", "Money")]),
        json!([{"Header": cells(&["Total for Current", "5.00"]), "Rows": {}}]),
    );
    let ParsedReport { answer, .. } = parsed(&body);
    assert_eq!(
        lines(&answer),
        ["Total for Current Header Total for Current|5.00"]
    );
}

#[test]
fn ids_of_customers_are_those_of_labels_and_sections() {
    let columns = json!({"Column": [
        {"ColTitle": "", "ColType": "Customer"}, {"ColTitle": "Current", "ColType": "Money"},
        {"ColTitle": "Total", "ColType": "Money"},
    ]});
    let body = report(
        "AgedReceivables",
        columns,
        json!([
            {"ColData": [{"value": "Ana", "id": "4"}, {"value": ""}, {"value": "-5.00"}]},
            {
                "type": "Section",
                "Header": {"ColData": [{"value": "Bo", "id": "5"}, {"value": ""}, {"value": "0.00"}]},
                "Rows": {"Row": [
                    {"type": "Data", "ColData": [{"value": "Bo:Roof", "id": "6"}, {"value": "2.00"}, {"value": "2.00"}]},
                ]},
                "Summary": cells(&["Total Bo", "2.00", "2.00"]),
            },
            {"type": "Section", "group": "GrandTotal", "Summary": cells(&["TOTAL", "2.00", "-3.00"])},
        ]),
    );
    let ParsedReport { answer, .. } = parsed(&body);
    let places = RowPlaces::of(find_report("AgedReceivables").unwrap(), &answer);
    let parties: Vec<_> = answer
        .rows
        .iter()
        .map(|row| places.row(row).party_id)
        .collect();
    assert_eq!(parties, [Some("4"), Some("5"), Some("6"), Some("5"), None]);
    assert!(
        answer
            .rows
            .iter()
            .all(|row| places.row(row).account_id.is_none())
    );
    assert_eq!(answer.column("total"), Some(2));
}

#[test]
fn values_keep_their_digits_and_what_is_no_report_is_refused() {
    let columns = keyed(&[("account", "Account"), ("total", "Money")]);
    let body = report(
        "CashFlow",
        columns.clone(),
        json!([{"ColData": [{"value": null, "id": 7}, {"value": 1}]}]),
    );
    let exact = body
        .to_string()
        .replace(r#"{"value":1}"#, r#"{"value":1234567890123456.10}"#);
    let answer = parse_report(exact.as_bytes()).unwrap().answer;
    assert_eq!(answer.rows[0].cells[1].value, "1234567890123456.10");
    assert_eq!(answer.rows[0].cells[0].id.as_deref(), Some("7"));

    let wide = report(
        "CashFlow",
        columns.clone(),
        json!([cells(&["a", "1.00", "2.00"])]),
    );
    let nested = report("CashFlow", columns, json!([{"ColData": [{"value": {}}]}]));
    for (body, reason) in [
        (wide.to_string(), "3 cells"),
        (nested.to_string(), "an object"),
        ("{}".to_owned(), "Header"),
        (r#"{"Header":{"Time":"x"}}"#.to_owned(), "ReportName"),
        ("[]".to_owned(), ""),
        (
            r#"{"Header":{"ReportName":"CashFlow"},"Rows":"none"}"#.to_owned(),
            "",
        ),
        (deep(), "recursion limit"),
    ] {
        let error = parse_report(body.as_bytes()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

/// A report whose sections are nested without an end.
fn deep() -> String {
    let open = r#"{"Rows":{"Row":["#.repeat(100_000);
    format!(r#"{{"Header":{{"ReportName":"CashFlow"}},"Rows":{{"Row":[{open}"#)
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let days = ("2031-01-01".parse().unwrap(), "2031-01-31".parse().unwrap());
    let ask = |name: &str, basis, parameters: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters: Vec<_> = parameters.iter().map(owned).collect();
        ReportRequest::new(find_report(name).unwrap(), basis, days, &[], &parameters).unwrap()
    };
    let statement = ask("ProfitAndLoss", Basis::Accrual, &[]);
    let rows = json!([{"type": "Section", "group": "NetIncome", "Summary": cells(&["Net Income", "7.00"])}]);
    let body = report("ProfitAndLoss", statement_columns(), rows);
    let check = |request: &ReportRequest, change: &dyn Fn(&mut Value)| {
        let mut body = body.clone();
        change(&mut body);
        check_report(request, &parsed(&body))
    };
    assert_eq!(check(&statement, &|_| {}), Ok(()));
    let set = |member: &'static str, value: &'static str| {
        move |body: &mut Value| match value {
            "" => drop(body["Header"].as_object_mut().unwrap().remove(member)),
            value => body["Header"][member] = value.into(),
        }
    };
    for (member, value, words) in [
        (
            "ReportName",
            "BalanceSheet",
            ["ProfitAndLoss", "BalanceSheet"],
        ),
        ("StartPeriod", "2030-01-01", ["2031-01-01", "2030-01-01"]),
        ("EndPeriod", "2031-02-28", ["2031-01-31", "2031-02-28"]),
        ("EndPeriod", "", ["EndPeriod 2031-01-31", "does not say"]),
        ("ReportBasis", "Cash", ["Accrual", "Cash"]),
        ("ReportBasis", "", ["ReportBasis Accrual", "does not say"]),
    ] {
        let error = check(&statement, &set(member, value)).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    // A filter that was ignored, and one that was not.
    let filtered = ask("ProfitAndLoss", Basis::Accrual, &[("customer", "1,2")]);
    assert!(
        check(&filtered, &|_| {})
            .unwrap_err()
            .contains("Customer 1,2")
    );
    assert_eq!(check(&filtered, &set("Customer", "2,1")), Ok(()));
    let by_month = ask(
        "ProfitAndLoss",
        Basis::Accrual,
        &[("summarize_column_by", "Month")],
    );
    assert!(check(&by_month, &set("SummarizeColumnsBy", "Total")).is_err());
    assert_eq!(
        check(&by_month, &set("SummarizeColumnsBy", "Month")),
        Ok(())
    );
    // Contradictions.
    let no_data = |value: &'static str| {
        move |body: &mut Value| {
            body["Header"]["Option"][0]["Value"] = value.into();
            body["Rows"] = json!({});
        }
    };
    assert_eq!(check(&statement, &no_data("true")), Ok(()));
    assert!(
        check(&statement, &no_data("false"))
            .unwrap_err()
            .contains("no rows")
    );
    let error = check(&statement, &|body| {
        body["Header"]["Option"][0]["Value"] = "true".into();
        body["Rows"]["Row"] = json!([cells(&["Sales", "3.00"])]);
    });
    assert!(error.unwrap_err().contains("holds amounts"));
}

#[test]
fn columns_that_were_dropped_are_missed() {
    let days = ("2031-01-01".parse().unwrap(), "2031-01-31".parse().unwrap());
    let ledger = find_report("GeneralLedger").unwrap();
    let ask = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|key| (*key).to_owned()).collect();
        ReportRequest::new(ledger, Basis::Accrual, days, &columns, &[]).unwrap()
    };
    let has = |keys: &[&str]| {
        let columns: Vec<_> = keys.iter().map(|key| (*key, "String")).collect();
        let rows = json!([{"ColData": [{"value": "x"}]}]);
        parsed(&report("GeneralLedger", keyed(&columns), rows))
    };
    // Companies with several currencies have home amounts, and no debit and credit.
    let foreign = [
        "tx_date",
        "txn_type",
        "subt_nat_home_amount",
        "rbal_nat_home_amount",
    ];
    assert_eq!(check_report(&ask(&[]), &has(&foreign)), Ok(()));
    let debits = [
        "tx_date",
        "txn_type",
        "debt_amt",
        "credit_amt",
        "rbal_nat_amount",
    ];
    assert_eq!(check_report(&ask(&[]), &has(&debits)), Ok(()));
    let error = check_report(&ask(&[]), &has(&debits[..4])).unwrap_err();
    assert!(
        error.contains("rbal_nat_home_amount or rbal_nat_amount"),
        "{error}"
    );
    let error = check_report(&ask(&["tx_date", "is_adj"]), &has(&debits)).unwrap_err();
    assert!(
        error.contains("is_adj") && error.contains("txn_type"),
        "{error}"
    );
}

#[test]
fn a_report_of_one_day_says_which_day() {
    let days = ("2031-01-01".parse().unwrap(), "2031-01-31".parse().unwrap());
    let spec = find_report("AgedReceivables").unwrap();
    let request = ReportRequest::new(spec, Basis::Accrual, days, &[], &[]).unwrap();
    assert_eq!(request.query(), [("report_date", "2031-01-31".to_owned())]);
    let mut body = report(
        "AgedReceivables",
        keyed(&[("customer", "Customer")]),
        json!([cells(&["Ana"])]),
    );
    assert_eq!(check_report(&request, &parsed(&body)), Ok(()));
    body["Header"].as_object_mut().unwrap().remove("EndPeriod");
    assert!(check_report(&request, &parsed(&body)).is_err());
    body["Header"]["Option"] = json!([{"name": "report_date", "value": "2031-01-31"}]);
    assert_eq!(check_report(&request, &parsed(&body)), Ok(()));
    body["Header"]["Option"] = json!([{"Name": "report_date", "Value": "2031-01-30"}]);
    assert!(check_report(&request, &parsed(&body)).is_err());
    // Cash basis counts only if the answer says so.
    let balance = find_report("VendorBalance").unwrap();
    let body = |basis: Option<&str>| {
        let mut body = report(
            "VendorBalance",
            keyed(&[("vendor", "Vendor")]),
            json!([cells(&["Al"])]),
        );
        body["Header"]["ReportBasis"] = basis.map_or(Value::Null, Into::into);
        parsed(&body)
    };
    let ask = |basis| ReportRequest::new(balance, basis, days, &[], &[]).unwrap();
    assert_eq!(check_report(&ask(Basis::Accrual), &body(None)), Ok(()));
    assert_eq!(check_report(&ask(Basis::Cash), &body(Some("Cash"))), Ok(()));
    assert!(check_report(&ask(Basis::Cash), &body(None)).is_err());
}

#[test]
fn a_range_is_asked_for_in_parts_that_have_no_gap_and_no_overlap() {
    let days = |start: &str, end: &str| (start.parse().unwrap(), end.parse().unwrap());
    let ask = |name: &str, range| {
        ReportRequest::new(find_report(name).unwrap(), Basis::Accrual, range, &[], &[]).unwrap()
    };
    let shown = |parts: &[ReportRequest]| {
        let days = parts.iter().map(ReportRequest::days);
        days.collect::<Vec<_>>().join("; ")
    };
    let year = days("2024-08-31", "2025-08-31");
    assert_eq!(
        shown(&ask("GeneralLedger", year).parts()),
        "from 2024-08-31 to 2025-02-27; from 2025-02-28 to 2025-08-27; from 2025-08-28 to 2025-08-31"
    );
    assert_eq!(
        shown(&ask("BalanceSheet", year).parts()),
        "from 2024-08-31 to 2025-08-31"
    );
    assert_eq!(
        shown(&ask("VendorBalance", year).parts()),
        "as of 2025-08-31"
    );
    assert_eq!(shown(&ask("AccountList", year).parts()), "without dates");
    let halves = |start, end| {
        let halves = ask("JournalReport", days(start, end)).halves();
        halves.map(|halves| shown(&halves))
    };
    assert_eq!(
        halves("2025-01-01", "2025-01-03").as_deref(),
        Some("from 2025-01-01 to 2025-01-02; of 2025-01-03")
    );
    assert_eq!(
        halves("2025-01-01", "2025-01-02").as_deref(),
        Some("of 2025-01-01; of 2025-01-02")
    );
    assert_eq!(halves("2025-01-01", "2025-01-01"), None);
    assert_eq!(ask("TrialBalance", year).halves(), None);
}

#[test]
fn what_quickbooks_would_ignore_is_not_sent() {
    let days = ("2031-01-01".parse().unwrap(), "2031-01-31".parse().unwrap());
    let ask = |name: &str, basis, parameters: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters: Vec<_> = parameters.iter().map(owned).collect();
        ReportRequest::new(find_report(name).unwrap(), basis, days, &[], &parameters)
    };
    let query = ask("TrialBalance", Basis::Cash, &[("sort_order", "ascend")]).unwrap();
    assert_eq!(
        query.query(),
        [
            ("start_date", "2031-01-01".to_owned()),
            ("end_date", "2031-01-31".to_owned()),
            ("accounting_method", "Cash".to_owned()),
            ("sort_order", "ascend".to_owned()),
        ]
    );
    for (refused, words) in [
        (
            ask("TrialBalance", Basis::Accrual, &[("customer", "1")]),
            "customer: TrialBalance",
        ),
        (ask("JournalReport", Basis::Cash, &[]), "takes no basis"),
        (
            ask("ItemSales", Basis::Cash, &[("item", "1"), ("item", "2")]),
            "twice",
        ),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let backwards = ("2031-01-02".parse().unwrap(), "2031-01-01".parse().unwrap());
    let spec = find_report("CashFlow").unwrap();
    assert!(ReportRequest::new(spec, Basis::Accrual, backwards, &[], &[]).is_err());
}

#[test]
fn an_answer_that_says_the_same_has_the_same_fingerprint() {
    let leaf =
        |id: &str, amount: &str| json!({"ColData": [{"value": "x", "id": id}, {"value": amount}]});
    let of = |rows: Value, change: &dyn Fn(&mut Value)| {
        let mut body = report("TrialBalance", statement_columns(), rows);
        change(&mut body);
        parsed(&body).fingerprint()
    };
    let one = of(json!([leaf("1", "5.00"), leaf("2", "6.00")]), &|_| {});
    let other_order = of(json!([leaf("2", "6.00"), leaf("1", "5.00")]), &|body| {
        body["Header"]["Time"] = "2031-09-09T09:09:09-07:00".into();
        body["Columns"]["Column"][1]["ColTitle"] = "Total".into();
    });
    assert_eq!(one, other_order);
    for (rows, change) in [
        (json!([leaf("1", "5.00"), leaf("2", "6.01")]), ""),
        (json!([leaf("1", "5.00"), leaf("3", "6.00")]), ""),
        (json!([leaf("1", "5.00")]), ""),
        (json!([leaf("1", "6.00"), leaf("2", "5.00")]), ""),
        (json!([leaf("1", "5.00"), leaf("2", "6.00")]), "EndPeriod"),
    ] {
        let other = of(rows, &|body| {
            if !change.is_empty() {
                body["Header"][change] = "2031-01-30".into();
            }
        });
        assert_ne!(one, other);
    }
}
