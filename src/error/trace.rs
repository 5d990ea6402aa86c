//! The ids by which an answer can be found again.

/// The ids of an answer that Intuit's support asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The fault's code.
    pub code: Option<String>,
    /// Intuit's id of the request.
    pub intuit_tid: Option<String>,
}

impl Trace {
    /// A refresh token is dead: only a person can help (qbo-facts 1.5).
    pub fn refused_grant() -> Self {
        Self {
            code: Some(REFUSED_GRANT.to_owned()),
            intuit_tid: None,
        }
    }

    /// Returns true if the answer says that the refresh token is dead.
    pub fn is_refused_grant(&self) -> bool {
        self.code.as_deref() == Some(REFUSED_GRANT)
    }
}

const REFUSED_GRANT: &str = "invalid_grant";

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&trace_text(
            self.code.as_deref(),
            self.intuit_tid.as_deref(),
        ))
    }
}

pub(super) fn trace_text(code: Option<&str>, tid: Option<&str>) -> String {
    let parts = [
        code.map(|code| format!("code {code}")),
        tid.map(|tid| format!("intuit_tid={tid}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}
