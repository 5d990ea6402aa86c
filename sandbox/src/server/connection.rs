//! Connections that faults can break.

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

use super::bomb;
use crate::faults::Delivery;

/// A listener whose connections can be broken.
pub(super) struct Listener(pub TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Otherwise small answers would wait for the client's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (
                        Connection {
                            stream,
                            handle: ConnectionHandle::default(),
                        },
                        address,
                    );
                }
                // Most likely the process has too many open files, which passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A handle that can break one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionHandle {
    is_reset: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, Listener>> for ConnectionHandle {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().handle.clone()
    }
}

/// The number of bytes between two pauses of a slow delivery.
const TRICKLE_BYTES: usize = 64;

impl ConnectionHandle {
    /// Resets the connection on its next write.
    pub(super) fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
    }

    /// Returns a response whose body is delivered with a fault.
    pub(super) fn deliver(&self, head: Response<()>, body: Bytes, delivery: Delivery) -> Response {
        let length = body.len();
        let body = match delivery {
            Delivery::Endless => return bomb::endless(head, body),
            Delivery::GzipBomb { mb } => return bomb::compressed(head, &body, mb),
            Delivery::Announced { mb } => return bomb::announced(head, body, mb),
            Delivery::Whole => Body::from(body),
            Delivery::Truncated => {
                let part = body.slice(..length / 2);
                let end = stream::once(async {
                    // The first half must be sent before the error; an immediate error would send
                    // nothing at all.
                    tokio::task::yield_now().await;
                    Err(io::Error::from(io::ErrorKind::ConnectionReset))
                });
                Body::from_stream(stream::iter([Ok(part)]).chain(end))
            }
            Delivery::Trickling { bytes_per_s } => {
                let pause =
                    Duration::from_secs_f64(TRICKLE_BYTES as f64 / bytes_per_s.max(1) as f64);
                let chunks = stream::unfold(body, move |mut rest| async move {
                    if rest.is_empty() {
                        return None;
                    }
                    tokio::time::sleep(pause).await;
                    let chunk = rest.split_to(TRICKLE_BYTES.min(rest.len()));
                    Some((Ok::<_, io::Error>(chunk), rest))
                });
                Body::from_stream(chunks)
            }
        };
        let mut response = head.map(|()| body);
        // The length of the whole body, so that the client notices a part of it.
        response
            .headers_mut()
            .insert("content-length", length.into());
        response
    }
}

/// A TCP connection that its handle can break.
pub(super) struct Connection {
    stream: TcpStream,
    handle: ConnectionHandle,
}

impl Connection {
    /// Closes the connection if its handle was told to reset it.
    fn check_reset(&self) -> io::Result<()> {
        if !self.handle.is_reset.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Without lingering, the client sees a reset and not an orderly end.
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
        self.check_reset()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_reset()?;
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
