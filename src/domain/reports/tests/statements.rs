//! Statements, balances and ages.

use serde_json::{Value, json};

use super::*;

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
        match parse_report(body.as_bytes()) {
            Err(Refusal::Unreadable(error)) => assert!(error.contains(reason), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

/// A report whose sections are nested much too deeply.
fn deep() -> String {
    let (open, close) = (r#"{"Rows":{"Row":["#.repeat(100_000), "]}}".repeat(100_000));
    format!(r#"{{"Header":{{"ReportName":"CashFlow"}},"Rows":{{"Row":[{open}{close}]}}}}"#)
}

#[test]
fn an_answer_of_which_much_more_would_be_made_than_its_text_is_refused() {
    let refused = |columns: &str, rows: &str, more: &str| {
        let body = format!(
            r#"{{"Header":{{"ReportName":"CashFlow"{more}}},"Columns":{{"Column":[{columns}]}},"Rows":{{"Row":[{rows}]}}}}"#
        );
        match parse_report(body.as_bytes()) {
            Err(Refusal::TooLarge(reason)) => reason,
            Err(Refusal::Unreadable(reason)) => panic!("unreadable: {reason}"),
            Ok(_) => String::new(),
        }
    };
    let many = |part: &str, count: usize| vec![part; count].join(",");
    let below = |key: &str, part: &str| {
        format!(r#"{{"ColTitle":"{key}","Columns":{{"Column":[{part}]}}}}"#)
    };
    let section = |label: &str, rows: &str| {
        format!(r#"{{"Header":{{"ColData":[{{"value":"{label}"}}]}},"Rows":{{"Row":[{rows}]}}}}"#)
    };
    let row = r#"{"ColData":[{"value":"1"}]}"#;
    let (column, long) = (r#"{"ColTitle":"a"}"#, "k".repeat(1500));
    for (columns, rows, more, reason) in [
        (column, many("{}", 1_100_000), "", "rows and cells"),
        (column, many("[]", 1_100_000), "", "rows and cells"),
        (&*many("{}", 110_000), String::new(), "", "its columns"),
        (&*many("{}", 20_001), String::new(), "", "20000 columns"),
        (
            &*below(&long, &below(&long, column)),
            String::new(),
            "",
            "key of a column",
        ),
        (column, section(&long, &many(row, 60_000)), "", "sections"),
        (
            column,
            String::new(),
            &*format!(r#","Option":[{}]"#, many("0", 40_000)),
            "Header",
        ),
    ] {
        assert!(refused(columns, &rows, more).contains(reason), "{reason}");
    }
    // As much as QuickBooks sends at most.
    let cells = format!(r#"{{"ColData":[{}]}}"#, many(r#"{"value":"1"}"#, 4));
    let most = section(&"k".repeat(100), &many(&cells, 100_000));
    assert_eq!(refused(&many(column, 4), &most, ""), "");
    assert_eq!(refused(&many(column, 12_000), "", ""), "");
}
