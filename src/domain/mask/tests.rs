use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn mask(rules: &str) -> Mask {
    Mask::parse(rules, Some(KEY)).unwrap()
}

fn masked(rules: &str, entity: &str, text: &str) -> String {
    let entity = find_entity(entity).unwrap();
    let changed = mask(rules).record(entity, text.as_bytes()).unwrap();
    changed.map_or(text.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_dropped_property_leaves_all_other_bytes_as_they_are() {
    for (text, expected) in [
        (r#"{"SSN":"078-05-1120"}"#, "{}"),
        (r#"{ "SSN" : 78051120 , "Id":"1" }"#, r#"{ "Id":"1" }"#),
        (r#"{"Id":"1","SSN":null}"#, r#"{"Id":"1"}"#),
        (
            r#"{"A": 1.50 ,"SSN":{"x":[1]} , "B":1e400}"#,
            r#"{"A": 1.50 ,"B":1e400}"#,
        ),
        (
            r#"{"SSN":"1","SSN":"2","Id":"3","ssn":"4","S\u0053N":"5"}"#,
            r#"{"Id":"3"}"#,
        ),
        (
            r#"{"BillAddr":{"SSN":"stays"}}"#,
            r#"{"BillAddr":{"SSN":"stays"}}"#,
        ),
        (
            r#"{"Notes":"\"SSN\":\"1\""}"#,
            r#"{"Notes":"\"SSN\":\"1\""}"#,
        ),
    ] {
        assert_eq!(masked("Employee.SSN", "employees", text), expected);
    }
}

#[test]
fn a_hashed_property_is_the_same_for_the_same_value_and_is_not_hashed_twice() {
    let rule = "Customer.PrimaryTaxIdentifier:hash";
    let of = |text: &str| masked(rule, "customers", text);
    let once = of(r#"{"Id":"1","PrimaryTaxIdentifier":"12\u002d3"}"#);
    let value: Value = serde_json::from_str(&once).unwrap();
    assert!(
        is_hash(value["PrimaryTaxIdentifier"].as_str().unwrap()),
        "{once}"
    );
    assert_eq!(once, of(r#"{"Id":"1","PrimaryTaxIdentifier":"12-3"}"#));
    assert_eq!(of(&once), once);
    assert_ne!(once, of(r#"{"Id":"1","PrimaryTaxIdentifier":"12-4"}"#));
    let other = Mask::parse(rule, Some("another key of more than 32 characters")).unwrap();
    let customers = find_entity("customers").unwrap();
    let with_other = other.record(customers, br#"{"Id":"1","PrimaryTaxIdentifier":"12-3"}"#);
    assert_ne!(with_other.unwrap().unwrap(), once.as_bytes());
    // Other kinds of values.
    assert_eq!(
        of(r#"{"PrimaryTaxIdentifier":null}"#),
        r#"{"PrimaryTaxIdentifier":null}"#
    );
    assert_eq!(of(r#"{"PrimaryTaxIdentifier":{"a":"12-3"}}"#), "{}");
    assert_eq!(
        of(r#"{"PrimaryTaxIdentifier":123}"#),
        of(r#"{"PrimaryTaxIdentifier":"123"}"#)
    );
    // What only looks like a hash is no hash.
    let forged = r#"{"PrimaryTaxIdentifier":"hmac:12345678:078-05-1120"}"#;
    assert!(!of(forged).contains("078-05-1120"));
}

#[test]
fn properties_inside_objects_lists_groups_templates_and_custom_fields_are_masked() {
    let line = r#"{"Line":[{"Id":"1","Description":"secret"},{"GroupLineDetail":{"Line":[
        {"Description":"secret","Amount":1.10}]}}]}"#;
    let text = masked("Invoice.Line.Description", "invoices", line);
    assert!(!text.contains("secret") && text.contains("1.10"), "{text}");
    let template = format!(r#"{{"Invoice":{line}}}"#);
    let text = masked(
        "Invoice.Line.Description",
        "recurring_transactions",
        &template,
    );
    assert!(!text.contains("secret") && text.contains("1.10"), "{text}");

    let email = "Customer.PrimaryEmailAddr.Address";
    for text in [
        r#"{"PrimaryEmailAddr":{"Address":"secret"}}"#,
        r#"{"PrimaryEmailAddr":[{"Address":"secret"},"secret"]}"#,
        // Of another form than the table says.
        r#"{"PrimaryEmailAddr":"secret"}"#,
    ] {
        let found = masked(email, "customers", text);
        assert!(!found.contains("secret"), "{found}");
    }
    let fields = r#"{"CustomField":[{"StringValue":"secret","Name":"Card"},{"Name":"Crew","StringValue":"B"}]}"#;
    let found = masked("Customer.CustomField[Card]", "customers", fields);
    assert_eq!(
        found,
        r#"{"CustomField":[{"Name":"Card"},{"Name":"Crew","StringValue":"B"}]}"#
    );
}

#[test]
fn records_are_masked_wherever_an_answer_has_them() {
    let mask = mask("Employee.SSN");
    let row = r#"{"Id":"1","SSN":"078-05-1120"}"#;
    for body in [
        format!(r#"{{"QueryResponse":{{"Employee":[{row}],"maxResults":1}},"time":"x"}}"#),
        format!(r#"{{"QueryResponse":{{"employee":{row}}}}}"#),
        format!(r#"{{"QueryResponse":{{"Record":[{row}]}}}}"#),
        format!(r#"{{"QueryResponse":{{"Employee":["078-05-1120",{row}]}}}}"#),
        r#"{"QueryResponse":{"Employee":"078-05-1120"}}"#.to_owned(),
        format!(r#"{{"CDCResponse":[{{"QueryResponse":[{{"Employee":[{row}]}}]}}]}}"#),
        format!(
            r#"{{"BatchItemResponse":[{{"bId":"1","QueryResponse":{{"Employee":[{row}]}}}}]}}"#
        ),
        format!(r#"{{"Employee":{row},"time":"x"}}"#),
        format!(r#"{{"Wrapper":{{"More":[{{"Id":"2","Inner":{row}}}]}}}}"#),
    ] {
        let found = mask.answer(body.as_bytes()).unwrap().unwrap();
        let found = String::from_utf8(found).unwrap();
        assert!(!found.contains("078-05-1120"), "{found}");
        assert!(serde_json::from_str::<Value>(&found).is_ok(), "{found}");
    }
    // Others are left alone, and what is no JSON is refused.
    for body in [
        r#"{"QueryResponse":{"Customer":[{"SSN":"stays"}]}}"#,
        r#"{"QueryResponse":{"totalCount":7},"time":"x"}"#,
        "",
        "<html>",
    ] {
        assert_eq!(mask.answer(body.as_bytes()).unwrap(), None, "{body}");
    }
    for end in 1..row.len() {
        let body = format!(r#"{{"QueryResponse":{{"Employee":[{}"#, &row[..end]);
        assert!(mask.answer(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn what_was_set_aside_keeps_no_text_that_cannot_be_masked() {
    let mask = mask("Employee.SSN");
    let [employees, items] = ["employees", "items"].map(|name| find_entity(name).unwrap());
    let of = |entity, text: &str| mask.reject_text(entity, text.to_owned());
    assert_eq!(of(employees, r#"{"SSN":"1"}"#).as_deref(), Some("{}"));
    for text in [
        r#"{"SSN":"1""#,
        "078-05-1120",
        "[1]",
        r#"{"a":1} 078"#,
        r#"{"a":078-05}"#,
    ] {
        assert_eq!(of(employees, text), None, "{text}");
        assert_eq!(of(items, text).as_deref(), Some(text));
    }
}

#[test]
fn rows_say_what_was_masked_and_with_which_key() {
    let mask = mask("Employee.SSN, Employee.PrimaryAddr.Line1:hash,Invoice.PrivateNote");
    let employees = find_entity("employees").unwrap();
    let hasher = Hasher::new(KEY.as_bytes());
    let expected =
        json!({"dropped": ["SSN"], "hashed": ["PrimaryAddr.Line1"], "key": hasher.fingerprint});
    assert_eq!(mask.mark(employees), Some(&expected));
    let request = mask
        .mark_request(employees, r#"{"method":"POST"}"#)
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&request).unwrap(),
        json!({"method": "POST", "masked": expected})
    );
    assert_eq!(mask.mark(find_entity("customers").unwrap()), None);
    let recurring = find_entity("recurring_transactions").unwrap();
    assert_eq!(
        mask.mark(recurring),
        Some(&json!({"dropped": ["PrivateNote"]}))
    );
    assert!(!format!("{mask:?}").contains(KEY));
}

#[test]
fn wrong_rules_are_refused_with_what_is_similar() {
    for (rules, words) in [
        ("Employe.SSN", "similar: Employee"),
        ("employee.SSN", "similar: Employee"),
        ("Employee.Ssn", "similar: SSN"),
        (
            "Employee.SocialSecurity",
            "has no property 'SocialSecurity'",
        ),
        ("Customer.PrimaryEmailAddr.Adress", "similar: Address"),
        ("Customer.Balance.Amount", "nothing is inside"),
        ("Employee", "is not an entity and a property"),
        ("Employee.SSN:sha", "neither drop nor hash"),
        ("Customer.Balance:hash", "only a text"),
        ("Customer.PrimaryEmailAddr:hash", "only a text"),
        ("Customer.Id", "cannot be masked"),
        ("Customer.MetaData.CreateTime", "cannot be masked"),
        ("Customer.SyncToken:hash", "cannot be masked"),
        ("ExchangeRate.AsOfDate", "cannot be masked"),
        ("RecurringTransaction.Invoice", "cannot be masked"),
        ("RecurringTransaction.Invoice.Id", "cannot be masked"),
        ("Entitlements.Thresholds", "cannot be masked"),
        ("Invoice.DocNumber[x]", "is no path"),
        ("Employee.", "has no property ''"),
    ] {
        let error = Mask::parse(rules, Some(KEY)).unwrap_err().to_string();
        assert!(
            error.starts_with("QBO_MASK: ") && error.contains(words),
            "{rules}: {error}"
        );
    }
    let hash = "Employee.SSN:hash";
    let error = Mask::parse(hash, None).unwrap_err().to_string();
    assert!(error.starts_with("QBO_MASK_KEY: not set"), "{error}");
    let error = Mask::parse(hash, Some("too short a key"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("QBO_MASK_KEY: ") && !error.contains("too short a key"),
        "{error}"
    );
    assert!(Mask::parse("Employee.SSN", None).is_ok());
    assert!(Mask::parse(" ,", None).unwrap().is_empty());
}

/// Returns a value without its masked members, as the scanner should leave it.
fn without(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let stays = members
                .into_iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case("SSN"));
            Value::Object(stays.collect())
        }
        other => other,
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[\"\\\\{},:SN\\[\\]]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            json_object(inner),
        ]
    })
}

fn json_object(member: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just("SSN".to_owned()), Just("ssn".to_owned()), "\\PC{0,4}"];
    prop::collection::btree_map(name, member, 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn what_is_left_is_what_a_parser_would_leave(value in json_object(json_value()), pretty in any::<bool>()) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let found = masked("Employee.SSN", "employees", &text);
        let found: Value = serde_json::from_str(&found).unwrap();
        prop_assert_eq!(found, without(value));
    }

    #[test]
    fn no_text_makes_masking_fail_in_another_way(text in "\\PC{0,40}", cut in r#"[{}\[\]",:a1\\ ]{0,20}"#) {
        let mask = mask("Employee.SSN,Customer.CustomField[x]:hash");
        for entity in ["employees", "customers", "items"] {
            let entity = find_entity(entity).unwrap();
            for text in [&text, &cut] {
                let _ = mask.record(entity, text.as_bytes());
                let _ = mask.answer(text.as_bytes());
                let _ = mask.anywhere(text.as_bytes());
            }
        }
    }
}
