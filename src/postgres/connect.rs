//! Connections to Postgres, and clear words when there is none.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::config::{Host, SslMode as WireSslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database_error;
use crate::config::{PostgresAddress, PostgresConfig, SslMode};
use crate::error::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a pool and proves it with one connection.
pub(crate) async fn open_pool(config: &PostgresConfig, connections: usize) -> Result<Pool> {
    let (wire, ssl_mode) = wire_config(config)?;
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let tls = MakeRustlsConnect::new(tls_config(ssl_mode)?);
    let manager = Manager::from_config(wire.clone(), tls, manager_config);
    let pool = Pool::builder(manager)
        .max_size(connections)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(CONNECT_TIMEOUT))
        .build()
        .map_err(|e| Error::Internal(format!("pool: {e}")))?;
    match pool.get().await {
        Ok(_) => Ok(pool),
        Err(error) => Err(unreachable(config, &wire, error)),
    }
}

/// Takes a connection, waiting for one to be free.
pub(crate) async fn take(pool: &Pool) -> Result<Object> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => database_error(error),
        other => Error::Database { reason: format!("no connection: {other}"), sqlstate: None },
    })
}

fn wire_config(config: &PostgresConfig) -> Result<(tokio_postgres::Config, SslMode)> {
    let (mut wire, ssl_mode) = match &config.address {
        PostgresAddress::Url(url) => from_url(url.expose(), config.ssl_mode)?,
        PostgresAddress::Parts { host, port, database, user, password } => {
            let mut wire = tokio_postgres::Config::new();
            wire.host(host).port(*port).dbname(database).user(user);
            if let Some(password) = password {
                wire.password(password.expose());
            }
            (wire, config.ssl_mode)
        }
    };
    wire.ssl_mode(match ssl_mode {
        SslMode::Disable => WireSslMode::Disable,
        SslMode::Prefer => WireSslMode::Prefer,
        SslMode::Require | SslMode::VerifyFull => WireSslMode::Require,
    });
    wire.connect_timeout(CONNECT_TIMEOUT).application_name("qbo_rs");
    Ok((wire, ssl_mode))
}

/// Reads a URL; its `sslmode`, of which the driver knows only some, goes before `PG_SSLMODE`.
fn from_url(url: &str, fallback: SslMode) -> Result<(tokio_postgres::Config, SslMode)> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (modes, others): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("sslmode="));
    let ssl_mode = match modes.last().map(|pair| &pair["sslmode=".len()..]) {
        None => fallback,
        Some("disable") => SslMode::Disable,
        Some("prefer" | "allow") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-full") => SslMode::VerifyFull,
        Some(other) => {
            let reason = format!("sslmode '{other}' is not one of disable, prefer, require, verify-full");
            return Err(Error::config("DATABASE_URL", reason));
        }
    };
    let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
    // The driver's error may quote the URL, which holds the password.
    let wire: tokio_postgres::Config = rest.parse().map_err(|_| {
        Error::config("DATABASE_URL", "cannot be read; write postgresql://user:password@host:5432/database")
    })?;
    Ok((wire, ssl_mode))
}

/// Says which setting is to blame.
fn unreachable(config: &PostgresConfig, wire: &tokio_postgres::Config, error: PoolError) -> Error {
    let sqlstate = match &error {
        PoolError::Backend(error) => error.code().map(|code| code.code()),
        _ => None,
    };
    let setting = match (&config.address, sqlstate) {
        (PostgresAddress::Url(_), _) => "DATABASE_URL",
        (_, Some("28P01")) => "PG_PASSWORD",
        (_, Some("28000")) => "PG_USER",
        (_, Some("3D000")) => "PG_DB",
        _ => "PG_HOST",
    };
    let reason = match error {
        PoolError::Backend(error) => match database_error(error) {
            Error::Database { reason, .. } => reason,
            other => other.to_string(),
        },
        PoolError::Timeout(_) => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        other => other.to_string(),
    };
    Error::config(setting, format!("cannot connect to Postgres at {}: {reason}", describe(wire)))
}

fn describe(wire: &tokio_postgres::Config) -> String {
    let host = match wire.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "?".to_owned(),
    };
    let port = wire.get_ports().first().copied().unwrap_or(5432);
    let (user, database) = (wire.get_user().unwrap_or("?"), wire.get_dbname().unwrap_or("?"));
    format!("{host}:{port} as user '{user}', database '{database}'")
}

fn tls_config(ssl_mode: SslMode) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |e: rustls::Error| Error::config("PG_SSLMODE", format!("TLS cannot be set up: {e}"));
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(failed)?;
    Ok(match ssl_mode {
        SslMode::VerifyFull => builder.with_platform_verifier().map_err(failed)?.with_no_client_auth(),
        SslMode::Disable | SslMode::Prefer | SslMode::Require => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))).with_no_client_auth()
        }
    })
}

/// Encrypts without asking who answers: what libpq's `prefer` and `require` mean. Signatures are still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_with_any_character_survive_a_url() {
        let (wire, _) =
            from_url("postgresql://u:p%40s%3As%2F%3F%23@h:6000/d?sslmode=disable", SslMode::Prefer).unwrap();
        assert_eq!(wire.get_password(), Some(&b"p@s:s/?#"[..]));
        assert_eq!(wire.get_ports(), [6000]);
    }

    #[test]
    fn the_mode_in_a_url_goes_first_and_other_parameters_stay() {
        let url = "postgresql://u@h/d?application_name=x&sslmode=verify-full";
        let (wire, mode) = from_url(url, SslMode::Disable).unwrap();
        assert_eq!((mode, wire.get_application_name()), (SslMode::VerifyFull, Some("x")));
        assert_eq!(from_url("postgresql://u@h/d", SslMode::Require).unwrap().1, SslMode::Require);
    }

    #[test]
    fn an_unreadable_url_is_not_quoted() {
        let error = from_url("postgresql://u:hush@h:port/d", SslMode::Prefer).unwrap_err().to_string();
        assert!(error.starts_with("DATABASE_URL: ") && !error.contains("hush"), "{error}");
    }
}
