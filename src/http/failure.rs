//! The meaning of a request that brought no usable answer: what a person can do about it, and
//! whether to try again.

use reqwest::Url;
use rustls::{AlertDescription, CertificateError};

use super::body::Full;
use super::proxy::Proxy;
use crate::error::{Error, chain};

/// A failure, and whether the request had left this machine.
pub(super) struct Lost {
    pub error: Error,
    pub was_sent: bool,
}

impl Lost {
    /// Returns the failure of a request that has left.
    pub(super) fn after_sending(error: Error) -> Self {
        Self {
            error,
            was_sent: true,
        }
    }
}

/// The destination of a request.
pub(super) struct Destination {
    /// Host, with the port if the URL has one.
    pub host: String,
    /// The proxy on the way.
    pub proxy: Option<Proxy>,
}

impl Destination {
    pub(super) fn new(url: &Url, proxy: Option<Proxy>) -> Self {
        let host = url.host_str().unwrap_or("?");
        let host = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self { host, proxy }
    }

    /// Returns what a failure of the HTTP library means. A request has left once it has a connection.
    pub(super) fn lost(&self, error: reqwest::Error) -> Lost {
        Lost {
            was_sent: !error.is_connect(),
            error: self.error(error),
        }
    }

    fn error(&self, error: reqwest::Error) -> Error {
        // Without the URL: its query string may hold data that does not belong in a log.
        let error = error.without_url();
        if let Some(refused) = self.refused_by_tls(&error) {
            return refused;
        }
        if let Some(proxy) = &self.proxy
            && chain(&error).contains(PROXY_WANTS_PASSWORD)
        {
            return wants_password(proxy);
        }
        Error::Transport {
            was_sent: !error.is_connect(),
            reason: self.describe(&error),
            source: Some(Box::new(error)),
        }
    }

    /// Returns the error for an answer of the proxy itself, if it is one.
    pub(super) fn refused_by_proxy(&self, status: u16) -> Option<Error> {
        let proxy = self.proxy.as_ref()?;
        (status == 407).then(|| wants_password(proxy))
    }

    /// Returns the error for an answer that has taken too long.
    pub(super) fn timed_out(&self) -> Error {
        let (host, way, text) = (&self.host, self.way(), "operation timed out");
        Error::Transport {
            reason: format!("timed out waiting for {host}{way}: {text}"),
            was_sent: true,
            source: None,
        }
    }

    /// Returns the error for an answer that stopped in the middle.
    pub(super) fn stalled(&self, seconds: f64) -> Error {
        Error::Transport {
            reason: format!(
                "the answer of {} stopped in the middle{}: nothing arrived for {seconds} s",
                self.host,
                self.way()
            ),
            was_sent: true,
            source: None,
        }
    }

    /// Returns the error for an answer that is larger than its limit.
    pub(super) fn too_large(&self, full: Full) -> Error {
        let (host, way) = (&self.host, self.way());
        match full {
            Full::TooLarge(max) => Error::TooLarge {
                reason: format!("the answer of {host}{way} is larger than {}", size(max)),
            },
            // It can be asked for again, in smaller pieces.
            Full::TooManyLarge(max) => Error::Transport {
                reason: format!(
                    "the answers of {host}{way} that arrive at the same time are larger than {}",
                    size(max)
                ),
                was_sent: true,
                source: None,
            },
            Full::Fault => Error::Internal("a fault is never too large".to_owned()),
        }
    }

    fn describe(&self, error: &reqwest::Error) -> String {
        let (host, way) = (&self.host, self.way());
        let text = innermost(error);
        match (&self.proxy, error.is_connect()) {
            // Which of the two does not answer is not always known; the text below says what is.
            (Some(proxy), true) if !chain(error).contains(TUNNEL) => {
                format!("cannot connect to {proxy}, on the way to {host}: {text}")
            }
            (Some(proxy), true) => {
                format!("{proxy} does not connect to {host}: {text}")
            }
            _ if error.is_timeout() => format!("timed out waiting for {host}{way}: {text}"),
            (None, true) => format!("cannot connect to {host}: {text}"),
            _ => format!("lost the answer of {host}{way}: {text}"),
        }
    }

    /// Returns the clause that names the proxy; empty without one.
    pub(super) fn way(&self) -> String {
        let through = |proxy: &Proxy| format!(" through {proxy}");
        self.proxy.as_ref().map(through).unwrap_or_default()
    }

    /// Returns the error if TLS has refused the connection for a reason that stays.
    fn refused_by_tls(&self, error: &reqwest::Error) -> Option<Error> {
        let tls = tls_error(error)?;
        let (host, way) = (&self.host, self.way());
        let refuse = |setting: &str, reason: String| Some(Error::config(setting, reason));
        let of_host = format!("certificate of {host}");
        // Certificates that sign themselves are usually marked as authorities.
        let is_own_authority = tls.to_string().contains("CaUsedAsEndEntity");
        match tls {
            rustls::Error::InvalidCertificate(_) if is_own_authority => refuse(
                "SSL_CERT_FILE",
                format!(
                    "the certificate of {host}{way} signs itself and is marked as an authority, which no server's \
                     certificate may be. Give the server one of its own, and set SSL_CERT_FILE to a PEM file that \
                     holds its authority: {tls}"
                ),
            ),
            rustls::Error::InvalidCertificate(problem) => match problem {
                CertificateError::UnknownIssuer => refuse(
                    "SSL_CERT_FILE",
                    format!(
                        "the certificate of {host}{way} is signed by an authority that this machine does not know. If a proxy \
                         or firewall inspects TLS here, set SSL_CERT_FILE to a PEM file that holds its authority as well as \
                         the usual ones"
                    ),
                ),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => refuse(
                    &of_host,
                    format!("it has expired, or the clock of this machine is wrong{way}: {tls}"),
                ),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    refuse(
                        &of_host,
                        format!(
                            "it is not valid yet, or the clock of this machine is wrong{way}: {tls}"
                        ),
                    )
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => refuse(
                    &of_host,
                    format!("it belongs to another host{way}; check the URL: {tls}"),
                ),
                _ => refuse(&of_host, format!("TLS does not accept it{way}: {tls}")),
            },
            rustls::Error::PeerIncompatible(_) => refuse(
                host,
                format!("it offers no TLS that is safe enough{way}: {tls}"),
            ),
            rustls::Error::InvalidMessage(_) => refuse(
                host,
                format!("it does not speak TLS{way}; is the URL to begin with http? ({tls})"),
            ),
            rustls::Error::AlertReceived(alert) if stays(*alert) => {
                refuse(host, format!("it refused the TLS connection{way}: {tls}"))
            }
            _ => None,
        }
    }
}

/// Returns the cause below all others. Those above it are steps of the library, which say no more than our words.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} KB", bytes >> 10),
        megabytes => format!("{megabytes} MB"),
    }
}

/// Words of the HTTP library about a proxy that refuses to connect, and about one that asks for a
/// password. Its types are private.
const TUNNEL: &str = "tunnel error";
const PROXY_WANTS_PASSWORD: &str = "proxy authorization required";

fn wants_password(proxy: &Proxy) -> Error {
    Error::config(
        proxy.variable,
        format!(
            "the proxy {} wants a user name and a password, or refuses those that it was given (HTTP 407); write \
             http://user:password@host:port, with special characters percent-encoded",
            proxy.address
        ),
    )
}

/// Returns the error for a client that cannot be built.
pub(super) fn not_set_up(error: reqwest::Error) -> Error {
    let text = chain(&error);
    if text.contains("No CA certificates") {
        return Error::config(
            "SSL_CERT_FILE",
            "this machine has no certificate authorities; install them (the package ca-certificates), or set \
             SSL_CERT_FILE to a PEM file of them",
        );
    }
    Error::Transport {
        reason: format!("cannot set up HTTP: {text}"),
        was_sent: false,
        source: Some(Box::new(error)),
    }
}

/// Returns true for a refusal that the next attempt would get again.
fn stays(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::UnrecognisedName
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied
    )
}

/// Returns the TLS error among the causes of an error.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        // An I/O error shows the cause of the error in it, not that error itself.
        let inner = cause
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref());
        next = match inner {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}
