//! The proxies of the environment, for messages: the HTTP library uses them without naming them.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

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

/// The proxies of the environment as it was when the HTTP client was built.
pub(super) struct Proxies {
    matcher: Matcher,
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
        let variable = |name: &'static str| Some((name, std::env::var(name).ok()?));
        Self {
            matcher: Matcher::from_env(),
            variables: OF_HTTP
                .into_iter()
                .chain(OF_HTTPS)
                .filter_map(variable)
                .collect(),
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
        let names = if url.scheme() == "https" {
            OF_HTTPS
        } else {
            OF_HTTP
        };
        Some(Proxy {
            variable: self
                .variable_of(uri.host()?, &names)
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
