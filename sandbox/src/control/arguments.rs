//! The arguments of a command: the members of a JSON object, each as it was written.

use chrono::{DateTime, Utc};

use crate::company::Fields;
use crate::pacific::{self, Zone};

/// The arguments of a command.
#[derive(Debug, Clone)]
pub(crate) struct Arguments(Fields);

impl Arguments {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// The reason, if the text is not an object.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        Fields::parse(json)
            .map(Self)
            .ok_or_else(|| "the arguments are not a JSON object".to_owned())
    }

    /// Builds arguments from names and values. Values that are not JSON are taken as text.
    pub(crate) fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            match serde_json::from_str::<serde_json::Value>(value) {
                Ok(_) => fields.set(name, value),
                Err(_) => fields.set_text(name, value),
            }
        }
        Self(fields)
    }

    /// Checks that all required arguments are there and that no other names are used. `known` lists
    /// the names, optional ones in brackets; `...` allows any name.
    pub(crate) fn check(&self, known: &str) -> Result<(), String> {
        let required = known
            .split(' ')
            .filter(|name| !name.is_empty() && !name.starts_with('[') && *name != "...");
        let missing: Vec<_> = required.filter(|name| self.0.get(name).is_none()).collect();
        match missing.as_slice() {
            [] => {}
            [name] => return Err(format!("{name} is missing")),
            names => {
                let names = names.join(", ");
                return Err(format!("the arguments {names} are missing"));
            }
        }
        let is_known = |name: &str| {
            known
                .split(' ')
                .any(|known| known == "..." || known.trim_matches(['[', ']']) == name)
        };
        match self.0.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => Err(format!(
                "'{name}' is not an argument; the arguments are {known}"
            )),
            None => Ok(()),
        }
    }

    /// Returns an argument's JSON.
    pub(crate) fn json(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// Returns all arguments as a JSON object.
    pub(crate) fn all(&self) -> String {
        self.0.to_string()
    }

    /// Returns an argument as text. A number becomes its digits.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let json = self.0.get(name)?;
        Some(self.0.text(name).unwrap_or_else(|| json.to_owned()))
    }

    /// Returns a required argument as text.
    pub(crate) fn required(&self, name: &str) -> Result<String, String> {
        self.text(name).ok_or_else(|| format!("{name} is missing"))
    }

    /// Removes an argument and returns it as text.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let value = self.text(name);
        self.0.remove(name);
        value
    }

    /// Returns an argument as a number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, String> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("{name} is not a number, or out of range: '{text}'"))
            })
            .transpose()
    }

    /// Returns an instant. The argument is RFC 3339, or a date in UTC.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<DateTime<Utc>>, String> {
        self.text(name)
            .map(|text| {
                let parsed = pacific::parse(&text, Zone::Utc);
                parsed.ok_or_else(|| format!("{name} is not an instant: '{text}'"))
            })
            .transpose()
    }

    /// Returns an instant in seconds since 1970. The argument is as in [`Self::instant`].
    pub(crate) fn second(&self, name: &str) -> Result<Option<i64>, String> {
        Ok(self.instant(name)?.map(|instant| instant.timestamp()))
    }
}
