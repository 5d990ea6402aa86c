//! The callers of the control API. It changes the books and makes the sandbox send requests, and a
//! browser on the same machine sends what any site asks for. Three signs tell such a request: its
//! `Origin` is another site, its `Host` is a public name that resolves to this machine, or its body is
//! not declared as JSON, which a browser allows other sites only if the server agrees.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

/// Endings of names that nobody can register (RFC 6761; RFC 6762; ICANN's `internal`).
const PRIVATE: [&str; 5] = [".localhost", ".test", ".local", ".internal", ".home.arpa"];

/// Returns the status and the reason with which a request is refused that does not come from a tool of
/// the user's own.
pub(super) fn refusal(method: &Method, headers: &HeaderMap) -> Option<(u16, &'static str)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_private(host) {
        let reason = "the control API answers to an address, to localhost and to names of a \
                      private network only, not to a public host name";
        return Some((403, reason));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|text| text.split_once("://"));
        if own.is_none_or(|(_, own)| own != host) {
            return Some((403, "another site may not ask for this"));
        }
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || text(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let kind = text(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    let is_json = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if *method == Method::POST && has_body && !is_json {
        let reason = "a command with a body needs the header `Content-Type: application/json`";
        return Some((415, reason));
    }
    None
}

/// Returns whether a `Host`, with or without a port, is an address or a name that no stranger can
/// own.
fn is_private(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_name_without_dots = !name.is_empty() && !name.contains('.');
    address.parse::<IpAddr>().is_ok()
        || is_name_without_dots
        || PRIVATE.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_stranger_can_own_are_refused() {
        for host in [
            "127.0.0.1:8911",
            "localhost",
            "[::1]:8911",
            "sandbox:8911",
            "LOCALHOST:1",
        ] {
            assert!(is_private(host), "{host}");
        }
        for host in [
            "host.docker.internal:8911",
            "10.1.2.3",
            "books.localhost",
            "a.test.",
        ] {
            assert!(is_private(host), "{host}");
        }
        for host in [
            "",
            ":8911",
            "elsewhere.example",
            "127.0.0.1.elsewhere.example:8911",
            "a.b:x",
        ] {
            assert!(!is_private(host), "{host}");
        }
    }
}
