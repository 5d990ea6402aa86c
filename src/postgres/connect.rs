//! Connections to Postgres: pool, and error messages that name the wrong setting.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio_postgres::config::{Host, SslMode as WireSslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::warn;

use super::address::{Address, ESCAPES};
use super::address_parameters::watchful;
use super::database_error;
use super::tls::{Tls, tls_config};
use crate::config::{PostgresAddress, PostgresConfig, SslMode};
use crate::error::{Error, Result};
use crate::held_secrets;
use crate::terminal::shell_quote;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pauses before further attempts while the server takes no connection: 8 s together.
const BUSY_PAUSES_MS: [u64; 6] = [250, 500, 1000, 1500, 2000, 2750];

/// Returns a pool, which has no connection yet.
///
/// # Errors
/// [`Error::Config`] about settings that cannot be used.
pub(super) fn lazy_pool(config: &PostgresConfig, connections: usize) -> Result<Pool> {
    let (wire, tls) = wire_config(config)?;
    make_pool(&wire, &tls, connections)
}

fn make_pool(wire: &tokio_postgres::Config, tls: &Tls, connections: usize) -> Result<Pool> {
    let manager_config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let tls = MakeRustlsConnect::new(tls_config(tls)?);
    let manager = Manager::from_config(wire.clone(), tls, manager_config);
    Pool::builder(manager)
        .max_size(connections)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(CONNECT_TIMEOUT))
        .build()
        .map_err(|e| Error::Internal(format!("pool: {e}")))
}

/// Opens a pool and tests it with one connection.
pub(super) async fn open_pool(config: &PostgresConfig, connections: usize) -> Result<Pool> {
    let (wire, tls) = wire_config(config)?;
    for name in [wire.get_user(), wire.get_dbname()].into_iter().flatten() {
        held_secrets::show(name);
    }
    let pool = make_pool(&wire, &tls, connections)?;
    let mut pauses = BUSY_PAUSES_MS.into_iter().map(Duration::from_millis);
    loop {
        let error = match pool.get().await {
            Ok(_) => return Ok(pool),
            Err(error) => error,
        };
        let Some(busy) = busy(&wire, &error) else {
            return Err(unreachable(config, &wire, error));
        };
        let Some(pause) = pauses.next() else {
            return Err(busy);
        };
        tokio::time::sleep(pause).await;
    }
}

/// Returns the server, user and database of the settings, for messages.
///
/// # Errors
/// [`Error::Config`] about an address that cannot be used.
pub(crate) fn place(config: &PostgresConfig) -> Result<String> {
    wire_config(config).map(|(wire, _)| describe(&wire))
}

/// Returns the error of a server that takes no connection now, although all settings are right: it
/// has too many (53300), or it starts or stops (57P03).
fn busy(wire: &tokio_postgres::Config, error: &PoolError) -> Option<Error> {
    let PoolError::Backend(error) = error else {
        return None;
    };
    let sqlstate = error.code().map(|code| code.code().to_owned())?;
    let problem = match sqlstate.as_str() {
        "53300" => "has no connection left; end others, or raise its limit or that of the user",
        "57P03" => "takes no connections now",
        _ => return None,
    };
    let words = error
        .as_db_error()
        .map_or_else(String::new, |error| error.message().to_owned());
    let reason = format!("the server at {} {problem}: {words}", describe(wire));
    Some(Error::database(&reason, Some(sqlstate), None))
}

/// Takes a connection, waiting for one to be free.
pub(crate) async fn take(pool: &Pool) -> Result<Object> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => database_error(error),
        other => Error::database(
            &format!("no connection: {other}"),
            None,
            Some(Box::new(other)),
        ),
    })
}

fn wire_config(config: &PostgresConfig) -> Result<(tokio_postgres::Config, Tls)> {
    let mut tls = Tls {
        mode: config.ssl_mode,
        ca_file: config.ca_file.clone(),
    };
    let mut wire = match &config.address {
        PostgresAddress::Url(url) => from_url(url.expose(), &mut tls)?,
        PostgresAddress::Parts {
            host,
            port,
            database,
            user,
        } => {
            let mut wire = watchful();
            wire.host(host).port(*port).dbname(database).user(user);
            wire
        }
    };
    if let Some(password) = &config.password
        && (config.is_password_given || wire.get_password().is_none())
    {
        wire.password(password.expose());
    }
    wire.ssl_mode(match tls.mode {
        SslMode::Disable => WireSslMode::Disable,
        SslMode::Prefer => WireSslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => WireSslMode::Require,
    });
    wire.connect_timeout(CONNECT_TIMEOUT);
    if wire.get_application_name().is_none() {
        wire.application_name("qbo_rs");
    }
    Ok((wire, tls))
}

/// Parses a URL. Its `sslmode` and `sslrootcert` take precedence over `PG_SSLMODE` and
/// `PG_SSLROOTCERT`.
fn from_url(url: &str, tls: &mut Tls) -> Result<tokio_postgres::Config> {
    let address = Address::parse(url)?;
    for name in address.ignored {
        warn!(
            phase = "load",
            event = "url_parameter_ignored",
            "DATABASE_URL: its parameter {name} is ignored; --schema (keyword schema) names the \
             schema of the tables"
        );
    }
    tls.mode = address.ssl_mode.unwrap_or(tls.mode);
    tls.ca_file = address.ca_file.or(tls.ca_file.take());
    Ok(address.wire)
}

/// Returns an error that names the setting which most likely is wrong.
fn unreachable(config: &PostgresConfig, wire: &tokio_postgres::Config, error: PoolError) -> Error {
    let sqlstate = match &error {
        PoolError::Backend(error) => error.code().map(|code| code.code().to_owned()),
        _ => None,
    };
    let sqlstate = sqlstate.as_deref();
    let is_url = matches!(config.address, PostgresAddress::Url(_));
    let setting = match sqlstate {
        _ if is_url => "DATABASE_URL",
        Some("28P01") => "PG_PASSWORD",
        Some("28000") => "PG_USER",
        Some("3D000") => "PG_DB",
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
    if reason.contains(NO_PASSWORD) {
        return no_password(is_url, wire);
    }
    // The name of a host that does not exist may be the end of a password that was not escaped.
    let place = match is_url && reason.contains(NO_SUCH_HOST) {
        true => "the host of this URL".to_owned(),
        false => describe(wire),
    };
    Error::config(
        setting,
        match advice(sqlstate, &reason, is_url, wire) {
            Some(hint) => format!("cannot connect to Postgres at {place}: {reason}; {hint}"),
            None => format!("cannot connect to Postgres at {place}: {reason}"),
        },
    )
}

/// Returns what to do after the server has refused a connection, or has not answered. Errors of TLS say it themselves.
fn advice(
    sqlstate: Option<&str>,
    reason: &str,
    is_url: bool,
    wire: &tokio_postgres::Config,
) -> Option<String> {
    let server = flags_of(wire);
    let is_silent = ["onnection refused", "no answer within", "timed out"];
    Some(match sqlstate {
        Some("28P01") if is_url => ESCAPES.to_owned(),
        Some("28P01") => "correct PG_PASSWORD or PG_USER".to_owned(),
        Some("28000") => {
            "ask who runs the server whether this user may log in from here".to_owned()
        }
        Some("3D000") => {
            let [user, name] = [wire.get_user()?, wire.get_dbname()?].map(shell_quote);
            let command = ["createdb", &server, "-U", &user, &name].join(" ");
            format!("correct the name of the database, or create it: {command}")
        }
        None if reason.contains(NO_SUCH_HOST) && is_url => {
            format!("correct the host of the URL; {ESCAPES}")
        }
        None if reason.contains(NO_SUCH_HOST) => {
            "correct the name of the host in PG_HOST".to_owned()
        }
        None if is_silent.iter().any(|words| reason.contains(words)) => {
            let command = ["pg_isready", &server].join(" ");
            format!(
                "start Postgres, or correct the host and the port; this command says whether it answers: {command}"
            )
        }
        _ => return None,
    })
}

/// The driver's words if the server asks for a password and none is set.
const NO_PASSWORD: &str = "password missing";
/// The words of the standard library if the name of a host cannot be resolved.
const NO_SUCH_HOST: &str = "failed to lookup address";

fn no_password(is_url: bool, wire: &tokio_postgres::Config) -> Error {
    let place = describe(wire);
    let reason = format!("not set, and Postgres at {place} asks for a password");
    Error::config(
        "PG_PASSWORD",
        match is_url {
            true => format!("{reason}, which DATABASE_URL does not have either"),
            false => format!("{reason} (PGPASSWORD is not read)"),
        },
    )
}

/// Returns the role of the settings, if they name one.
pub(crate) fn user_of(config: &PostgresConfig) -> Option<String> {
    let (wire, _) = wire_config(config).ok()?;
    wire.get_user().map(str::to_owned)
}

/// Returns the host and the port of the settings, as flags of the programs that come with Postgres.
///
/// # Errors
/// [`Error::Config`] about an address that cannot be used.
pub(crate) fn host_flags(config: &PostgresConfig) -> Result<String> {
    wire_config(config).map(|(wire, _)| flags_of(&wire))
}

/// Returns the host and the port as a shell takes them.
fn flags_of(wire: &tokio_postgres::Config) -> String {
    let (host, port) = host_and_port(wire);
    let host = shell_quote(&host);
    format!("-h {host} -p {port}")
}

/// Returns the host, the port and the name of the database of the settings, as Postgres takes them: one without
/// a name has that of the user.
///
/// # Errors
/// [`Error::Config`] about an address that cannot be used.
pub(crate) fn database_name(config: &PostgresConfig) -> Result<(String, u16, String)> {
    wire_config(config).map(|(wire, _)| {
        let (host, port) = host_and_port(&wire);
        let name = wire.get_dbname().or_else(|| wire.get_user());
        (host, port, name.unwrap_or_default().to_owned())
    })
}

pub(super) fn describe(wire: &tokio_postgres::Config) -> String {
    let (host, port) = host_and_port(wire);
    let (user, database) = (
        wire.get_user().unwrap_or("?"),
        wire.get_dbname().unwrap_or("?"),
    );
    format!("{host}:{port} as user '{user}', database '{database}'")
}

fn host_and_port(wire: &tokio_postgres::Config) -> (String, u16) {
    let host = match wire.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => match wire.get_hostaddrs().first() {
            Some(address) => address.to_string(),
            None => "?".to_owned(),
        },
    };
    (host, wire.get_ports().first().copied().unwrap_or(5432))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str, mode: SslMode) -> (tokio_postgres::Config, Tls) {
        let mut tls = Tls {
            mode,
            ca_file: None,
        };
        let wire = from_url(url, &mut tls).unwrap();
        (wire, tls)
    }

    #[test]
    fn the_commands_that_help_are_words_of_a_shell() {
        let mut wire = tokio_postgres::Config::new();
        wire.host("/run/my sockets").port(5433).user("o'hara");
        wire.dbname("my books");
        let advised = |sqlstate, reason| advice(sqlstate, reason, false, &wire).unwrap();
        let made = advised(Some("3D000"), "");
        let command = r"createdb -h '/run/my sockets' -p 5433 -U 'o'\''hara' 'my books'";
        assert!(made.ends_with(command), "{made}");
        let asked = advised(None, "connection refused");
        let command = "pg_isready -h '/run/my sockets' -p 5433";
        assert!(asked.ends_with(command), "{asked}");
        // What needs no quotes has none.
        let (wire, _) = parsed("postgresql://u@h/d", SslMode::Disable);
        let made = advice(Some("3D000"), "", false, &wire).unwrap();
        assert!(made.ends_with("createdb -h h -p 5432 -U u d"), "{made}");
    }

    #[test]
    fn the_mode_in_a_url_goes_first_and_other_parameters_stay() {
        let url = "postgresql://u@h/d?application_name=x&sslmode=verify-full";
        let (wire, found) = parsed(url, SslMode::Disable);
        assert_eq!(
            (found.mode, wire.get_application_name()),
            (SslMode::VerifyFull, Some("x"))
        );
        let found = parsed("postgresql://u@h/d", SslMode::Require).1;
        assert_eq!(found.mode, SslMode::Require);
        let url = "postgresql://u@h/d?sslmode=verify-ca&sslrootcert=/etc/my%20ca.pem";
        let found = parsed(url, SslMode::Disable).1;
        assert_eq!(
            found,
            Tls {
                mode: SslMode::VerifyCa,
                ca_file: Some("/etc/my ca.pem".into())
            }
        );
    }

    /// Idle time, pause, number of questions, and the limit without an acknowledgement.
    fn patience(wire: &tokio_postgres::Config) -> (u64, Option<u64>, Option<u32>, Option<u64>) {
        let interval = wire.get_keepalives_interval();
        (
            wire.get_keepalives_idle().as_secs(),
            interval.map(|interval| interval.as_secs()),
            wire.get_keepalives_retries(),
            wire.get_tcp_user_timeout().map(Duration::as_secs),
        )
    }

    #[test]
    fn a_server_that_vanishes_is_noticed_within_minutes_unless_the_address_says_otherwise() {
        let usual = (30, Some(10), Some(9), Some(120));
        for (parameters, expected) in [
            ("", usual),
            ("?sslmode=require", usual),
            (
                "?keepalives_idle=5&keepalives_interval=6&keepalives_count=7&tcp_user_timeout=8000",
                (5, Some(6), Some(7), Some(8)),
            ),
            (
                "?keepalives_idle=0&keepalives_interval=0&keepalives_count=0&tcp_user_timeout=0",
                (7200, Some(75), Some(9), Some(0)),
            ),
        ] {
            let (wire, _) = parsed(&format!("postgresql://u@h/d{parameters}"), SslMode::Prefer);
            assert_eq!(patience(&wire), expected, "{parameters}");
            assert!(wire.get_keepalives());
        }
        let (wire, _) = parsed("host=h user=u keepalives=0", SslMode::Prefer);
        assert!(!wire.get_keepalives());
        let (wire, _) = wire_config(&at_parts("h", 5432)).unwrap();
        assert_eq!(patience(&wire), usual);
    }

    fn at_parts(host: &str, port: u16) -> PostgresConfig {
        let settings = crate::config::Settings::from_lookup(|name| {
            Some(match name {
                "PG_HOST" => host.to_owned(),
                "PG_PORT" => port.to_string(),
                "PG_DB" => "d".to_owned(),
                "PG_USER" => "u".to_owned(),
                _ => return None,
            })
        });
        settings.postgres().unwrap()
    }

    /// The kernel's word for it: the time until it asks the server for a sign.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_asks_a_silent_server_for_a_sign() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pool = lazy_pool(&at_parts("127.0.0.1", port), 1).unwrap();
        let connecting = tokio::spawn(async move { pool.get().await.map(drop) });
        let (_silent, client) = listener.accept().await.unwrap();
        let local = format!(":{:04X}", client.port());
        // The sixth field is the timer: 02 is this question, with hundredths of a second.
        let seconds = || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let fields = table
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>());
            let ours = fields.into_iter().find(|line| line[1].ends_with(&local))?;
            let timer = ours[5].strip_prefix("02:")?;
            Some(u64::from_str_radix(timer, 16).unwrap() / 100)
        };
        let mut asked = None;
        for _ in 0..100 {
            asked = seconds();
            if asked.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        connecting.abort();
        assert!(asked.is_some_and(|asked| asked <= 30), "{asked:?}");
    }
}
