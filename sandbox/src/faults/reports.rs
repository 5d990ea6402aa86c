//! Faults of reports: an answer that was cut, is empty, or answers another question.

use serde_json::Value;
use serde_json::value::RawValue;

use super::rule::FaultRule;
use crate::company::Fields;

/// The text of the row that says that a report was cut (facts/reports.md D).
const CUT: &str = "Unable to display more data. Please reduce the date range.";

/// Ends a report in the middle: the second half of its rows is missing, and so is the sum of the last
/// group.
pub(super) fn cut(body: &mut Fields) {
    let mut rows = rows(body);
    rows.truncate(rows.len() / 2);
    let is_sum = |row: &String| {
        Fields::parse(row)
            .is_some_and(|row| row.get("Summary").is_some() && row.get("Rows").is_none())
    };
    if rows.last().is_some_and(is_sum) {
        rows.pop();
    }
    let columns = body.object("Columns");
    let columns = columns.and_then(|columns| {
        serde_json::from_str::<Vec<&RawValue>>(columns.get("Column")?)
            .ok()
            .map(|list| list.len())
    });
    let blanks = r#",{"value":""}"#.repeat(columns.unwrap_or(1).saturating_sub(1));
    rows.push(format!(
        r#"{{"ColData":[{{"value":"{CUT}"}}{blanks}],"type":"Data"}}"#
    ));
    set_rows(body, &rows);
}

/// Lets the header say something else. Without a value the member is missing.
pub(super) fn header(rule: &FaultRule, body: &mut Fields) {
    let key = rule.key.as_deref().unwrap_or("EndPeriod");
    if let Some(mut header) = body.object("Header") {
        match &rule.value {
            Some(Value::String(text)) => header.set_text(key, text),
            Some(other) => header.set(key, &other.to_string()),
            None => header.remove(key),
        }
        body.set("Header", &header.to_string());
    }
}

/// Gives a column another key, or none.
pub(super) fn column(rule: &FaultRule, body: &mut Fields) {
    let columns = body.get("Columns").map(serde_json::from_str::<Value>);
    let Some(Ok(mut columns)) = columns else {
        return;
    };
    let key = rule.key.as_deref().unwrap_or_default();
    for column in columns["Column"].as_array_mut().into_iter().flatten() {
        let metadata = column.get_mut("MetaData").and_then(Value::as_array_mut);
        let metadata = metadata.into_iter().flatten();
        for member in metadata.filter(|it| it["Name"] == "ColKey" && it["Value"] == key) {
            member["Value"] = rule.value.clone().unwrap_or_else(|| "".into());
        }
    }
    body.set("Columns", &columns.to_string());
}

/// Removes all rows, as if there were no data.
pub(super) fn empty(body: &mut Fields) {
    if let Some(mut header) = body.object("Header") {
        header.set("Option", r#"[{"Name":"NoReportData","Value":"true"}]"#);
        body.set("Header", &header.to_string());
        body.set("Rows", "{}");
    }
}

fn rows(body: &Fields) -> Vec<String> {
    let rows = body.object("Rows");
    let rows =
        rows.and_then(|rows| serde_json::from_str::<Vec<Box<RawValue>>>(rows.get("Row")?).ok());
    let rows = rows.unwrap_or_default().into_iter();
    rows.map(|row| row.get().to_owned()).collect()
}

fn set_rows(body: &mut Fields, rows: &[String]) {
    body.set("Rows", &format!(r#"{{"Row":[{}]}}"#, rows.join(",")));
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = concat!(
        r#"{"Header":{"ReportName":"X","EndPeriod":"2030-01-31"},"Columns":{"Column":[{},{}]},"#,
        r#""Rows":{"Row":[{"ColData":[]},{"Summary":{}},{"ColData":[]},{"Summary":{}}]}}"#
    );

    #[test]
    fn a_report_is_cut_emptied_or_answers_another_question() {
        let mut body = Fields::parse(REPORT).unwrap();
        cut(&mut body);
        let cut: Value = serde_json::from_str(&body.to_string()).unwrap();
        assert_eq!(cut["Rows"]["Row"].as_array().unwrap().len(), 2);
        assert_eq!(cut["Rows"]["Row"][1]["ColData"][0]["value"], CUT);
        assert_eq!(cut["Rows"]["Row"][1]["ColData"][1]["value"], "");
        let keyed = r#"{"Columns":{"Column":[{"MetaData":[{"Name":"ColKey","Value":"a"}]},{}]}}"#;
        let mut columns = Fields::parse(keyed).unwrap();
        let rule = r#"{"fault":"report-column","key":"a","value":"b"}"#;
        column(&FaultRule::parse(rule).unwrap(), &mut columns);
        assert_eq!(columns.to_string(), keyed.replace(r#""a""#, r#""b""#));
        empty(&mut body);
        assert!(body.to_string().ends_with(r#""Rows":{}}"#), "{body}");
        let rule = r#"{"fault":"report-header","key":"EndPeriod","value":"2030-02-28"}"#;
        header(&FaultRule::parse(rule).unwrap(), &mut body);
        assert!(
            body.to_string().contains(r#""EndPeriod":"2030-02-28""#),
            "{body}"
        );
        header(
            &FaultRule::parse(r#"{"fault":"report-header"}"#).unwrap(),
            &mut body,
        );
        assert!(!body.to_string().contains("EndPeriod"), "{body}");
    }
}
