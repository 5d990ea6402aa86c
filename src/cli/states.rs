//! States of connections, runs, windows and syncs, as people read them.

use crate::language::say;

/// Returns the word for a state, by its name in tables and JSON.
pub(super) fn state(name: &str) -> String {
    match name {
        "active" => say!("active"),
        "expires_soon" => say!("ends soon"),
        "needs_reauth" => say!("needs to be connected again"),
        "pending" => say!("pending"),
        "running" | "in_progress" => say!("running"),
        "success" | "ok" => say!("ok"),
        "done" => say!("done"),
        "partial" => say!("partial"),
        "failed" => say!("failed"),
        "interrupted" => say!("interrupted"),
        "stuck" => say!("stuck"),
        "unavailable" => say!("unavailable"),
        other => other.to_owned(),
    }
}
