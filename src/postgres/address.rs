//! The address of a database as people write it: a URL, or the keywords of libpq.
//!
//! Parsed by hand: the driver's parser takes everything up to the first `@` as credentials, so that
//! an unescaped password ends up in the name of the host, and from there in messages. Errors of
//! this module quote nothing that can be a part of a password: no value, and the name of a
//! parameter only where no password can reach.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;

use super::address_parameters::{self, Effect, SETTING};
use crate::config::SslMode;
use crate::error::{Error, Result};

/// The escapes of the characters that separate the parts of a URL.
pub(super) const ESCAPES: &str = "in a URL the characters @ / : ? # % of a user or a password are \
    written as %40 %2F %3A %3F %23 %25";

const FORM: &str = "write it as postgresql://user:password@host:5432/database";

/// A parsed address.
#[derive(Debug)]
pub(super) struct Address {
    /// Everything that the driver is told.
    pub wire: Config,
    /// `sslmode`.
    pub ssl_mode: Option<SslMode>,
    /// `sslrootcert`.
    pub ca_file: Option<PathBuf>,
    /// Parameters that have a meaning elsewhere, and none here.
    pub ignored: Vec<&'static str>,
    /// Hosts and ports, in order.
    places: Vec<(String, Option<u16>)>,
}

impl Address {
    fn new() -> Self {
        Self {
            wire: address_parameters::watchful(),
            ssl_mode: None,
            ca_file: None,
            ignored: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Parses a URL or keywords.
    ///
    /// # Errors
    /// [`Error::Config`], which quotes no secret.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = without_quotes(text.trim());
        let text = text.strip_prefix("jdbc:").unwrap_or(text);
        match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                check_scheme(scheme)?;
                Self::from_url(rest)
            }
            _ => Self::from_keywords(text),
        }
    }

    fn from_url(rest: &str) -> Result<Self> {
        let mut address = Self::new();
        let (credentials, rest) = split_credentials(rest)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        if let Some(credentials) = credentials {
            address.set_credentials(credentials)?;
        }
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            address.add_host(host)?;
        }
        let database = database.strip_suffix('/').unwrap_or(database);
        if database.contains('/') {
            return Err(unescaped());
        }
        if !database.is_empty() {
            address.wire.dbname(decoded(database)?.as_ref());
        }
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').ok_or_else(unescaped))
            .map(|pair| pair.and_then(|(name, value)| Ok((decoded(name)?, decoded(value)?))))
            .collect::<Result<Vec<_>>>()?;
        // Without a database, what looks like a query may be the end of a password.
        let may_name = !database.is_empty() && !query.contains('@') && !holds_password(&pairs);
        let is_place_without_user =
            credentials.is_none() && address.places.iter().any(|(_, port)| port.is_some());
        for (name, value) in &pairs {
            address.set(name, value, may_name)?;
        }
        if is_place_without_user && address.wire.get_user().is_none() {
            return Err(Error::config(SETTING, format!("names no user; {FORM}")));
        }
        address.finish()
    }

    fn from_keywords(text: &str) -> Result<Self> {
        let mut address = Self::new();
        let pairs = keywords(text).ok_or_else(unreadable)?;
        // Anything else is no list of keywords, such as a URL without its scheme.
        let is_list = pairs
            .first()
            .is_some_and(|(name, _)| address_parameters::is_known(name));
        if !is_list {
            return Err(unreadable());
        }
        let may_name = !holds_password(&pairs);
        for (name, value) in &pairs {
            address.set(name, value, may_name)?;
        }
        address.finish()
    }

    fn set_credentials(&mut self, credentials: &str) -> Result<()> {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        if user.is_empty() {
            return Err(Error::config(SETTING, format!("names no user; {FORM}")));
        }
        self.wire.user(decoded(user)?.as_ref());
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            let password: Cow<'_, [u8]> = percent_decode_str(password).into();
            self.wire.password(password);
        }
        Ok(())
    }

    /// Adds `host`, `host:port` or `[address]:port`.
    fn add_host(&mut self, text: &str) -> Result<()> {
        let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':').ok_or_else(unescaped)?)),
            Some(None) => return Err(unescaped()),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map(port_number).transpose()?;
        self.push_host(&decoded(host)?, port)
    }

    /// Adds a host after a check that it can be one.
    fn push_host(&mut self, host: &str, port: Option<u16>) -> Result<()> {
        if !is_host(host) {
            return Err(unescaped());
        }
        self.places.push((host.to_owned(), port));
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str, may_name: bool) -> Result<()> {
        match name {
            "host" => {
                self.places.clear();
                for host in value.split(',') {
                    self.push_host(host, None)?;
                }
            }
            "port" => self.set_ports(value)?,
            _ => match address_parameters::apply(&mut self.wire, name, value)? {
                Effect::Done => {}
                Effect::SslMode(mode) => self.ssl_mode = Some(mode),
                Effect::CaFile(file) => self.ca_file = file,
                Effect::Ignored(name) => self.ignored.push(name),
                Effect::Unknown => return Err(unknown(may_name.then_some(name))),
            },
        }
        Ok(())
    }

    fn set_ports(&mut self, value: &str) -> Result<()> {
        let ports: Vec<u16> = value.split(',').map(port_number).collect::<Result<_>>()?;
        if self.places.is_empty() {
            for port in ports {
                self.wire.port(port);
            }
            return Ok(());
        }
        for (number, (_, port)) in self.places.iter_mut().enumerate() {
            *port = ports.get(number).or(ports.first()).copied();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Self> {
        let has_address = !self.wire.get_hostaddrs().is_empty();
        if self.places.is_empty() && !has_address {
            return Err(Error::config(SETTING, format!("names no host; {FORM}")));
        }
        let has_ports = self.places.iter().any(|(_, port)| port.is_some());
        for (host, port) in &self.places {
            self.wire.host(host);
            if has_ports {
                self.wire.port(port.unwrap_or(5432));
            }
        }
        Ok(self)
    }
}

/// Separates credentials from the rest of a URL. Refuses a text that can be read in more than one
/// way, because one of the ways would show a part of the password as a host.
fn split_credentials(rest: &str) -> Result<(Option<&str>, &str)> {
    let (head, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = tail.split('?').next().unwrap_or_default();
    let at = |text: &str| text.matches('@').count();
    let splits_at_only_sign = match (at(head), at(tail)) {
        (1, 0) => true,
        // A slash in the password, and nothing that could be meant otherwise.
        (0, 1) => head.contains(':') && at(path) == 1,
        _ => false,
    };
    if splits_at_only_sign {
        return Ok(match rest.split_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        });
    }
    match at(head) == 0 && at(path) == 0 {
        // Any @ is in the value of a parameter.
        true => Ok((None, rest)),
        false => Err(unescaped()),
    }
}

fn without_quotes(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | '_'))
}

/// Accepts `postgres` and `postgresql`, also with the driver of another program, as SQLAlchemy
/// writes it: `postgresql+psycopg2`.
fn check_scheme(scheme: &str) -> Result<()> {
    const OTHERS: [&str; 12] = [
        "mysql",
        "mariadb",
        "sqlite",
        "mssql",
        "oracle",
        "redis",
        "mongodb",
        "snowflake",
        "http",
        "https",
        "file",
        "redshift",
    ];
    let scheme = scheme.to_ascii_lowercase();
    let base = scheme.split('+').next().unwrap_or_default();
    if matches!(base, "postgres" | "postgresql") {
        return Ok(());
    }
    Err(match OTHERS.iter().find(|other| **other == base) {
        Some(other) => Error::config(
            SETTING,
            format!("is a URL of {other}, not of Postgres; {FORM}"),
        ),
        None => unreadable(),
    })
}

fn is_host(host: &str) -> bool {
    host.starts_with('/')
        || host.parse::<Ipv6Addr>().is_ok()
        || (!host.is_empty()
            && host
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')))
}

fn port_number(text: &str) -> Result<u16> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        Error::config(
            SETTING,
            format!("the port is not a number from 1 to 65535; {FORM}; {ESCAPES}"),
        )
    })
}

/// Decodes `%40` and its like. A `%` that begins no such code stands for itself.
fn decoded(text: &str) -> Result<Cow<'_, str>> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| unescaped())
}

/// Splits libpq's `name=value` pairs; values may be quoted and hold escapes. Returns `None` if
/// the text is no such list.
fn keywords(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = keyword_value(after.trim_start())?;
        pairs.push((name.trim_end().to_owned(), value));
        rest = after.trim_start();
    }
    Some(pairs)
}

fn keyword_value(text: &str) -> Option<(String, &str)> {
    let (is_quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if is_quoted => return Some((value, &body[at + 1..])),
            c if c.is_whitespace() && !is_quoted => return Some((value, &body[at..])),
            c => value.push(c),
        }
    }
    (!is_quoted).then_some((value, ""))
}

fn holds_password(pairs: &[(impl AsRef<str>, impl AsRef<str>)]) -> bool {
    pairs
        .iter()
        .any(|(name, _)| name.as_ref().to_ascii_lowercase().contains("pass"))
}

fn unreadable() -> Error {
    Error::config(
        SETTING,
        format!("cannot be read; {FORM}, or set PG_HOST, PG_DB, PG_USER and PG_PASSWORD instead"),
    )
}

fn unescaped() -> Error {
    Error::config(
        SETTING,
        format!(
            "cannot be read, probably because the user or the password holds an unescaped \
             character; {ESCAPES}. Or set PG_HOST, PG_DB, PG_USER and PG_PASSWORD instead, which \
             take any character"
        ),
    )
}

/// An error about a parameter; the name is left out if it could be a part of a password.
fn unknown(name: Option<&str>) -> Error {
    const MAX_NAME: usize = 40;
    let is_name = |name: &&str| {
        name.len() <= MAX_NAME
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let what = match name.filter(is_name) {
        Some(name) => format!("the parameter '{name}' is not known"),
        None => format!("holds a parameter that is not known; {ESCAPES}"),
    };
    Error::config(
        SETTING,
        format!("{what}; the parameters of libpq are understood, and others have to be removed"),
    )
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn said(text: &str) -> String {
        Address::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_usual_form_is_read() {
        for text in [
            "postgresql://u:p%40s%3As%2F%3F%23@h:6000/d",
            "postgres://u:p%40s%3As%2F%3F%23@h:6000/d",
            "postgresql+psycopg2://u:p%40s%3As%2F%3F%23@h:6000/d?",
            "postgres+asyncpg://u:p%40s%3As%2F%3F%23@h:6000/d/",
            "POSTGRESQL+PSYCOPG://u:p%40s%3As%2F%3F%23@h:6000/d",
            "\"postgresql://u:p%40s%3As%2F%3F%23@h:6000/d\"",
            "'postgresql://u:p%40s%3As%2F%3F%23@h:6000/d'",
            "postgresql://h:6000/d?user=u&password=p@s:s%2F?%23",
            "jdbc:postgresql://h:6000/d?user=u&password=p%40s%3As%2F%3F%23&prepareThreshold=0",
            "postgresql:///d?host=h&port=6000&user=u&password=p%40s%3As%2F%3F%23",
            "host=h port=6000 dbname=d user=u password=p@s:s/?#",
            "  host = h port = 6000 dbname='d' user=u password='p@s:s/?#' ",
            "password=p@s:s/?# host=h port=6000 user=u dbname=d pgbouncer=true",
        ] {
            let wire = parse(text).wire;
            assert_eq!(wire.get_hosts(), [Host::Tcp("h".to_owned())], "{text}");
            assert_eq!(wire.get_ports(), [6000], "{text}");
            assert_eq!(
                (wire.get_user(), wire.get_dbname(), wire.get_password()),
                (Some("u"), Some("d"), Some(&b"p@s:s/?#"[..])),
                "{text}"
            );
        }
    }

    #[test]
    fn characters_that_cannot_be_meant_otherwise_need_no_escape() {
        for (text, password) in [
            ("postgresql://u:a:b@h/d", "a:b"),
            ("postgresql://u:a#b@h/d", "a#b"),
            ("postgresql://u:a/b@h/d", "a/b"),
            ("postgresql://u:50%off@h/d", "50%off"),
            (
                r"host=h user=u dbname=d password='it\'s \\ mine'",
                r"it's \ mine",
            ),
            ("host=h user=u dbname=d password=a://b?c", "a://b?c"),
        ] {
            let wire = parse(text).wire;
            assert_eq!(wire.get_password(), Some(password.as_bytes()), "{text}");
            assert_eq!(
                (wire.get_hosts(), wire.get_dbname()),
                (&[Host::Tcp("h".to_owned())][..], Some("d")),
                "{text}"
            );
        }
    }

    #[test]
    fn hosts_may_be_addresses_sockets_and_lists() {
        let hosts = |text: &str| {
            let wire = parse(text).wire;
            let hosts = wire.get_hosts().iter().map(|host| match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            });
            (
                hosts.collect::<Vec<_>>().join(" "),
                wire.get_ports().to_vec(),
            )
        };
        assert_eq!(hosts("postgresql://u@[::1]:99/d"), ("::1".into(), vec![99]));
        assert_eq!(
            hosts("postgresql://u@[fe80::1]/d"),
            ("fe80::1".into(), vec![])
        );
        assert_eq!(
            hosts("postgresql://u@a:1,b/d"),
            ("a b".into(), vec![1, 5432])
        );
        assert_eq!(
            hosts("postgresql://u@%2Fvar%2Frun/d"),
            ("/var/run".into(), vec![])
        );
        assert_eq!(
            hosts("postgresql:///d?host=/var/run&user=u"),
            ("/var/run".into(), vec![])
        );
    }

    /// Every text that an unescaped or misplaced password can be in. `{}` stands for it.
    const FORMS: [&str; 24] = [
        "postgresql://etl:{}@127.0.0.1:1/d",
        "postgresql://etl:{}@127.0.0.1:1/d?password=x",
        "postgresql://etl:x@127.0.0.1:1/d?password={}",
        "postgresql://127.0.0.1:1/d?user=etl&password={}",
        "postgresql://etl:{}",
        "postgresql://etl:{}@",
        "postgresql://etl:{}@[::1]:1/d",
        "postgresql://etl:{}@[::1/d",
        "postgresql://:{}@127.0.0.1:1/d",
        "postgresql+psycopg2://etl:{}@127.0.0.1:1/d?schema=x",
        "postgresql//etl:{}@127.0.0.1:1/d",
        "postgresql:etl:{}@127.0.0.1:1/d",
        "etl:{}@127.0.0.1:1/d",
        "mysql://etl:{}@127.0.0.1:1/d",
        "psql postgresql://etl:{}@127.0.0.1:1/d",
        "\"postgresql://etl:{}@127.0.0.1:1/d",
        "postgresql://etl:{}@127.0.0.1:port/d",
        "postgresql://etl:{}@127.0.0.1:1/d?sslmode={}",
        "host=127.0.0.1 port={} user=etl",
        "host=127.0.0.1 user=etl password={} sslmode=on",
        "host=127.0.0.1 user=etl password='{}",
        "{}",
        "PGPASSWORD={} host=127.0.0.1",
        "postgresql://127.0.0.1/d?PGPASSWORD={}",
    ];

    const PASSWORDS: [&str; 14] = [
        "S3cret@Passw0rd",
        "S3cret@Pass/w0rd",
        "S3cret/Pass@w0rd",
        "S3cret?Pass@w0rd=1",
        "S3cret@Pass?w0rd=Hidden&More=1",
        "S3cret#Pass@w0rd",
        "S3cret%Pass@w0rd",
        "S3cret%ffPass@w0rd",
        "S3cret:Pass@w0rd:9",
        "S3cret Pass=w0rd",
        "S3cret&Pass=w0rd",
        "S3cret[Pass]w0rd@",
        "@S3cret/@Pass?@w0rd",
        "12345@67890/S3cret",
    ];

    impl Address {
        fn is_loopback(&self) -> bool {
            let hosts = self.wire.get_hosts();
            hosts.iter().all(|host| match host {
                Host::Tcp(name) => name == "127.0.0.1" || name == "::1",
                #[cfg(unix)]
                Host::Unix(_) => false,
            })
        }
    }

    fn assert_hidden(shown: &str, password: &str, text: &str) {
        let mut parts = password.split(|c: char| !c.is_ascii_alphanumeric());
        let leaked = parts.find(|part| part.len() > 2 && shown.contains(part));
        assert_eq!(leaked, None, "{text}: {shown}");
    }

    #[test]
    fn no_error_quotes_a_part_of_the_password() {
        for form in FORMS {
            for password in PASSWORDS {
                let text = form.replace("{}", password);
                let shown = match Address::parse(&text) {
                    // A host that does not exist is not shown.
                    Ok(address) if !address.is_loopback() => continue,
                    Ok(address) => super::super::connect::describe(&address.wire),
                    Err(error) => format!("{error} {error:?}"),
                };
                assert_hidden(&shown, password, &text);
            }
        }
    }

    #[test]
    fn an_unescaped_character_is_explained() {
        for text in [
            "postgresql://etl:S3cret@Passw0rd@127.0.0.1:1/d",
            "postgresql://etl:S3cret@Pass/w0rd@127.0.0.1:1/d",
            "postgresql://etl:S3?cret@127.0.0.1:1/d",
        ] {
            let said = said(text);
            assert!(
                said.starts_with("DATABASE_URL: ") && said.contains("%40"),
                "{said}"
            );
        }
    }

    #[test]
    fn parameters_are_understood_or_named() {
        for known in [
            "pgbouncer=true&connection_limit=1",
            "target_session_attrs=primary&channel_binding=prefer",
            "keepalives=1&keepalives_idle=30&keepalives_count=3&tcp_user_timeout=1000",
            "gssencmode=disable&sslsni=1&client_encoding=UTF8",
            "statement_cache_size=0&prepareThreshold=0&pool_timeout=9",
            "sslrootcert=system&sslmode=no-verify&connect_timeout=10&options=-c%20work_mem%3D1MB",
        ] {
            parse(&format!("postgresql://u:p@h/d?{known}"));
        }
        let ignored = parse("postgresql://u:p@h/d?schema=books").ignored;
        assert_eq!(ignored, ["schema"]);
        for (named, word) in [
            ("sslmod=verify-full", "'sslmod'"),
            ("sslcert=/a&sslkey=/b", "sslcert"),
            ("target_session_attrs=standby", "target_session_attrs"),
            ("ssl=true", "sslmode=require"),
            ("service=books", "service"),
            ("client_encoding=latin1", "client_encoding"),
            ("keepalives_idle=often", "keepalives_idle"),
            ("channel_binding=maybe", "channel_binding"),
            ("sslmode=on", "sslmode"),
        ] {
            let said = said(&format!("postgresql://u:p@h/d?{named}"));
            assert!(said.contains(word), "{named}: {said}");
        }
    }

    const ADDRESSES: &[&str] = &[
        "postgresql://anna:hush77@db.example.org:5432/books?sslmode=require&application_name=x",
        "postgres://anna:hush77@[::1]:5432,other:5433/books?target_session_attrs=read-write",
        "jdbc:postgresql://h/d?user=anna&password=hush77",
        "host=h port=5432 dbname=books user=anna password='hush77' sslmode=disable",
        "postgresql:///books?host=/var/run/postgresql&user=anna",
        "'postgresql://anna:h%40sh@h/d'",
    ];

    proptest::proptest! {
        #![proptest_config(crate::testing::cases(400))]

        #[test]
        fn an_address_is_taken_or_refused(text in crate::testing::texts(ADDRESSES)) {
            let _ = Address::parse(&text);
        }

        #[test]
        fn no_refusal_quotes_the_password(
            rest in crate::testing::texts(&["db.example.org:5432/books?sslmode=require", "[::1]:1/b?x=y", ""]),
        ) {
            for text in [
                format!("postgresql://anna:hush77@{rest}"),
                format!("password=hush77 host={rest}"),
                format!("postgresql://anna:hush77%zz@{rest}"),
            ] {
                if let Err(error) = Address::parse(&text) {
                    let shown = format!("{error} {error:?}");
                    proptest::prop_assert!(!shown.contains("hush77"), "{}", shown);
                }
            }
        }
    }
}
