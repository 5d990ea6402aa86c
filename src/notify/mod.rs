//! Messages to people outside: a webhook in the shape of Slack or in plain JSON, and e-mail.
//!
//! A place gets what its owner has configured, and nothing else is sent anywhere.

mod mail;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::Serialize;

use self::mail::Mail;
use crate::config::AlertConfig;
use crate::error::{Error, Result};
use crate::http::{Timeouts, Transport};
use crate::language::{Language, current, say};
use crate::port::{Endpoint, NoProgress, Secret};

/// The time for one message.
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 * 1024;

/// A message about one alert.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Notice<'a> {
    /// `raised` or `resolved`.
    pub status: &'static str,
    /// Kind of the alert.
    pub kind: &'a str,
    /// The company.
    pub realm_id: &'a str,
    /// One sentence for people, in the language of this process.
    pub text: Cow<'a, str>,
}

/// A place that is told of alerts.
#[derive(Debug)]
pub(crate) struct Place {
    means: Means,
    key: String,
}

#[derive(Debug)]
enum Means {
    Slack(Transport, Secret),
    Webhook(Transport, Secret),
    Mail(Mail),
}

/// Returns the places that are configured.
///
/// # Errors
/// [`Error::Config`] with the setting that is wrong.
pub(crate) fn places(config: &AlertConfig) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let timeouts = Timeouts {
        connect: TIMEOUT,
        read: TIMEOUT,
        request: TIMEOUT,
        max_answer: MAX_ANSWER,
    };
    let transport = || Transport::new(timeouts, Endpoint::Data, Arc::new(NoProgress));
    if let Some(url) = &config.slack {
        let means = Means::Slack(transport()?, url.clone());
        places.push(Place::new(means, url.expose()));
    }
    if let Some(url) = &config.webhook {
        let means = Means::Webhook(transport()?, url.clone());
        places.push(Place::new(means, url.expose()));
    }
    if let Some(mail) = &config.mail {
        let means = Means::Mail(Mail::new(mail, TIMEOUT)?);
        places.push(Place::new(means, &mail.to.join(",")));
    }
    Ok(places)
}

impl Place {
    /// Returns a place; `address` is whom it reaches. Another address has not heard of anything yet.
    fn new(means: Means, address: &str) -> Self {
        let digest = digest(&SHA256, address.as_bytes());
        // So few digits that an address cannot be found by them.
        let digits = digest.as_ref().iter().take(4);
        let digits: String = digits.map(|byte| format!("{byte:02x}")).collect();
        let key = format!("{}:{digits}", means.name());
        Self { means, key }
    }

    /// Returns the name in the log; it holds no secret.
    pub(crate) fn name(&self) -> &'static str {
        self.means.name()
    }

    /// Returns the name in `qbo.alerts`, which tells places of one kind apart; it holds no secret.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Tells all notices in one message.
    ///
    /// # Errors
    /// The reason why it was not taken, without a secret.
    pub(crate) async fn tell(&self, notices: &[Notice<'_>]) -> Result<()> {
        self.tell_within(TIMEOUT, notices).await
    }

    /// Tells within a time: a mail server that falls silent is cut by no time limit of its client.
    async fn tell_within(&self, limit: Duration, notices: &[Notice<'_>]) -> Result<()> {
        let told = tokio::time::timeout(limit, self.means.tell(notices));
        told.await.unwrap_or_else(|_| {
            Err(Error::Transport {
                reason: "it did not answer in time".to_owned(),
                was_sent: true,
                source: None,
            })
        })
    }
}

impl Means {
    fn name(&self) -> &'static str {
        match self {
            Self::Slack(..) => "slack",
            Self::Webhook(..) => "webhook",
            Self::Mail(_) => "mail",
        }
    }

    async fn tell(&self, notices: &[Notice<'_>]) -> Result<()> {
        match self {
            Self::Slack(transport, url) => {
                post(
                    transport,
                    url,
                    &serde_json::json!({"text": lines(notices, current())}),
                )
                .await
            }
            Self::Webhook(transport, url) => {
                let body = serde_json::json!({
                    "source": "qbo_rs",
                    "version": env!("CARGO_PKG_VERSION"),
                    "alerts": notices,
                });
                post(transport, url, &body).await
            }
            Self::Mail(mail) => {
                let language = current();
                mail.send(&subject(notices, language), lines(notices, language))
                    .await
            }
        }
    }
}

async fn post(transport: &Transport, url: &Secret, body: &serde_json::Value) -> Result<()> {
    match transport.post_json(url, body.to_string()).await? {
        200..300 => Ok(()),
        status => Err(Error::Transport {
            reason: format!("it answered HTTP {status}"),
            was_sent: true,
            source: None,
        }),
    }
}

fn subject(notices: &[Notice<'_>], language: Language) -> String {
    let raised = notices.iter().filter(|notice| notice.status == "raised");
    match (raised.count(), notices.len()) {
        (0, resolved) => say!(in language; count resolved; "[qbo_rs] {resolved} is resolved",
            "[qbo_rs] {resolved} are resolved", resolved),
        (raised, _) => say!(in language; count raised; "[qbo_rs] {raised} needs somebody",
            "[qbo_rs] {raised} need somebody", raised),
    }
}

/// Returns a line for each notice. Slack takes `&`, `<` and `>` for marks of its own; a text of ours has
/// none of them, but names of others might.
fn lines(notices: &[Notice<'_>], language: Language) -> String {
    let line = |notice: &Notice<'_>| {
        let text = notice.text.replace(['<', '>', '&', '\r', '\n'], " ");
        match notice.status {
            "raised" => format!("qbo_rs: {text}"),
            _ => say!(in language; "qbo_rs, resolved: {text}", text),
        }
    };
    notices.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MailConfig;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_mail_server_that_says_nothing_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("smtp://{}", listener.local_addr().unwrap());
        let config = AlertConfig {
            mail: Some(MailConfig {
                server: Secret::new(server),
                from: "qbo@example.com".to_owned(),
                to: vec!["ana@example.com".to_owned()],
            }),
            ..AlertConfig::default()
        };
        let places = places(&config).unwrap();
        let told = places[0].tell_within(Duration::from_millis(100), &[]);
        let told = tokio::time::timeout(Duration::from_secs(5), told).await;
        let error = told.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "it did not answer in time");
    }

    #[test]
    fn another_channel_is_another_place() {
        let place = |url: &str| {
            let config = AlertConfig {
                webhook: Some(Secret::new(url)),
                ..AlertConfig::default()
            };
            places(&config).unwrap().remove(0)
        };
        let (one, same, other) = (
            place("https://h/one"),
            place("https://h/one"),
            place("https://h/other"),
        );
        assert_eq!(one.key(), same.key());
        assert_ne!(one.key(), other.key());
        assert_eq!(one.name(), "webhook");
        assert_eq!(one.key().len(), "webhook:".len() + 8);
    }

    #[tokio::test]
    async fn a_place_that_answers_with_a_failure_is_no_fault_of_ours() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let config = AlertConfig {
            webhook: Some(Secret::new(url)),
            ..AlertConfig::default()
        };
        let places = places(&config).unwrap();
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let read = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            read
        };
        let (told, _) = tokio::join!(places[0].tell(&[]), answer);
        assert_eq!(told.unwrap_err().to_string(), "it answered HTTP 500");
    }

    #[test]
    fn a_message_names_each_alert_on_a_line_of_its_own() {
        let raised = Notice {
            status: "raised",
            kind: "stale",
            realm_id: "9",
            text: "It is <stale>\nand more.".into(),
        };
        let resolved = Notice {
            status: "resolved",
            ..raised.clone()
        };
        assert_eq!(
            lines(&[raised.clone(), resolved.clone()], Language::En),
            "qbo_rs: It is  stale  and more.\nqbo_rs, resolved: It is  stale  and more."
        );
        assert_eq!(
            subject(&[raised.clone(), resolved.clone()], Language::En),
            "[qbo_rs] 1 needs somebody"
        );
        assert_eq!(
            subject(std::slice::from_ref(&resolved), Language::En),
            "[qbo_rs] 1 is resolved"
        );
        let spanish = Language::Es;
        assert_eq!(
            subject(&[raised.clone(), raised], spanish),
            "[qbo_rs] 2 requieren atención"
        );
        assert!(lines(&[resolved], spanish).starts_with("qbo_rs, resuelto: "));
    }
}
