//! Entitlements: what the plan of a company holds. They are XML only, below a path of their own
//! (qbo-facts 13.6).

use crate::answer::Answer;
use crate::company::Company;
use crate::server::request::ReceivedRequest;
use crate::xml::escaped;

const START: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#,
    r#"<EntitlementsResponse xmlns="http://schema.intuit.com/finance/v3">"#,
    "<QboCompany>true</QboCompany><PlanName>"
);
const END: &str = concat!(
    "</PlanName><MaxUsers>5</MaxUsers><CurrentUsers>2</CurrentUsers>",
    "<DaysRemainingTrial>0</DaysRemainingTrial>",
    r#"<Entitlement id="1"><name>Multicurrency</name><term>On</term></Entitlement>"#,
    r#"<Entitlement id="2"><name>Projects &amp; jobs</name><term>Off</term></Entitlement>"#,
    "</EntitlementsResponse>"
);

/// Answers a request. One that accepts only JSON is refused.
pub(super) fn answer(company: &Company, request: &ReceivedRequest) -> Answer {
    let accepted = request.header("accept").unwrap_or("*/*");
    let accepts_xml = ["*/*", "xml"].iter().any(|kind| accepted.contains(kind));
    match accepts_xml {
        true => Answer::xml(200, format!("{START}{}{END}", escaped(company.plan_name()))),
        false => Answer::empty(406),
    }
}
