//! Answers that do not come from QuickBooks: pages of firewalls and proxies, and redirects.

use reqwest::Url;

use crate::http::Response;
use crate::quickbooks::scrub::scrub;

/// Returns whether an answer is an HTML page, by its header or, without one, by its beginning.
pub(super) fn is_page(response: &Response) -> bool {
    if let Some(content_type) = response.header("content-type") {
        return content_type.to_ascii_lowercase().contains("html");
    }
    let start: Vec<u8> = response.body.iter().copied().take(256).collect();
    let start = String::from_utf8_lossy(&start).to_ascii_lowercase();
    ["<html", "<!doctype html"]
        .iter()
        .any(|tag| start.trim_start().starts_with(tag))
}

/// Returns the place that an answer sends the request to, if it does (RFC 9110, 15.4 and 15.5.20).
/// Only the scheme and the host are named: a path or a query may hold what does not belong in a log.
pub(super) fn elsewhere(response: &Response) -> Option<String> {
    match response.status {
        300..=399 => {}
        421 => return Some("another server".to_owned()),
        _ => return None,
    }
    let Some(location) = response.header("location") else {
        return Some("no place".to_owned());
    };
    let here = Url::parse("http://here.invalid").ok();
    let target = Url::options().base_url(here.as_ref()).parse(location);
    Some(match target {
        Ok(target) if here.is_some_and(|here| here.origin() == target.origin()) => {
            "another path of the same host".to_owned()
        }
        Ok(target) if target.has_host() => scrub(&target.origin().ascii_serialization()),
        _ => "a place that is no URL".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    fn answer(status: u16, header: Option<(&'static str, &str)>, body: &'static str) -> Response {
        let headers = header.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Response {
            status,
            headers: headers.into_iter().collect::<HeaderMap>(),
            body: Bytes::from_static(body.as_bytes()),
            held: crate::port::Held::default(),
        }
    }

    #[test]
    fn the_host_of_a_redirect_is_named_and_nothing_else_of_it() {
        for (location, place) in [
            (
                "https://portal.example/login?ticket=hush",
                "https://portal.example",
            ),
            ("//portal.example:8443/hush", "http://portal.example:8443"),
            ("http://anna:hush@portal.example/", "http://portal.example"),
            ("/v3/hush", "another path of the same host"),
            ("https://", "a place that is no URL"),
            ("mailto:hush", "a place that is no URL"),
        ] {
            for status in [301, 302, 307, 308] {
                let said = elsewhere(&answer(status, Some(("location", location)), ""));
                assert_eq!(said.as_deref(), Some(place), "{location}");
            }
        }
        assert_eq!(
            elsewhere(&answer(308, None, "")).as_deref(),
            Some("no place")
        );
        assert!(elsewhere(&answer(421, None, "")).is_some());
        assert_eq!(elsewhere(&answer(200, Some(("location", "/x")), "")), None);
    }

    #[test]
    fn a_page_is_known_by_its_header_or_its_beginning() {
        let header = |value| Some(("content-type", value));
        assert!(is_page(&answer(403, header("text/HTML; charset=x"), "")));
        assert!(is_page(&answer(403, None, "\n <!DOCTYPE html><p>")));
        assert!(is_page(&answer(403, None, "<HTML>")));
        assert!(!is_page(&answer(403, header("application/json"), "<html>")));
        assert!(!is_page(&answer(403, None, "<IntuitResponse>")));
        assert!(!is_page(&answer(403, None, "")));
    }
}
