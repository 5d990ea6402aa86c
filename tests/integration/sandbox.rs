//! The sandbox over real HTTP, as clients meet it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use qbo_sandbox::{Assumptions, CompanySize, FaultRule, Sandbox, SandboxOptions, ThrottleOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::within;

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

/// A client that asks one thing after another.
pub(crate) struct Client {
    http: reqwest::Client,
    environment: BTreeMap<&'static str, String>,
    access: String,
}

impl Client {
    pub(crate) async fn of(sandbox: &Sandbox) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let mut client = Self {
            http,
            environment: sandbox.environment().into_iter().collect(),
            access: String::new(),
        };
        client.access = client.refresh().await.json()["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        client
    }

    fn refresh_request(&self, token: &str) -> reqwest::RequestBuilder {
        self.http
            .post(&self.environment["QBO_TOKEN_URL"])
            .basic_auth(
                &self.environment["QBO_CLIENT_ID"],
                Some(&self.environment["QBO_CLIENT_SECRET"]),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=refresh_token&refresh_token={token}"))
    }

    async fn refresh(&self) -> Answer {
        send(self.refresh_request(&self.environment["QBO_REFRESH_TOKEN"]))
            .await
            .unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!(
            "{}/v3/company/{}/{path}",
            self.environment["QBO_API_URL"], self.environment["QBO_REALM_ID"]
        )
    }

    fn get_request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http
            .get(self.url(path))
            .bearer_auth(&self.access)
            .header("accept", "application/json")
    }

    fn query_request(&self, statement: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .post(self.url("query"))
            .bearer_auth(&self.access)
            .header("accept", "application/json");
        request.body(statement.to_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.get_request(path)).await.unwrap()
    }

    pub(crate) async fn query(&self, statement: &str) -> Answer {
        send(self.query_request(statement)).await.unwrap()
    }
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    Ok(Answer {
        status: response.status().as_u16(),
        headers,
        text: response.text().await?,
    })
}

fn options() -> SandboxOptions {
    let size = CompanySize {
        customers: 60,
        items: 40,
        invoices: 300,
        others: Some(20),
    };
    SandboxOptions {
        size,
        throttle: ThrottleOptions::NONE,
        ..SandboxOptions::default()
    }
}

async fn start(options: SandboxOptions) -> (Sandbox, Client) {
    let sandbox = Sandbox::start(options).unwrap();
    let client = Client::of(&sandbox).await;
    (sandbox, client)
}

fn control(sandbox: &Sandbox, command: &str, arguments: Value) -> Value {
    let answer = sandbox.control(command, &arguments.to_string()).unwrap();
    serde_json::from_str(&answer).unwrap()
}

const ONE: &str = "SELECT * FROM Customer MAXRESULTS 1";

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_xml_unless_json_is_asked_for_and_carry_a_tid() {
    let (_sandbox, client) = start(options()).await;
    let as_json = client.query(ONE).await;
    assert!(
        as_json.headers["content-type"].starts_with("application/json")
            && as_json.json()["time"].is_string()
    );
    let bare = client
        .http
        .post(client.url("query"))
        .bearer_auth(&client.access)
        .body(ONE);
    let as_xml = send(bare).await.unwrap();
    assert_eq!(
        as_xml.headers["content-type"],
        "application/xml;charset=utf-8"
    );
    assert!(
        as_xml.text.contains(
            "<QueryResponse startPosition=\"1\" maxResults=\"1\"><Customer domain=\"QBO\""
        )
    );
    let fault = client
        .http
        .post(client.url("query"))
        .bearer_auth(&client.access)
        .body("SELECT");
    assert!(
        send(fault)
            .await
            .unwrap()
            .text
            .contains("<Fault type=\"ValidationFault\"><Error code=\"4000\">")
    );
    assert!(as_json.headers["intuit_tid"] != as_xml.headers["intuit_tid"]);
    assert!(
        as_json
            .headers
            .keys()
            .all(|name| !name.contains("ratelimit") && name != "retry-after")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_by_get_decodes_a_plus_as_a_space() {
    let (_sandbox, client) = start(options()).await;
    let get = async |query: &str| {
        client
            .get(&format!("query?query={query}&minorversion=75"))
            .await
    };
    assert_eq!(
        get("select%20*%20from+Customer+maxresults+3").await.json()["QueryResponse"]["maxResults"],
        3
    );
    let by_time = "select+*+from+Customer+where+MetaData.LastUpdatedTime>'2024-02-01T00:00:00";
    assert_eq!(get(&format!("{by_time}%2B00:00'")).await.status, 200);
    let bitten = get(&format!("{by_time}+00:00'")).await;
    assert_eq!(
        (bitten.status, &bitten.json()["Fault"]["Error"][0]["code"]),
        (400, &json!("4001"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_query_gets_line_and_column() {
    let (_sandbox, client) = start(options()).await;
    let answer = client
        .query("SELECT *\nFROM Customer WHERE Id = '1' OR Id = '2'")
        .await;
    let fault = answer.json();
    assert_eq!(
        (answer.status, &fault["Fault"]["Error"][0]["code"]),
        (400, &json!("4000"))
    );
    let detail = fault["Fault"]["Error"][0]["Detail"].as_str().unwrap();
    assert!(
        detail.contains("\"OR \"\" at line 2, column 30.\nWas expecting one of:\n    <EOF>"),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_realms_and_hosts_are_checked_by_the_gateway() {
    let (sandbox, mut client) = start(SandboxOptions {
        companies: 2,
        ..options()
    })
    .await;
    let realms: Vec<String> = sandbox.realm_ids().map(str::to_owned).collect();
    let code = |answer: &Answer| {
        (
            answer.status,
            answer.json()["fault"]["error"][0]["code"].clone(),
        )
    };
    for realm in [&realms[1], "1"] {
        let url = format!("{}/v3/company/{realm}/query", sandbox.url());
        let request = client
            .http
            .post(url)
            .bearer_auth(&client.access)
            .header("accept", "application/json")
            .body(ONE);
        assert_eq!(code(&send(request).await.unwrap()), (403, json!("3100")));
    }
    let wrong_host = client
        .query_request(ONE)
        .header("host", "quickbooks.api.intuit.com");
    assert_eq!(code(&send(wrong_host).await.unwrap()), (403, json!("3100")));
    let right_host = client
        .query_request(ONE)
        .header("host", "sandbox-quickbooks.api.intuit.com");
    assert_eq!(send(right_host).await.unwrap().status, 200);
    let second = send(client.refresh_request(&sandbox.refresh_token(&realms[1]).unwrap()))
        .await
        .unwrap();
    client.environment.insert("QBO_REALM_ID", realms[1].clone());
    let first_access = std::mem::replace(
        &mut client.access,
        second.json()["access_token"].as_str().unwrap().to_owned(),
    );
    assert_eq!(client.query(ONE).await.status, 200);
    control(&sandbox, "expire-tokens", json!({}));
    // The gateway's 401 is XML even for a client that asked for JSON; the token needs no escape.
    let expired = client.query(ONE).await;
    assert_eq!(expired.status, 401);
    for part in [
        "<Fault type=\"AUTHENTICATION\"><Error code=\"3200\">",
        "<Detail>Token expired: ",
        client.access.as_str(),
    ] {
        assert!(expired.text.contains(part), "{}", expired.text);
    }
    assert!(expired.headers["content-type"].contains("xml"));
    assert!(expired.headers["www-authenticate"].contains("invalid_token"));
    let json = json!({"name": "unauthorized-body", "value": "json"});
    control(&sandbox, "assume", json);
    let expired = client.query(ONE).await;
    assert_eq!(code(&expired), (401, json!("3200")));
    assert!(expired.text.contains(&client.access) && expired.json()["time"].is_u64());
    assert!(expired.headers["www-authenticate"].contains("invalid_token"));
    client.access = format!("{first_access}x");
    assert!(
        client
            .query(ONE)
            .await
            .text
            .contains("Malformed bearer token")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_consent_and_revocation_work() {
    let (sandbox, client) = start(options()).await;
    let document = send(client.http.get(format!(
        "{}/.well-known/openid_sandbox_configuration/",
        sandbox.url()
    )));
    let document = document.await.unwrap().json();
    assert_eq!(
        document["token_endpoint"],
        client.environment["QBO_TOKEN_URL"].as_str()
    );
    let (id, redirect) = (
        &client.environment["QBO_CLIENT_ID"],
        "http%3A%2F%2Flocalhost%2Fcallback",
    );
    let consent = document["authorization_endpoint"].as_str().unwrap();
    let query = format!(
        "client_id={id}&response_type=code&scope=com.intuit.quickbooks.accounting&state=s&redirect_uri={redirect}"
    );
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let sent_to = send(browser.get(format!("{consent}?{query}")))
        .await
        .unwrap();
    assert_eq!(sent_to.status, 302);
    let target = &sent_to.headers["location"];
    assert!(
        target.ends_with(&format!(
            "&state=s&realmId={}",
            client.environment["QBO_REALM_ID"]
        )),
        "{target}"
    );
    let revoke = |body: &str| {
        let request = client
            .http
            .post(document["revocation_endpoint"].as_str().unwrap())
            .body(body.to_owned());
        request.header("content-type", "application/json")
    };
    let keys = |request: reqwest::RequestBuilder| {
        request.basic_auth(
            &client.environment["QBO_CLIENT_ID"],
            Some(&client.environment["QBO_CLIENT_SECRET"]),
        )
    };
    let token = json!({"token": client.access}).to_string();
    let by_bearer = send(revoke(&token).bearer_auth(&client.access))
        .await
        .unwrap();
    assert_eq!((by_bearer.status, by_bearer.text.as_str()), (401, ""));
    let revoked = send(keys(revoke(&token))).await.unwrap();
    assert_eq!((revoked.status, revoked.text.as_str()), (200, ""));
    assert_eq!(send(keys(revoke("{}"))).await.unwrap().status, 400);
    assert_eq!(client.query(ONE).await.status, 401);
    assert_eq!(
        client.refresh().await.json(),
        json!({"error": "invalid_grant"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_enforced_for_queries_batches_and_months() {
    let throttle = ThrottleOptions {
        batches_per_minute: 2,
        monthly_reads: 8,
        ..ThrottleOptions::NONE
    };
    let (sandbox, client) = start(SandboxOptions {
        throttle,
        ..options()
    })
    .await;
    let batch =
        json!({"BatchItemRequest": [{"bId": "a", "Query": ONE}, {"bId": "b", "Query": "SELECT"}]})
            .to_string();
    let send_batch = || {
        let request = client
            .http
            .post(client.url("batch"))
            .bearer_auth(&client.access)
            .body(batch.clone());
        send(request.header("accept", "application/json"))
    };
    let first = send_batch().await.unwrap().json();
    assert_eq!(
        first["BatchItemResponse"][1]["Fault"]["Error"][0]["code"],
        "4000"
    );
    assert_eq!(send_batch().await.unwrap().status, 200);
    let throttled = send_batch().await.unwrap();
    assert_eq!(
        (throttled.status, throttled.headers["content-type"].as_str()),
        (429, "application/xml;charset=utf-8")
    );
    assert!(
        throttled.text.contains("<Error code=\"3001\">")
            && !throttled.headers.contains_key("retry-after")
    );
    // Four reads are left of eight; failed ones are free.
    assert_eq!(client.query("SELECT").await.status, 400);
    for _ in 0..4 {
        assert_eq!(client.query(ONE).await.status, 200);
    }
    assert_eq!(client.query(ONE).await.status, 429);
    assert_eq!(client.refresh().await.status, 429);
    control(
        &sandbox,
        "assume",
        json!({"name": "quota-on-refresh", "value": "free"}),
    );
    assert_eq!(client.refresh().await.status, 200);
    control(&sandbox, "new-month", json!({}));
    assert_eq!(client.query(ONE).await.status, 200);
    control(&sandbox, "limits", json!({"per_minute": 3}));
    control(
        &sandbox,
        "assume",
        json!({"name": "throttle-body", "value": "json"}),
    );
    control(
        &sandbox,
        "assume",
        json!({"name": "retry-after", "value": "seconds"}),
    );
    let throttled = client.query(ONE).await;
    assert_eq!(
        (throttled.status, throttled.headers["retry-after"].as_str()),
        (429, "60")
    );
    assert_eq!(throttled.json()["fault"]["error"][0]["code"], "3001");
    let stats = sandbox.stats();
    assert_eq!(
        (
            stats.requests["batch"][&429],
            stats.requests["token"][&429],
            stats.throttled
        ),
        (1, 1, 3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_company_refuses_every_request_until_it_is_open() {
    let (sandbox, client) = start(options()).await;
    let since = chrono::Utc::now() - chrono::TimeDelta::days(1);
    let cdc = format!(
        "cdc?entities=Invoice&changedSince={}",
        since.format("%Y-%m-%dT%H:%M:%SZ")
    );
    for (close, status, words) in [
        (
            json!({"code": "6190"}),
            400,
            "Subscription period has ended",
        ),
        (json!({"code": "120"}), 401, "\"code\":\"120\""),
        (json!({"code": 3100}), 403, "errorCode=003100"),
        (
            json!({"code": "140", "status": 403, "message": "Being moved"}),
            403,
            "Being moved",
        ),
    ] {
        control(&sandbox, "close", close);
        for answer in [
            client.query(ONE).await,
            client.get(&cdc).await,
            client.get("companyinfo/1").await,
        ] {
            assert_eq!(answer.status, status);
            assert!(answer.text.contains(words), "{}", answer.text);
        }
        assert_eq!(client.refresh().await.status, 200);
    }
    control(&sandbox, "open", json!({}));
    assert_eq!(client.query(ONE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_entity_is_refused_by_name_and_the_others_are_served() {
    let unavailable = vec![(
        "JournalCode".to_owned(),
        qbo_sandbox::Refusal::of_code("4001").unwrap(),
    )];
    let (sandbox, client) = start(SandboxOptions {
        unavailable,
        ..options()
    })
    .await;
    let refused = client.query("SELECT * FROM JournalCode").await;
    assert_eq!(refused.status, 400);
    let words = "Metadata not found for Entity: JournalCode";
    assert!(refused.text.contains(words), "{}", refused.text);
    assert_eq!(client.get("journalcode/1").await.status, 400);
    assert_eq!(client.query(ONE).await.status, 200);
    control(&sandbox, "available", json!({"entity": "JournalCode"}));
    assert_eq!(client.query("SELECT * FROM JournalCode").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_without_queries_are_read_by_id_and_captured() {
    let (sandbox, client) = start(options()).await;
    for (entity, path) in [
        ("ChangeOrder", "changeorder"),
        ("InventoryAdjustment", "inventoryadjustment"),
    ] {
        assert_eq!(
            client
                .query(&format!("SELECT * FROM {entity}"))
                .await
                .status,
            400
        );
        let record = client.get(&format!("{path}/5")).await.json();
        assert_eq!(record[entity]["Id"], "5");
        control(&sandbox, "edit", json!({"entity": entity, "id": "5"}));
        control(&sandbox, "delete", json!({"entity": entity, "id": "6"}));
        let since = chrono::Utc::now() - chrono::TimeDelta::days(1);
        let since = since.format("%Y-%m-%dT%H:%M:%SZ");
        let changes = format!("cdc?entities={entity}&changedSince={since}");
        let changes = client.get(&changes).await.json();
        let changes = &changes["CDCResponse"][0]["QueryResponse"][0][entity];
        assert_eq!(changes[0]["Id"], "5");
        assert_eq!(
            (&changes[1]["Id"], &changes[1]["status"]),
            (&json!("6"), &json!("Deleted"))
        );
        assert_eq!(
            client.get(&format!("{path}/6")).await.json()["Fault"]["Error"][0]["code"],
            "610"
        );
    }
    let all = client.get("taxclassification").await.json();
    let first = all["TaxClassification"][0]["Id"].as_str().unwrap();
    let one = client
        .get(&format!("taxclassification/{first}"))
        .await
        .json();
    assert_eq!(one["TaxClassification"]["Id"], first);
    let report = client.get("reports/BalanceSheet").await;
    assert_eq!(report.status, 400);
    assert!(
        report.text.contains("has no reports yet"),
        "{}",
        report.text
    );
    let url = format!(
        "{}/manage/entitlements/v3/{}",
        client.environment["QBO_API_URL"], client.environment["QBO_REALM_ID"]
    );
    let entitlements = |accept: &'static str| {
        let request = client.http.get(&url).bearer_auth(&client.access);
        send(request.header("accept", accept))
    };
    let xml = entitlements("application/xml").await.unwrap();
    assert!(xml.text.contains("<PlanName>"), "{}", xml.text);
    assert_eq!(entitlements("application/json").await.unwrap().status, 406);
}

/// Returns an invoice with five custom fields and a link.
fn rich_invoice() -> Value {
    let fields: Vec<Value> = (1..=5)
        .map(|id| json!({"DefinitionId": id.to_string(), "Type": "StringType", "StringValue": "x"}))
        .collect();
    json!({
        "Id": "77777",
        "CustomField": fields,
        "InvoiceLink": "https://example.com/rich",
        "MetaData": {"LastUpdatedTime": chrono::Utc::now().to_rfc3339()},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn include_is_served_refused_or_ignored_as_the_company_does() {
    let (sandbox, client) = start(options()).await;
    control(
        &sandbox,
        "put",
        json!({"entity": "Invoice", "record": rich_invoice()}),
    );
    // Returns the status, the number of custom fields, and whether there is a link.
    let ask = async |include: &str| {
        let url = client.url(&format!("query?minorversion=75{include}"));
        let request = client.http.post(url).bearer_auth(&client.access);
        let request = request.header("accept", "application/json");
        let statement = "SELECT * FROM Invoice WHERE Id = '77777'";
        let answer = send(request.body(statement)).await.unwrap();
        let record = &answer.json()["QueryResponse"]["Invoice"][0];
        let fields = record["CustomField"].as_array().map_or(0, Vec::len);
        (answer.status, fields, record["InvoiceLink"].is_string())
    };
    let (custom, link) = ("enhancedAllCustomFields", "invoiceLink");
    assert_eq!(ask("").await, (200, 3, false));
    assert_eq!(ask(&format!("&include={custom}")).await, (200, 5, false));
    assert_eq!(
        ask(&format!("&include={custom},{link}")).await,
        (200, 5, true)
    );
    assert_eq!(
        ask(&format!("&include={custom}&include={link}")).await,
        (200, 5, false)
    );
    assert_eq!(ask("&include=nonsense").await, (200, 3, false));
    control(
        &sandbox,
        "assume",
        json!({"name": "include-form", "value": "repeated"}),
    );
    assert_eq!(
        ask(&format!("&include={custom}&include={link}")).await,
        (200, 5, true)
    );
    assert_eq!(
        ask(&format!("&include={custom},{link}")).await,
        (200, 3, false)
    );
    let read = client.get(&format!("invoice/77777?include={link}")).await;
    assert!(read.json()["Invoice"]["InvoiceLink"].is_string());
    control(
        &sandbox,
        "include",
        json!({"name": custom, "answer": "refused"}),
    );
    assert_eq!(ask(&format!("&include={custom}")).await, (400, 0, false));
    assert_eq!(ask(&format!("&include={link}")).await, (200, 3, true));
    let truth = sandbox
        .truth(None, "Invoice", 1_767_225_600, i64::MAX)
        .unwrap();
    let truth: Value = serde_json::from_str(&truth[0].1).unwrap();
    assert_eq!(truth["CustomField"].as_array().unwrap().len(), 3);
    control(
        &sandbox,
        "include",
        json!({"name": custom, "answer": "ignored"}),
    );
    assert_eq!(ask(&format!("&include={custom}")).await, (200, 3, false));
    control(
        &sandbox,
        "include",
        json!({"name": custom, "answer": "served"}),
    );
    let since = chrono::Utc::now() - chrono::TimeDelta::days(1);
    let path = format!(
        "cdc?entities=Invoice&changedSince={}&include={custom}",
        since.format("%Y-%m-%dT%H:%M:%SZ")
    );
    for (answer, count) in [("ignored", 3), ("served", 5)] {
        control(
            &sandbox,
            "assume",
            json!({"name": "cdc-include", "value": answer}),
        );
        let group = client.get(&path).await.json()["CDCResponse"][0]["QueryResponse"][0].clone();
        let fields = &group["Invoice"][0]["CustomField"];
        assert_eq!(fields.as_array().unwrap().len(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_accounts_change_and_no_time_moves() {
    let (sandbox, client) = start(options()).await;
    let statement = "SELECT * FROM Purchase WHERE Id = '5'";
    let ask = async || client.query(statement).await.json()["QueryResponse"]["Purchase"][0].clone();
    let full = ask().await;
    control(&sandbox, "account-names", json!({"form": "short"}));
    let short = ask().await;
    assert_eq!(full["MetaData"], short["MetaData"]);
    let name = full["AccountRef"]["name"].as_str().unwrap();
    let (_, last) = name.rsplit_once(':').unwrap();
    assert_eq!(short["AccountRef"]["name"], last);
    control(&sandbox, "account-names", json!({"form": "full"}));
    assert_eq!(ask().await, full);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_answer_answer_as_described() {
    let (sandbox, client) = start(options()).await;
    for (fault, status, words) in [
        (json!({"fault": "throttle"}), 429, "<Error code=\"3001\">"),
        (
            json!({"fault": "throttle", "format": "json", "retry_after": 2}),
            429,
            "ThrottleExceeded; errorCode=003001",
        ),
        (
            json!({"fault": "throttle", "status": 403}),
            403,
            "statusCode=403",
        ),
        (json!({"fault": "throttle", "format": "empty"}), 429, ""),
        (json!({"fault": "error"}), 500, "\"code\":\"10000\""),
        (
            json!({"fault": "bad-gateway"}),
            502,
            "<h1>502 Bad Gateway</h1>",
        ),
        (
            json!({"fault": "unavailable", "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
            503,
            "",
        ),
        (
            json!({"fault": "gateway-timeout"}),
            504,
            "<h1>504 Gateway Time-out</h1>",
        ),
        (json!({"fault": "too-large"}), 413, ""),
        (
            json!({"fault": "unauthorized"}),
            401,
            "<Error code=\"3200\">",
        ),
        (
            json!({"fault": "unauthorized", "format": "json"}),
            401,
            "\"3200\"",
        ),
        (json!({"fault": "forbidden"}), 403, "\"3100\""),
        (
            json!({"fault": "forbidden", "format": "xml"}),
            403,
            "<Error code=\"3100\">",
        ),
        (
            json!({"fault": "forbidden", "format": "html"}),
            403,
            "<h1>403 Forbidden</h1>",
        ),
        (json!({"fault": "fault-in-success"}), 200, "{\"Fault\":"),
        (
            json!({"fault": "fault-in-response"}),
            200,
            "{\"QueryResponse\":{\"Fault\":",
        ),
        (json!({"fault": "garbage"}), 200, "<html>"),
        (
            json!({"fault": "fault-in-xml"}),
            200,
            "<Error code=\"10000\">",
        ),
        (json!({"fault": "empty"}), 200, ""),
        (
            json!({"fault": "null-response"}),
            200,
            "{\"QueryResponse\":null,",
        ),
        (json!({"fault": "no-response"}), 200, "{\"time\":"),
        (
            json!({"fault": "other-key"}),
            200,
            "{\"QueryResponse\":{\"Record\":[",
        ),
        (
            json!({"fault": "lost-rows"}),
            200,
            "{\"QueryResponse\":{\"startPosition\":1,\"maxResults\":1}",
        ),
        (
            json!({"fault": "fewer-rows"}),
            200,
            "{\"Customer\":[],\"startPosition\":1,\"maxResults\":1}",
        ),
        (json!({"fault": "more-rows"}), 200, "\"maxResults\":0}"),
        (json!({"fault": "odd-fault"}), 400, "\\u0000Line\\u0007"),
        (json!({"fault": "odd-fault", "status": 500}), 500, "\\u0000"),
        (
            json!({"fault": "scope"}),
            403,
            "The access token does not have sufficient scope",
        ),
        (
            json!({"fault": "firewall"}),
            403,
            "<h1>403 Request blocked</h1>",
        ),
        (
            json!({"fault": "proxy-auth"}),
            407,
            "<h1>407 Proxy Authentication Required</h1>",
        ),
    ] {
        control(&sandbox, "fault", fault.clone());
        let answer = client.query(ONE).await;
        assert_eq!(answer.status, status, "{fault}");
        assert!(answer.text.contains(words), "{fault}: {}", answer.text);
        let retry_after = fault
            .get("retry_after")
            .map(|value| value.as_str().map_or("2", |text| text).to_owned());
        assert_eq!(
            answer.headers.get("retry-after").cloned(),
            retry_after,
            "{fault}"
        );
        assert_eq!(client.query(ONE).await.status, 200, "{fault} struck twice");
    }
    let struck = control(&sandbox, "faults", json!({}));
    assert!(
        struck
            .as_array()
            .unwrap()
            .iter()
            .all(|fault| fault["struck"] == 1),
        "{struck}"
    );
    for (fault, words) in [
        ("invalid-grant", "invalid_grant"),
        ("invalid-client", "invalid_client"),
    ] {
        control(&sandbox, "fault", json!({"fault": fault, "on": "token"}));
        assert_eq!(client.query(ONE).await.status, 200);
        assert!(client.refresh().await.text.contains(words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_a_month_can_fail_and_no_other() {
    let (sandbox, client) = start(options()).await;
    let rule = json!({"fault": "error", "on": "query", "contains": "2024-03-", "times": 0});
    control(&sandbox, "fault", rule);
    let status = async |from: &str, until: &str| {
        let time = "MetaData.LastUpdatedTime";
        let statement =
            format!("SELECT * FROM Invoice WHERE {time} >= '{from}' AND {time} < '{until}'");
        client.query(&statement).await.status
    };
    assert_eq!(
        status("2024-02-01T00:00:00Z", "2024-02-29T00:00:00Z").await,
        200
    );
    for _ in 0..3 {
        assert_eq!(
            status("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z").await,
            500
        );
    }
    assert_eq!(
        status("2024-03-31T23:00:00Z", "2024-03-31T23:30:00Z").await,
        500
    );
    assert_eq!(
        status("2024-04-01T00:00:00Z", "2024-05-01T00:00:00Z").await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_of_tokens_and_change_data_capture_strike_no_query() {
    let (sandbox, client) = start(options()).await;
    let since = chrono::Utc::now() - chrono::TimeDelta::days(1);
    let since = since.format("%Y-%m-%dT%H:%M:%SZ");
    let path = format!("cdc?entities=Estimate,Invoice&changedSince={since}");
    let order = json!({"name": "cdc-order", "value": "asked"});
    control(&sandbox, "assume", order);
    control(&sandbox, "edit", json!({"entity": "Invoice", "id": "5"}));
    control(&sandbox, "edit", json!({"entity": "Estimate", "id": "5"}));
    for fault in ["cdc-fault", "cdc-missing", "cdc-merged", "cdc-reversed"] {
        let rule = json!({"fault": fault, "entity": "Invoice"});
        control(&sandbox, "fault", rule);
        assert!(client.query(ONE).await.json()["QueryResponse"]["Customer"].is_array());
        let groups = &client.get(&path).await.json()["CDCResponse"][0]["QueryResponse"];
        let found = match fault {
            "cdc-fault" => groups[1]["Fault"].is_object(),
            "cdc-missing" => groups.as_array().unwrap().len() == 1,
            "cdc-merged" => groups[0]["Estimate"].is_array() && groups[0]["Invoice"].is_array(),
            _ => groups[0]["Invoice"].is_array() && groups[1]["Estimate"].is_array(),
        };
        assert!(found, "{fault}: {groups}");
    }
    control(
        &sandbox,
        "fault",
        json!({"fault": "lifetimes", "value": "3600"}),
    );
    assert_eq!(client.query(ONE).await.status, 200);
    assert_eq!(client.refresh().await.json()["expires_in"], "3600");
    assert_eq!(client.refresh().await.json()["expires_in"], 3600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_record_comes_at_its_own_time_among_the_others() {
    let (sandbox, client) = start(options()).await;
    let text = r#"{"Id":77,"MetaData":{"LastUpdatedTime":"1999-01-01T00:00:00+23:00"}}"#;
    for (id, record) in [("a", json!(text)), ("b", json!({"Id": [1]}))] {
        let at = "2026-01-05T00:00:00Z";
        let raw = json!({"entity": "Term", "id": id, "record": record, "at": at});
        control(&sandbox, "put-raw", raw);
    }
    let statement = "SELECT * FROM Term WHERE MetaData.LastUpdatedTime >= '2026-01-05T00:00:00Z'";
    let found = client.query(statement).await.text;
    assert!(
        found.contains(text) && found.contains(r#"{"Id":[1]}"#),
        "{found}"
    );
    let by_id = client.query("SELECT * FROM Term WHERE Id = 'a'").await.text;
    assert!(
        by_id.contains(text) && by_id.contains(r#""maxResults":1"#),
        "{by_id}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_wire_break_it_as_described() {
    let (sandbox, client) = start(options()).await;
    let arm = |fault: Value| control(&sandbox, "fault", fault);
    arm(json!({"fault": "reset"}));
    let reset = send(client.query_request(ONE)).await.err().unwrap();
    assert!(reset.is_request(), "{reset:?}");
    arm(json!({"fault": "truncate"}));
    let cut = send(client.query_request("SELECT * FROM Invoice"))
        .await
        .err()
        .unwrap();
    assert!(cut.is_body() || cut.is_decode(), "{cut:?}");
    arm(json!({"fault": "hang"}));
    let begin = Instant::now();
    let hung = send(
        client
            .query_request(ONE)
            .timeout(Duration::from_millis(300)),
    )
    .await
    .err()
    .unwrap();
    assert!(hung.is_timeout() && begin.elapsed() >= Duration::from_millis(300));
    arm(json!({"fault": "slow", "ms": 300}));
    let begin = Instant::now();
    assert_eq!(client.query(ONE).await.status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    arm(json!({"fault": "trickle", "bytes_per_s": 4000}));
    let (begin, whole) = (Instant::now(), client.query(ONE).await);
    let least = Duration::from_secs_f64(whole.text.len() as f64 / 4000.0 / 2.0);
    assert!(
        begin.elapsed() >= least && whole.json()["QueryResponse"]["maxResults"] == 1,
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(client.query(ONE).await.status, 200);
    let stats = sandbox.stats();
    // What was reset or given up never got a status.
    assert_eq!(stats.requests["query"][&0], 2, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_answer_is_lost_has_rotated_the_token() {
    let mut options = options();
    options.oauth.rotate_after = Duration::ZERO;
    let sandbox = Sandbox::start(options).unwrap();
    control(
        &sandbox,
        "fault",
        json!({"fault": "lost-answer", "on": "token"}),
    );
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = sandbox.environment().into_iter().collect();
    let client = Client {
        http: reqwest::Client::new(),
        environment,
        access: String::new(),
    };
    let seed = client.environment["QBO_REFRESH_TOKEN"].clone();
    assert!(send(client.refresh_request(&seed)).await.is_err());
    assert_eq!(client.refresh().await.json()["error"], "invalid_grant");
    let rotated = control(&sandbox, "refresh-token", json!({}))["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(rotated, seed);
    assert_eq!(
        send(client.refresh_request(&rotated)).await.unwrap().status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_can_change_between_two_pages() {
    let commands = [
        json!({"command": "delete", "entity": "Invoice", "id": "oldest"}),
        json!({"command": "insert", "entity": "Invoice", "at": "2026-01-02"}),
        json!({"command": "edit", "entity": "Invoice", "id": "oldest", "at": "2026-01-03"}),
    ];
    let rule = json!({"fault": "change", "on": "query", "contains": "Invoice", "do": commands})
        .to_string();
    let (sandbox, client) = start(SandboxOptions {
        faults: vec![FaultRule::parse(&rule).unwrap()],
        ..options()
    })
    .await;
    let page = "SELECT * FROM Invoice ORDERBY MetaData.LastUpdatedTime MAXRESULTS 2";
    let ids = |answer: Answer| -> Vec<Value> {
        answer.json()["QueryResponse"]["Invoice"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["Id"].clone())
            .collect()
    };
    let first = ids(client.query(page).await);
    let second = ids(client.query(page).await);
    assert!(
        !second.contains(&first[0]) && !second.contains(&first[1]),
        "{first:?} {second:?}"
    );
    assert_eq!(ids(client.query(page).await), second);
    let truth = control(
        &sandbox,
        "truth",
        json!({"entity": "Invoice", "start": "2026-01-01", "end": "2026-02-01"}),
    );
    assert_eq!(truth["count"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_api_lists_what_it_can_do_and_refuses_the_rest() {
    let (sandbox, client) = start(options()).await;
    let at = |path: &str| format!("{}/sandbox{path}", sandbox.url());
    let help = send(client.http.get(at(""))).await.unwrap().json();
    let names: Vec<&str> = help["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["command"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"truth") && help["faults"].as_array().unwrap().len() >= 38);
    for (path, body, status, words) in [
        ("/nonsense", "{}", 400, "there is no command 'nonsense'"),
        ("/edit", "{}", 400, "the arguments entity, id are missing"),
        (
            "/edit",
            r#"{"entity":"Invoice","id":"x"}"#,
            400,
            "there is no Invoice x",
        ),
        (
            "/edit",
            r#"{"entity":"Invoice","id":"1","when":"now"}"#,
            400,
            "'when' is not an argument",
        ),
        (
            "/edit",
            r#"{"entity":"Invoice","id":"1","at":"soon"}"#,
            400,
            "at is not an instant: 'soon'",
        ),
        (
            "/void",
            r#"{"entity":"Customer","id":"1"}"#,
            400,
            "this is not possible for Customer",
        ),
        (
            "/fault",
            r#"{"fault":"explode"}"#,
            400,
            "there is no fault 'explode'; there are throttle, ",
        ),
        (
            "/assume",
            r#"{"name":"id-order","value":"x"}"#,
            400,
            "id-order is one of",
        ),
        (
            "/webhooks",
            r#"{"url":"mailto:x"}"#,
            400,
            "not an http or https URL",
        ),
        ("/truth", "[]", 400, "not a JSON object"),
        (
            "/stats",
            r#"{"realm":"7"}"#,
            400,
            "'realm' is not an argument",
        ),
        (
            "/entities",
            r#"{"realm":"7"}"#,
            400,
            "there is no company 7",
        ),
    ] {
        let post = client.http.post(at(path)).body(body);
        let post = post.header("content-type", "application/json");
        let answer = send(post).await.unwrap();
        assert_eq!(answer.status, status, "{path} {body}");
        let error = answer.json();
        assert!(error["error"].as_str().unwrap().contains(words), "{error}");
        assert_eq!(error["commands"].as_array().unwrap().len(), names.len());
    }
    assert_eq!(
        send(client.http.get(at("/edit?entity=Invoice&id=1")))
            .await
            .unwrap()
            .status,
        405
    );
    let truth = send(
        client
            .http
            .get(at("/truth?entity=invoice&start=2024-01-01&end=2024-02-01")),
    )
    .await
    .unwrap();
    let from = chrono::DateTime::parse_from_rfc3339("2024-01-01T00:00:00Z")
        .unwrap()
        .timestamp();
    let expected = sandbox
        .truth(None, "Invoice", from, from + 31 * 86_400)
        .unwrap();
    assert!(!expected.is_empty() && truth.json()["count"] == expected.len());
    // Payloads are text, number for number.
    assert!(
        expected
            .iter()
            .all(|(_, payload)| truth.text.contains(payload.as_str()))
    );
    // None of this counted as QuickBooks's requests.
    assert_eq!(
        sandbox.stats().requests.keys().copied().collect::<Vec<_>>(),
        ["token"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_changes_appear_after_a_while_and_the_truth_knows_them_at_once() {
    let (sandbox, client) = start(options()).await;
    control(&sandbox, "visibility-delay", json!({"seconds": 0.6}));
    let id = control(&sandbox, "insert", json!({"entity": "Invoice"}))["ids"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let statement = format!("SELECT COUNT(*) FROM Invoice WHERE Id = '{id}'");
    let mut counts = Vec::new();
    within(Duration::from_secs(10), async || {
        let answer = client.query(&statement).await.json();
        let count = answer["QueryResponse"]["totalCount"].as_u64().unwrap();
        counts.push(count);
        (count == 1)
            .then_some(())
            .ok_or_else(|| format!("{counts:?}"))
    })
    .await;
    // The share of the delay depends on the id alone; this one is not hidden for so short that
    // nobody could tell.
    assert_eq!((counts.first(), counts.last()), (Some(&0), Some(&1)));
    assert!(
        sandbox
            .truth(None, "Invoice", i64::MIN, i64::MAX)
            .unwrap()
            .iter()
            .any(|(found, _)| *found == id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_count_what_arrived() {
    let (sandbox, client) = start(SandboxOptions {
        latency: Duration::from_millis(200),
        ..options()
    })
    .await;
    let all = (0..6).map(|_| client.query(ONE));
    futures_util::future::join_all(all).await;
    let stats = sandbox.stats();
    assert_eq!(
        (stats.data_requests, stats.most_in_flight, stats.refreshes),
        (6, 6, 1)
    );
    assert!(
        stats.most_per_second == 6 && stats.bytes_sent > 3000,
        "{stats:?}"
    );
    control(&sandbox, "reset-stats", json!({}));
    assert_eq!(sandbox.stats().data_requests, 0);
}

/// Real answers, recorded, of a company whose records the sandbox serves: order, shape and every
/// byte but the time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs recorded answers: set QBO_RECORDED_ANSWERS"]
async fn recorded_answers_are_given_again_byte_for_byte() {
    let folder = crate::recorded::recordings();
    let without_time = |text: &str| text[..text.rfind("\"time\"").unwrap()].to_owned();
    for (records, file, statement) in [
        (
            "all-customers-2.200.json",
            "all-customers-2.200.json",
            "SELECT * FROM Customer MAXRESULTS 1000",
        ),
        (
            "all-customers-2.200.json",
            "all-customers-1.200.json",
            "SELECT COUNT(*) FROM Customer",
        ),
        (
            "all-sales_receipts.200.json",
            "all-sales_receipts.200.json",
            "SELECT * FROM SalesReceipt",
        ),
        (
            "get-inactive_vendors.200.json",
            "get-inactive_vendors.200.json",
            "SELECT * FROM Vendor WHERE Active IN (true, false)",
        ),
        (
            "all-customers-2.200.json",
            "error-400-2.400.json",
            "SELECT * FROM Custmoer",
        ),
    ] {
        let (_sandbox, client) = start(SandboxOptions {
            records: vec![folder.join(records)],
            ..options()
        })
        .await;
        let recorded = std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(
            without_time(&client.query(statement).await.text),
            without_time(&recorded),
            "{file}"
        );
        println!("{file}: equal");
    }
}

/// Takes webhooks: reads requests, answers each with the next of these statuses, hands on headers
/// and bodies.
async fn receiver(
    statuses: Vec<u16>,
) -> (
    String,
    tokio::sync::mpsc::UnboundedReceiver<(String, String)>,
) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (received, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for status in statuses.into_iter().chain(std::iter::repeat(200)) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            let (head, body) = loop {
                let mut part = [0; 4096];
                let size = stream.read(&mut part).await.unwrap();
                text.extend_from_slice(&part[..size]);
                let so_far = String::from_utf8_lossy(&text).into_owned();
                let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = received.send((head, body));
        }
    });
    (url, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_signed_repeated_and_tried_again() {
    let sandbox = Sandbox::start(options()).unwrap();
    let (url, mut requests) = receiver(vec![500]).await;
    let settings = json!({"url": url, "verifier_token": "v", "duplicate_every": 2, "gather_ms": 50, "retry_s": [0.05, 0.05],
        "mix_realm": "77"});
    control(&sandbox, "webhooks", settings);
    control(&sandbox, "void", json!({"entity": "Invoice", "id": "5"}));
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(10), requests.recv())
            .await
            .unwrap()
            .unwrap()
    };
    let (head, body) = next().await;
    assert!(head.starts_with("POST /hook"));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"v");
    let signature = base64_of(ring::hmac::sign(&key, body.as_bytes()).as_ref());
    assert!(
        head.contains(&format!("intuit-signature: {signature}")),
        "{head}"
    );
    let events: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&events[0]["type"], &events[0]["intuitentityid"]),
        (&json!("qbo.invoice.void.v1"), &json!("5"))
    );
    assert_eq!(events[1]["intuitaccountid"], "77");
    // The first attempt was answered with 500: the same again.
    assert_eq!(next().await.1, body);
    control(&sandbox, "delete", json!({"entity": "Invoice", "id": "6"}));
    let (first, second) = (next().await.1, next().await.1);
    assert!(
        first == second && first.contains("qbo.invoice.deleted.v1"),
        "{first}"
    );
    let attempts = || -> Vec<Value> {
        let deliveries = control(&sandbox, "deliveries", json!({}));
        deliveries
            .as_array()
            .unwrap()
            .iter()
            .map(|delivery| delivery["attempts"].clone())
            .collect()
    };
    within(Duration::from_secs(10), async || {
        let attempts = attempts();
        let are_done = attempts == [json!([500, 200]), json!([200, 200])];
        are_done
            .then_some(())
            .ok_or_else(|| format!("{attempts:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_tried_without_end_and_later_ones_can_be_withheld() {
    let sandbox = Sandbox::start(options()).unwrap();
    let (url, mut requests) = receiver(vec![400; 5]).await;
    let settings = json!({"url": url, "gather_ms": 1, "retry_s": [0.05], "withhold": true});
    control(&sandbox, "webhooks", settings);
    control(&sandbox, "void", json!({"entity": "Invoice", "id": "5"}));
    let mut next = async || {
        let next = tokio::time::timeout(Duration::from_secs(10), requests.recv()).await;
        next.unwrap().unwrap().1
    };
    let first = next().await;
    // The second delivery waits, however often the first one is refused.
    control(&sandbox, "delete", json!({"entity": "Invoice", "id": "6"}));
    for attempt in 2..=6 {
        assert_eq!(next().await, first, "attempt {attempt}");
    }
    assert!(next().await.contains("qbo.invoice.deleted.v1"));
    let deliveries = control(&sandbox, "deliveries", json!({}));
    assert_eq!(
        deliveries[0]["attempts"],
        json!([400, 400, 400, 400, 400, 200])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_options_of_webhooks_reach_a_delivery_that_waits_for_its_next_attempt() {
    let sandbox = Sandbox::start(options()).unwrap();
    let (url, mut requests) = receiver(vec![401, 401]).await;
    let set = |token: &str, withhold: bool| {
        let settings = json!({"url": url, "verifier_token": token, "gather_ms": 1, "retry_s": [3600], "withhold": withhold});
        control(&sandbox, "webhooks", settings);
    };
    let mut next = async || {
        let next = tokio::time::timeout(Duration::from_secs(10), requests.recv()).await;
        let (head, body) = next.expect("an attempt").unwrap();
        let signed_with = |token: &str| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, token.as_bytes());
            base64_of(ring::hmac::sign(&key, body.as_bytes()).as_ref())
        };
        let is_signed_with = |token: &&str| head.contains(&signed_with(token));
        let token = ["old", "new"].into_iter().find(is_signed_with);
        (token.unwrap(), body)
    };
    set("old", true);
    control(&sandbox, "void", json!({"entity": "Invoice", "id": "5"}));
    let (token, first) = next().await;
    assert_eq!(token, "old");
    // The second one is withheld.
    control(&sandbox, "delete", json!({"entity": "Invoice", "id": "6"}));
    set("new", true);
    assert_eq!(next().await, ("new", first.clone()));
    // Nothing is withheld any more, and the first one is tried again.
    set("new", false);
    let mut both = [next().await, next().await];
    both.sort_by_key(|(_, body)| body != &first);
    assert_eq!(both[0], ("new", first));
    assert_eq!(both[1].0, "new");
    assert!(both[1].1.contains("qbo.invoice.deleted.v1"));
}

pub(crate) fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn assumptions_can_be_made_at_the_start() {
    let mut assumptions = Assumptions::default();
    assumptions.set("grant-description", "present").unwrap();
    assumptions.set("position-zero", "first").unwrap();
    let (_sandbox, client) = start(SandboxOptions {
        assumptions,
        ..options()
    })
    .await;
    assert_eq!(
        client
            .query("SELECT * FROM Item STARTPOSITION 0")
            .await
            .status,
        200
    );
    let refused = send(client.refresh_request("x")).await.unwrap().json();
    assert_eq!(
        refused["error_description"],
        "Incorrect or invalid refresh token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_api_takes_nothing_that_another_site_makes_a_browser_send() {
    let (sandbox, client) = start(options()).await;
    let from = |at: &str| {
        chrono::DateTime::parse_from_rfc3339(at)
            .unwrap()
            .timestamp()
    };
    let (start, end) = (from("2024-01-01T00:00:00Z"), from("2100-01-01T00:00:00Z"));
    let books = || sandbox.truth(None, "Invoice", start, end).unwrap();
    let before = books();
    let edit = format!("{}/sandbox/edit", sandbox.url());
    let by_query = format!("{edit}?entity=Invoice&id=oldest");
    let body = r#"{"entity":"Invoice","id":"oldest"}"#;
    let json = ("content-type", "application/json");
    let own = sandbox.url().to_owned();
    for (headers, status) in [
        (vec![json, ("origin", "http://elsewhere.example")], 403),
        (vec![json, ("origin", "null")], 403),
        (vec![json, ("host", "elsewhere.example:8911")], 403),
        (vec![json, ("host", "127.0.0.1.elsewhere.example")], 403),
        (vec![("content-type", "text/plain")], 415),
        (
            vec![("content-type", "application/x-www-form-urlencoded")],
            415,
        ),
        (vec![], 415),
    ] {
        for url in [&edit, &by_query] {
            // A request with a query has no body, so that nothing has a type.
            if url == &by_query && status == 415 {
                continue;
            }
            let mut post = client.http.post(url);
            if url == &edit {
                post = post.body(body);
            }
            for (name, value) in &headers {
                post = post.header(*name, *value);
            }
            let answer = send(post).await.unwrap();
            assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
        }
    }
    assert_eq!(books(), before);
    for headers in [
        vec![json],
        vec![
            ("content-type", "application/json; charset=utf-8"),
            ("origin", &own),
        ],
        vec![json, ("host", "sandbox:8911")],
    ] {
        let mut post = client.http.post(&edit).body(body);
        for (name, value) in &headers {
            post = post.header(*name, *value);
        }
        assert_eq!(send(post).await.unwrap().status, 200, "{headers:?}");
    }
    assert_ne!(books(), before);
}
