//! The proxies of the environment: refused if they cannot be used, and named in messages. The HTTP
//! library uses them without naming them, and passes by those that it cannot read.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;

use crate::error::{Error, Result};

/// The variables of a scheme's proxy, in the order in which the HTTP library reads them. An empty
/// or unusable one gives way to `ALL_PROXY`.
const OF_HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const OF_HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// A proxy and the variable that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Its URL without user name and password.
    pub address: String,
    /// The variable.
    pub variable: &'static str,
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the proxy {} of {}", self.address, self.variable)
    }
}

/// Refuses a proxy of the environment that requests to `url` would have to go through and cannot.
///
/// # Errors
/// [`Error::Config`] that names the variable.
pub(crate) fn check_proxy(url: &Url) -> Result<()> {
    Proxies::from_env().check(url)
}

/// The proxies of the environment as it was when the HTTP client was built.
pub(super) struct Proxies {
    matcher: Matcher,
    /// The hosts that are reached without a proxy: every other one goes through a proxy here.
    exceptions: Matcher,
    variables: Vec<(&'static str, String)>,
}

/// Prints only the variables' names, since their values may hold passwords.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.variables.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

impl Proxies {
    /// Reads the environment with the rules of the HTTP library, which reads it itself.
    pub(super) fn from_env() -> Self {
        Self::from_lookup(Matcher::from_env(), |name| std::env::var(name).ok())
    }

    fn from_lookup(matcher: Matcher, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &'static str| Some((name, lookup(name)?));
        let no_proxy = lookup("NO_PROXY").or_else(|| lookup("no_proxy"));
        // Below a web server, HTTP_PROXY may hold a header of a visitor; the library follows none.
        let any = match lookup("REQUEST_METHOD") {
            Some(_) => "",
            None => "http://any",
        };
        Self {
            matcher,
            exceptions: Matcher::builder()
                .all(any)
                .no(no_proxy.unwrap_or_default())
                .build(),
            variables: OF_HTTP
                .into_iter()
                .chain(OF_HTTPS)
                .filter_map(variable)
                .collect(),
        }
    }

    /// Refuses a proxy for `url` that cannot be read or speaks another protocol. The library would
    /// pass by the first, and fail with the second as if it were down.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable, and no part of its value.
    pub(super) fn check(&self, url: &Url) -> Result<()> {
        let goes_through_a_proxy = url
            .as_str()
            .parse()
            .is_ok_and(|uri| self.exceptions.intercept(&uri).is_some());
        let first_set = |names: &[&'static str]| {
            let values = names
                .iter()
                .find_map(|name| self.variables.iter().find(|(variable, _)| variable == name));
            values.filter(|(_, value)| !value.is_empty())
        };
        let (own, all) = names(url).split_at(2);
        match first_set(own).or_else(|| first_set(all)) {
            Some((variable, value)) if goes_through_a_proxy => {
                unusable(value).map_or(Ok(()), |reason| Err(Error::config(*variable, reason)))
            }
            _ => Ok(()),
        }
    }

    /// Returns the proxy through which requests to `url` go; `None` if they go there directly.
    pub(super) fn of(&self, url: &Url) -> Option<Proxy> {
        let proxy = self.matcher.intercept(&url.as_str().parse().ok()?)?;
        let uri = proxy.uri();
        let port = uri
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let address = format!(
            "{}://{}{port}",
            uri.scheme_str().unwrap_or("http"),
            uri.host()?
        );
        Some(Proxy {
            variable: self
                .variable_of(uri.host()?, names(url))
                .unwrap_or("the system"),
            address,
        })
    }

    /// Returns the first variable whose value names the host.
    fn variable_of(&self, host: &str, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| {
            self.variables
                .iter()
                .any(|(variable, value)| variable == name && value.contains(host))
        })
    }
}

/// Returns the variables of the proxy for a URL.
fn names(url: &Url) -> &'static [&'static str] {
    match url.scheme() {
        "https" => &OF_HTTPS,
        _ => &OF_HTTP,
    }
}

/// Returns why a value names no proxy that can be used.
fn unusable(value: &str) -> Option<String> {
    let probe = "http://any".parse().ok()?;
    let read = Matcher::builder().all(value).build().intercept(&probe);
    let Some(proxy) = read.filter(|proxy| is_whole(proxy, value)) else {
        return Some(
            "is not the URL of a proxy (it is not shown, since it may hold a password); write http://host:port or \
             http://user:password@host:port, with special characters percent-encoded"
                .to_owned(),
        );
    };
    match proxy.uri().scheme_str() {
        Some("http" | "https") => None,
        other => Some(format!(
            "a proxy that speaks {} is not supported; name an HTTP proxy, or exempt the host in NO_PROXY",
            other.unwrap_or_default()
        )),
    }
}

/// Returns whether a value was read as it is meant. With a special character in a password, a part of
/// the password is read as the host or the port.
fn is_whole(proxy: &Intercept, value: &str) -> bool {
    let uri = proxy.uri();
    let (host, authority) = (
        uri.host().unwrap_or_default(),
        uri.authority().map_or("", |authority| authority.as_str()),
    );
    let port = authority.strip_prefix(host).unwrap_or(authority);
    let has_port = || port.strip_prefix(':').and_then(|port| port.parse().ok());
    let has_login = proxy.basic_auth().is_some() || proxy.raw_auth().is_some();
    !host.is_empty()
        && (port.is_empty() || has_port().is_some_and(|port: u16| port > 0))
        && (has_login || !value.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxies = Proxies::from_lookup(Matcher::builder().build(), lookup);
        let refused = proxies.check(&Url::parse(url).unwrap());
        refused.err().map(|error| error.to_string())
    }

    const URL: &str = "https://quickbooks.example/v3";

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_and_its_value_is_not_shown() {
        for (value, words) in [
            (
                "socks5://me:hunter@127.0.0.1:1",
                "speaks socks5 is not supported",
            ),
            ("socks4a://hunter", "speaks socks4a is not supported"),
            ("me:hunter@:99999x", "is not the URL of a proxy"),
            ("http://proxy:99999", "is not the URL of a proxy"),
            ("http://me:hun/ter@proxy:3128", "is not the URL of a proxy"),
            (
                "http://me:12/hunter@proxy:3128",
                "is not the URL of a proxy",
            ),
            ("http://me:hun@ter@proxy:3128", "is not the URL of a proxy"),
            ("http://me:hun ter@proxy:3128", "is not the URL of a proxy"),
            ("ftp://me:hunter@proxy", "is not the URL of a proxy"),
            ("http://", "is not the URL of a proxy"),
        ] {
            for name in OF_HTTPS {
                let said = check(&[(name, value)], URL).unwrap_or_default();
                assert!(said.starts_with(&format!("{name}: ")), "{value}: {said}");
                assert!(said.contains(words) && !said.contains("hun"), "{said}");
            }
        }
    }

    #[test]
    fn a_proxy_that_is_right_or_not_used_is_not_refused() {
        for value in [
            "proxy",
            "proxy:3128",
            "http://proxy",
            "http://proxy:3128/",
            "https://me:h%40nter@proxy:3128",
            "http://me@[::1]:3128",
            "me:@10.0.0.1:80",
            "",
        ] {
            assert_eq!(check(&[("HTTPS_PROXY", value)], URL), None, "{value}");
        }
        let socks = ("ALL_PROXY", "socks5://127.0.0.1:1");
        for other in [
            ("NO_PROXY", ".example"),
            ("https_proxy", "http://proxy"),
            ("REQUEST_METHOD", "GET"),
        ] {
            assert_eq!(check(&[socks, other], URL), None, "{other:?}");
        }
        assert_eq!(check(&[("HTTP_PROXY", socks.1)], URL), None);
        assert!(check(&[socks, ("HTTP_PROXY", "http://proxy")], URL).is_some());
    }
}
