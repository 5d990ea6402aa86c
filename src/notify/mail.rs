//! E-mail by SMTP.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::MailConfig;
use crate::error::{Error, Result};

/// A mail server with sender and receivers.
pub(crate) struct Mail {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// The server's URL holds a password.
impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Mail {
    /// # Errors
    /// [`Error::Config`] with the setting that is wrong.
    pub(super) fn new(config: &MailConfig, timeout: Duration) -> Result<Self> {
        // The provider of the process; a second call fails, which is harmless.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = config.server.expose();
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| {
            let reason = "is not a URL such as smtps://user:password@host:465 or smtp://host:587?tls=required";
            Error::config("QBO_ALERT_SMTP_URL", reason)
        })?;
        let to = config
            .to
            .iter()
            .map(|text| address("QBO_ALERT_MAIL_TO", text));
        Ok(Self {
            server: builder.timeout(Some(timeout)).build(),
            from: address("QBO_ALERT_MAIL_FROM", &config.from)?,
            to: to.collect::<Result<_>>()?,
        })
    }

    /// Sends a message to all receivers.
    ///
    /// # Errors
    /// The reason, without a secret.
    pub(super) async fn send(&self, subject: &str, text: String) -> Result<()> {
        let mut message = Message::builder().from(self.from.clone()).subject(subject);
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = message
            .body(text)
            .map_err(|error| Error::Internal(format!("the message cannot be written: {error}")))?;
        let sent = self.server.send(message).await;
        sent.map(drop).map_err(|error| Error::Transport {
            reason: reason(&error),
            was_sent: error.status().is_some(),
            source: None,
        })
    }
}

fn address(name: &'static str, text: &str) -> Result<Mailbox> {
    text.parse()
        .map_err(|_| Error::config(name, format!("'{text}' is not an e-mail address")))
}

/// Returns why a message was not sent. The words of the server stay out: they may repeat what it was
/// sent.
fn reason(error: &SmtpError) -> String {
    if error.is_timeout() {
        return "the mail server did not answer in time".to_owned();
    }
    if error.is_tls() {
        return "TLS with the mail server failed".to_owned();
    }
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None => "the mail server cannot be reached".to_owned(),
    }
}
