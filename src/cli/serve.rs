//! `qbo-rs serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::exit::{ExitCode, Outcome};
use super::signals::{run_to_end, stop_signal};
use super::{logging, output};
use crate::app::App;
use crate::domain::Interval;
use crate::server::{Server, ServerOptions};

/// Default port; the sandbox has the one before.
const DEFAULT_PORT: u16 = 8912;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Entities to keep in sync, whatever webhooks name, such as customers, invoices or items; default: all. A request
    /// can name others, too
    #[arg(value_name = "ENTITY")]
    entities: Vec<String>,
    /// Address to listen on; any other than a loopback address requires QBO_API_KEY
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    host: IpAddr,
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Number of jobs that run at the same time; a job mostly waits for QuickBooks. With 0, other processes run them
    #[arg(long, default_value_t = 8, value_name = "N")]
    workers: usize,
    /// Sync every company once per interval, such as 30s, 5m or 1h
    #[arg(long, value_name = "INTERVAL")]
    every: Option<Interval>,
    /// Number of connections of one address; a further one closes the oldest that is idle or has not
    /// shown the key. Default: 128, and no limit for this machine, where a proxy may run
    #[arg(long, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    connections_per_address: Option<u16>,
}

/// Serves until a signal stops it, which counts as success.
pub(super) fn run(app: &App, arguments: ServeArguments) -> Outcome {
    let options = ServerOptions {
        address: SocketAddr::new(arguments.host, arguments.port),
        api_key: app
            .settings
            .secret("QBO_API_KEY")
            .map(|key| key.expose().to_owned()),
        verifier_token: app
            .settings
            .secret("QBO_WEBHOOK_VERIFIER_TOKEN")
            .map(|token| token.expose().to_owned()),
        entities: arguments.entities,
        workers: arguments.workers,
        every: arguments.every.map(Interval::get),
        per_address: arguments.connections_per_address.map(usize::from),
    };
    logging::goes_on();
    let serving = async {
        let server = Server::start(app.clone(), options).await?;
        output::text(&format!("listening on http://{}\n", server.address()?));
        server
            .run(async {
                stop_signal().await;
            })
            .await;
        Ok(())
    };
    run_to_end(serving)?;
    Ok(ExitCode::Done)
}
