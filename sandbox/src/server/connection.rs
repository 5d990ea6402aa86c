//! Connections that can be broken on purpose.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::response::Response;
use axum::serve::IncomingStream;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::Delivery;

/// Accepts connections, each with a way to break it.
pub(super) struct Listener(pub TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Without it small answers wait for the client's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (
                        Connection {
                            stream,
                            peer: Peer::default(),
                        },
                        address,
                    );
                }
                // Out of files, most likely: it will pass.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A handle on one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    is_reset: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().peer.clone()
    }
}

/// Bytes between two pauses of a trickle.
const DRIP: usize = 64;

impl Peer {
    /// Lets the next write fail, and the client see a reset.
    pub fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
    }

    /// Sends an answer that does not arrive as it should.
    pub fn deliver(&self, head: Response<()>, body: Bytes, delivery: Delivery) -> Response {
        let length = body.len();
        let body = match delivery {
            Delivery::Whole => Body::from(body),
            Delivery::Truncated => {
                let part = body.slice(..length / 2);
                let end = stream::once(async {
                    // Not before the half has left: with an error at once nothing would be sent at
                    // all.
                    tokio::task::yield_now().await;
                    Err(io::Error::from(io::ErrorKind::ConnectionReset))
                });
                Body::from_stream(stream::iter([Ok(part)]).chain(end))
            }
            Delivery::Trickling { bytes_per_s } => {
                let pause = Duration::from_secs_f64(DRIP as f64 / bytes_per_s.max(1) as f64);
                let drops = stream::unfold(body, move |mut rest| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    tokio::time::sleep(pause).await;
                    let drop = rest.split_to(DRIP.min(rest.len()));
                    Some((Ok::<_, io::Error>(drop), rest))
                });
                Body::from_stream(drops)
            }
        };
        let mut response = head.map(|()| body);
        // Said, though not all of it will come: that is how the client notices.
        response
            .headers_mut()
            .insert("content-length", length.into());
        response
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    peer: Peer,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if !self.peer.is_reset.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Closed at once, without the usual goodbye.
        let _ = self.stream.set_zero_linger();
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
