//! Refreshes that are being answered. Intuit may revoke a connection whose token is refreshed by two
//! requests at once (qbo-facts 13.19); a sandbox does so if it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The refreshes that are being answered, by their refresh token.
#[derive(Debug, Default)]
pub(crate) struct Refreshes {
    revokes_overlapping: AtomicBool,
    open: Mutex<HashMap<String, u32>>,
}

/// One refresh, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRefresh<'a> {
    refreshes: &'a Refreshes,
    token: String,
}

impl Refreshes {
    /// Sets whether refreshes that overlap end the connection.
    pub(crate) fn set_revokes_overlapping(&self, revokes: bool) {
        self.revokes_overlapping.store(revokes, Ordering::Relaxed);
    }

    /// Begins a refresh with a token.
    pub(crate) fn begin(&self, token: String) -> OpenRefresh<'_> {
        *self.open.lock().entry(token.clone()).or_default() += 1;
        OpenRefresh {
            refreshes: self,
            token,
        }
    }

    /// Returns whether several refreshes with a token are being answered, and end its connection.
    pub(crate) fn are_revoked(&self, token: &str) -> bool {
        let open = self.open.lock().get(token).copied().unwrap_or_default();
        open > 1 && self.revokes_overlapping.load(Ordering::Relaxed)
    }
}

impl Drop for OpenRefresh<'_> {
    fn drop(&mut self) {
        let mut open = self.refreshes.open.lock();
        if let Some(count) = open.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.token);
            }
        }
    }
}
