//! Arguments of a command: members of a JSON object, each still as it was written.

use chrono::Utc;

use crate::company::Fields;
use crate::pacific::{self, Zone};

#[derive(Debug, Clone)]
pub(crate) struct Arguments(Fields);

impl Arguments {
    pub fn parse(json: &str) -> Result<Self, String> {
        Fields::parse(json)
            .map(Self)
            .ok_or_else(|| "the arguments are not a JSON object".to_owned())
    }

    /// Values are JSON where they can be, else text.
    pub fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            match serde_json::from_str::<serde_json::Value>(value) {
                Ok(_) => fields.set(name, value),
                Err(_) => fields.set_text(name, value),
            }
        }
        Self(fields)
    }

    /// Refuses names that the command does not know, and asks for those it cannot do without.
    /// `known` lists them, optional ones in brackets; `...` takes any.
    pub fn check(&self, known: &str) -> Result<(), String> {
        let required = known
            .split(' ')
            .filter(|name| !name.is_empty() && !name.starts_with('[') && *name != "...");
        let missing: Vec<_> = required.filter(|name| self.0.get(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(format!("{} is missing", missing.join(", ")));
        }
        let is_known = |name: &str| {
            known
                .split(' ')
                .any(|known| known == "..." || known.trim_matches(['[', ']']) == name)
        };
        match self.0.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => Err(format!("'{name}' means nothing here; it takes {known}")),
            None => Ok(()),
        }
    }

    /// An argument's JSON.
    pub fn json(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// All of them, as JSON.
    pub fn all(&self) -> String {
        self.0.to_string()
    }

    /// An argument as text; a number is its digits.
    pub fn text(&self, name: &str) -> Option<String> {
        let json = self.0.get(name)?;
        Some(self.0.text(name).unwrap_or_else(|| json.to_owned()))
    }

    /// An argument that the command cannot do without, as [`Self::check`] has made sure.
    pub fn required(&self, name: &str) -> Result<String, String> {
        self.text(name).ok_or_else(|| format!("{name} is missing"))
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        let value = self.text(name);
        self.0.remove(name);
        value
    }

    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, String> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("{name} is not a number in range: '{text}'"))
            })
            .transpose()
    }

    /// An instant in seconds since 1970: RFC 3339, or a date in UTC.
    pub fn instant(&self, name: &str) -> Result<Option<i64>, String> {
        self.text(name)
            .map(|text| {
                let parsed = pacific::parse(&text, Zone::Utc).map(|instant| instant.timestamp());
                parsed.ok_or_else(|| format!("{name} is not an instant: '{text}'"))
            })
            .transpose()
    }

    /// When a change is made: `at`, or now.
    pub fn at(&self) -> Result<i64, String> {
        Ok(self
            .instant("at")?
            .unwrap_or_else(|| Utc::now().timestamp()))
    }
}
