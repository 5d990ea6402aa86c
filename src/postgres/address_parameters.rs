//! The parameters of an address: those of libpq, and those that other programs write into their
//! URLs. Errors name a parameter and never quote its value.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};

use crate::config::SslMode;
use crate::error::{Error, Result};

/// The setting that every error is about.
pub(super) const SETTING: &str = "DATABASE_URL";

/// The time without a sign of the server after which it is asked for one, and the pause before it is asked
/// again.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 9;
/// The time after which a server counts as gone that has acknowledged nothing: no data and no question for
/// a sign. On Linux it goes before the number of questions. It also ends a connection of which the server
/// takes no data for so long, so that it is longer than the stalls of a disk.
const UNANSWERED: Duration = Duration::from_secs(120);
/// The defaults of Linux, which `0` asks for.
const SYSTEM_IDLE: Duration = Duration::from_secs(7200);
const SYSTEM_INTERVAL: Duration = Duration::from_secs(75);
const SYSTEM_COUNT: u32 = 9;

/// Returns a configuration with which a connection ends about two minutes after its server has vanished.
/// Without it, that takes two hours, and all that time a run waits. What an address says is applied later.
pub(super) fn watchful() -> Config {
    let mut wire = Config::new();
    wire.keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_COUNT)
        .tcp_user_timeout(UNANSWERED);
    wire
}

/// The effect of a parameter beyond the driver's configuration.
#[derive(Debug)]
pub(super) enum Effect {
    /// Everything is done.
    Done,
    /// It sets the TLS mode.
    SslMode(SslMode),
    /// It names the file of certificate authorities; `None`: those of the system.
    CaFile(Option<PathBuf>),
    /// It means something to another program that a person may expect here.
    Ignored(&'static str),
    /// It is not known.
    Unknown,
}

/// Parameters that have no meaning here and do no harm: pools and statement caches of other
/// programs, and times that settings of ours limit.
const HARMLESS: [&str; 34] = [
    "ApplicationName",
    "binary_parameters",
    "command_timeout",
    "connect_timeout",
    "connectTimeout",
    "connection_limit",
    "default_query_exec_mode",
    "loginTimeout",
    "max_connections",
    "max_overflow",
    "min_connections",
    "pgbouncer",
    "pool_max_conns",
    "pool_min_conns",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "pool_timeout",
    "prepareThreshold",
    "prepared_statement_cache_size",
    "prepared_statements",
    "preparedStatementCacheQueries",
    "reWriteBatchedInserts",
    "socketTimeout",
    "socket_timeout",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
    "statement_cache_mode",
    "statement_cache_size",
    "stringtype",
    "supa",
    "tcpKeepAlive",
    "uselibpqcompat",
];

/// Parameters that name a schema in other programs.
const SCHEMAS: [&str; 3] = ["schema", "currentSchema", "search_path"];

/// Parameters that ask for what cannot be done, with the reason.
const REFUSED: [(&str, &str); 16] = [
    (
        "ssl",
        "is not a parameter of libpq; write sslmode=require or sslmode=verify-full",
    ),
    (
        "sslaccept",
        "is not a parameter of libpq; write sslmode=require or sslmode=verify-full",
    ),
    ("sslidentity", CERTIFICATE),
    ("sslcert", CERTIFICATE),
    ("sslkey", CERTIFICATE),
    ("sslpassword", CERTIFICATE),
    ("sslcertmode", CERTIFICATE),
    (
        "sslcrl",
        "is not supported; lists of revoked certificates are not read",
    ),
    (
        "sslcrldir",
        "is not supported; lists of revoked certificates are not read",
    ),
    (
        "service",
        "is not supported; files of services are not read",
    ),
    (
        "passfile",
        "is not supported; files of passwords are not read; set PG_PASSWORD",
    ),
    ("require_auth", "is not supported"),
    ("requirepeer", "is not supported"),
    ("krbsrvname", KERBEROS),
    ("gsslib", KERBEROS),
    (
        "replication",
        "is not supported; data are loaded over an ordinary connection",
    ),
];
const CERTIFICATE: &str =
    "is not supported; log in with a password instead of a client certificate";
const KERBEROS: &str = "is not supported; log in with a password instead of Kerberos";

/// Returns true if `name` is a parameter of an address.
pub(super) fn is_known(name: &str) -> bool {
    const OF_LIBPQ: [&str; 20] = [
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "sslmode",
        "sslrootcert",
        "options",
        "application_name",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "target_session_attrs",
        "channel_binding",
        "client_encoding",
        "gssencmode",
    ];
    OF_LIBPQ.contains(&name)
        || HARMLESS.contains(&name)
        || REFUSED.iter().any(|(refused, _)| *refused == name)
}

/// Applies a parameter other than `host` and `port`.
///
/// # Errors
/// [`Error::Config`] if its value is wrong or it asks for what cannot be done.
pub(super) fn apply(wire: &mut Config, name: &str, value: &str) -> Result<Effect> {
    match name {
        "user" => {
            wire.user(value);
        }
        "password" => {
            wire.password(value);
        }
        "dbname" => {
            wire.dbname(value);
        }
        "options" => {
            wire.options(value);
        }
        "application_name" | "fallback_application_name" => {
            wire.application_name(value);
        }
        "hostaddr" => {
            for address in value.split(',') {
                let address: IpAddr = parsed("hostaddr", address, "an IP address")?;
                wire.hostaddr(address);
            }
        }
        "sslmode" => return ssl_mode(value).map(Effect::SslMode),
        "sslrootcert" => {
            return Ok(Effect::CaFile(
                (value != "system").then(|| PathBuf::from(value)),
            ));
        }
        _ => return session(wire, name, value),
    }
    Ok(Effect::Done)
}

/// Applies a parameter of the connection and the session.
fn session(wire: &mut Config, name: &str, value: &str) -> Result<Effect> {
    match name {
        "keepalives" => {
            wire.keepalives(value != "0");
        }
        "keepalives_idle" => {
            let idle = seconds("keepalives_idle", value)?;
            wire.keepalives_idle(or_system(idle, SYSTEM_IDLE));
        }
        "keepalives_interval" => {
            let interval = seconds("keepalives_interval", value)?;
            wire.keepalives_interval(or_system(interval, SYSTEM_INTERVAL));
        }
        "keepalives_count" | "keepalives_retries" => {
            let count = parsed("keepalives_count", value, "a whole number")?;
            wire.keepalives_retries(or_system(count, SYSTEM_COUNT));
        }
        "tcp_user_timeout" => {
            let milliseconds = parsed("tcp_user_timeout", value, "a whole number")?;
            wire.tcp_user_timeout(Duration::from_millis(milliseconds));
        }
        "target_session_attrs" | "targetServerType" => {
            wire.target_session_attrs(server_kind(value)?);
        }
        "channel_binding" => {
            let words = [
                ("disable", ChannelBinding::Disable),
                ("prefer", ChannelBinding::Prefer),
                ("require", ChannelBinding::Require),
            ];
            wire.channel_binding(one_of("channel_binding", value, words)?);
        }
        "load_balance_hosts" => {
            let words = [
                ("disable", LoadBalanceHosts::Disable),
                ("random", LoadBalanceHosts::Random),
            ];
            wire.load_balance_hosts(one_of("load_balance_hosts", value, words)?);
        }
        "sslnegotiation" => {
            let words = [
                ("postgres", SslNegotiation::Postgres),
                ("direct", SslNegotiation::Direct),
            ];
            wire.ssl_negotiation(one_of("sslnegotiation", value, words)?);
        }
        "client_encoding" => {
            let words = [("utf8", ()), ("utf-8", ()), ("auto", ()), ("unicode", ())];
            one_of("client_encoding", &value.to_ascii_lowercase(), words)?;
        }
        "gssencmode" => one_of("gssencmode", value, [("disable", ()), ("prefer", ())])?,
        _ => return others(name),
    }
    Ok(Effect::Done)
}

/// Decides on a parameter whose value does not matter.
fn others(name: &str) -> Result<Effect> {
    if HARMLESS.contains(&name) {
        return Ok(Effect::Done);
    }
    if let Some(schema) = SCHEMAS.iter().find(|known| **known == name) {
        return Ok(Effect::Ignored(schema));
    }
    match REFUSED.iter().find(|(refused, _)| *refused == name) {
        Some((refused, reason)) => Err(Error::config(SETTING, format!("{refused} {reason}"))),
        None => Ok(Effect::Unknown),
    }
}

fn ssl_mode(value: &str) -> Result<SslMode> {
    // Node's word for what libpq calls `require`.
    if value == "no-verify" {
        return Ok(SslMode::Require);
    }
    SslMode::parse(SETTING, value).map_err(|_| {
        wrong(
            "sslmode",
            "disable, prefer, require, verify-ca or verify-full",
        )
    })
}

/// A standby cannot be written to, so only the words for a primary are accepted.
fn server_kind(value: &str) -> Result<TargetSessionAttrs> {
    let words = [
        ("any", TargetSessionAttrs::Any),
        ("read-write", TargetSessionAttrs::ReadWrite),
        ("primary", TargetSessionAttrs::ReadWrite),
        ("master", TargetSessionAttrs::ReadWrite),
    ];
    one_of("target_session_attrs", value, words)
}

fn one_of<T, const N: usize>(
    name: &'static str,
    value: &str,
    words: [(&'static str, T); N],
) -> Result<T> {
    let listed = words.each_ref().map(|(word, _)| *word).join(", ");
    words
        .into_iter()
        .find(|(word, _)| *word == value)
        .map(|(_, meaning)| meaning)
        .ok_or_else(|| wrong(name, &format!("one of {listed}")))
}

fn seconds(name: &'static str, value: &str) -> Result<Duration> {
    parsed(name, value, "a whole number of seconds").map(Duration::from_secs)
}

/// Returns the default of the system for 0, as libpq does: the sockets of Linux refuse it.
fn or_system<T: Default + PartialEq>(value: T, system: T) -> T {
    match value == T::default() {
        true => system,
        false => value,
    }
}

fn parsed<T: std::str::FromStr>(name: &'static str, value: &str, wanted: &str) -> Result<T> {
    value.parse().map_err(|_| wrong(name, wanted))
}

fn wrong(name: &'static str, wanted: &str) -> Error {
    Error::config(SETTING, format!("its parameter {name} is not {wanted}"))
}
