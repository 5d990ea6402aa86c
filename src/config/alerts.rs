//! Settings of alerts: who is told, and from when.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use super::Settings;
use crate::error::{Error, Result};
use crate::port::Secret;

/// The places that are told of alerts, and the age from which data is stale.
#[derive(Debug, Clone, Default)]
pub struct AlertConfig {
    /// An incoming webhook of Slack, or of a service that takes its messages. Its URL is a secret.
    pub slack: Option<Secret>,
    /// A URL that takes plain JSON. It may hold a key.
    pub webhook: Option<Secret>,
    /// E-mail.
    pub mail: Option<MailConfig>,
    /// The age from which a company's records are stale; `None`: never.
    pub stale_after: Option<Duration>,
}

/// E-mail by SMTP.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// `smtps://user:password@host:465`, or `smtp://` with `?tls=required`.
    pub server: Secret,
    /// Sender.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
}

impl Settings {
    /// Returns the checked settings of alerts.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting that is wrong; its value is not shown.
    pub fn alerts(&self) -> Result<AlertConfig> {
        let stale_after = self.seconds("QBO_ALERT_STALE_S")?;
        Ok(AlertConfig {
            slack: self.secret_url("QBO_ALERT_SLACK_URL")?,
            webhook: self.secret_url("QBO_ALERT_WEBHOOK_URL")?,
            mail: self.mail()?,
            stale_after: (!stale_after.is_zero()).then_some(stale_after),
        })
    }

    /// Returns a URL that is a secret as a whole.
    fn secret_url(&self, name: &'static str) -> Result<Option<Secret>> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Some(Secret::new(text)))
            }
            _ => Err(Error::config(name, "is not an http or https URL")),
        }
    }

    fn mail(&self) -> Result<Option<MailConfig>> {
        let Some(server) = self.secret("QBO_ALERT_SMTP_URL") else {
            return Ok(None);
        };
        self.require(&["QBO_ALERT_MAIL_FROM", "QBO_ALERT_MAIL_TO"])?;
        check_mail_server(server.expose())?;
        let to = self.text("QBO_ALERT_MAIL_TO");
        let to = to.split(',').map(|address| address.trim().to_owned());
        Ok(Some(MailConfig {
            server,
            from: self.text("QBO_ALERT_MAIL_FROM"),
            to: to.filter(|address| !address.is_empty()).collect(),
        }))
    }
}

/// Refuses a mail server to which the password would go unencrypted.
fn check_mail_server(url: &str) -> Result<()> {
    let Ok(url) = Url::parse(url) else {
        // Whoever connects to it tells what is wrong.
        return Ok(());
    };
    let must_encrypt = |(name, value): (_, _)| name == "tls" && value == "required";
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let is_safe = url.scheme() != "smtp" || is_local || url.query_pairs().any(must_encrypt);
    if is_safe || url.password().is_none() {
        return Ok(());
    }
    let reason = "would send the password unencrypted; write smtps://, or add ?tls=required";
    Err(Error::config("QBO_ALERT_SMTP_URL", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_to_no_mail_server_unencrypted() {
        for url in [
            "smtp://u:secret@mail.example.com:587",
            "smtp://u:secret@mail.example.com?tls=opportunistic",
            "smtp://u:secret@127.0.0.1.example.com",
        ] {
            let told = check_mail_server(url).unwrap_err().to_string();
            assert!(
                told.contains("?tls=required") && !told.contains("secret"),
                "{told}"
            );
        }
        for url in [
            "smtps://u:secret@mail.example.com:465",
            "smtp://u:secret@mail.example.com:587?tls=required",
            "smtp://mail.example.com:25",
            "smtp://u:secret@localhost",
            "smtp://u:secret@[::1]:25",
        ] {
            assert!(check_mail_server(url).is_ok(), "{url}");
        }
    }
}
