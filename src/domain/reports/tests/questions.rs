//! Requests, and answers to other questions.

use serde_json::{Value, json};

use super::*;

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
    // Filters that nobody asked for, beside one that was.
    let statement_or = [&statement, &filtered];
    for (member, request) in [
        "Vendor",
        "Class",
        "Department",
        "Item",
        "Employee",
        "Account",
    ]
    .iter()
    .flat_map(|member| statement_or.map(|request| (*member, request)))
    {
        let error = check(request, &|body| {
            body["Header"]["Customer"] = if request.parameters.is_empty() {
                Value::Null
            } else {
                "1,2".into()
            };
            body["Header"][member] = "5".into();
        });
        let expected = format!("no {member} was asked for, and its Header says 5");
        assert_eq!(error, Err(expected));
    }
    assert!(check(&statement, &set("Customer", "5")).is_err());
    // What else a Header may say is no filter.
    for (member, value) in [
        ("Currency", "USD"),
        ("DateMacro", "this month-to-date"),
        ("SummarizeColumnsBy", "Total"),
        ("Customer", ""),
    ] {
        assert_eq!(
            check(&statement, &|body| body["Header"][member] = value.into()),
            Ok(())
        );
    }
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
    let error = check(&by_month, &set("SummarizeColumnsBy", "")).unwrap_err();
    assert!(
        error.contains("SummarizeColumnsBy Month") && error.contains("does not say"),
        "{error}"
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
fn reports_without_columns_to_sum_up_may_be_silent_about_totals_only() {
    let days = ("2031-01-01".parse().unwrap(), "2031-01-31".parse().unwrap());
    let columns = [
        ("account", "Account"),
        ("debt_amt", "Money"),
        ("credit_amt", "Money"),
    ];
    let rows =
        json!([{"ColData": [{"value": "Bank", "id": "1"}, {"value": "7.00"}, {"value": ""}]}]);
    let silent = parsed(&report("TrialBalance", keyed(&columns), rows));
    let check = |by: &str| {
        let parameters = [("summarize_column_by".to_owned(), by.to_owned())];
        let spec = find_report("TrialBalance").unwrap();
        let request = ReportRequest::new(spec, Basis::Accrual, days, &[], &parameters).unwrap();
        check_report(&request, &silent)
    };
    assert_eq!(check("Total"), Ok(()));
    assert!(check("Month").unwrap_err().contains("does not say"));
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
fn an_answer_that_says_it_has_no_data_holds_no_amounts() {
    let days = ("2031-01-01".parse().unwrap(), "2031-01-31".parse().unwrap());
    let ledger = find_report("GeneralLedger").unwrap();
    let request = ReportRequest::new(ledger, Basis::Accrual, days, &[], &[]).unwrap();
    // Lists have the key of a column as its type.
    let keys = ["tx_date", "subt_nat_amount", "rbal_nat_amount"].map(|key| (key, key));
    let check = |row: [&str; 3]| {
        let row = row.map(|text| json!({"value": text}));
        let mut body = report("GeneralLedger", keyed(&keys), json!([{"ColData": row}]));
        body["Header"]["Option"][0]["Value"] = "true".into();
        check_report(&request, &parsed(&body))
    };
    assert_eq!(check(["Beginning Balance", "", "5.00"]), Ok(()));
    assert_eq!(check(["2031-01-09", "0.00", "5.00"]), Ok(()));
    let error = check(["2031-01-09", "5.00", "5.00"]).unwrap_err();
    assert!(
        error.contains("no data") && error.contains("amounts"),
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
