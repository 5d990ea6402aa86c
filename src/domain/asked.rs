//! The range that a run was asked to read, as its command can be given again.

use serde::{Deserialize, Serialize, Serializer};

use crate::domain::{Chunk, Window, Zone};

/// A range and the windows into which it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The whole range.
    pub range: Window,
    /// Length of its windows.
    pub chunk: Chunk,
    /// Zone of their bounds.
    pub tz: Zone,
    /// Whether all entities were asked for, of which this run reads one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Serialize for Chunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_read_as_it_was_written() {
        let asked = Asked {
            range: Window::parse("2024-01-01T05:00:00Z", "2026-01-01").unwrap(),
            chunk: "900d".parse().unwrap(),
            tz: "America/Guayaquil".parse().unwrap(),
            all: true,
        };
        let written = serde_json::to_string(&asked).unwrap();
        assert!(written.contains("\"chunk\":\"900d\""), "{written}");
        assert_eq!(serde_json::from_str::<Asked>(&written).unwrap(), asked);
        // As earlier versions wrote it.
        let without = written.replace(",\"all\":true", "");
        let asked = Asked {
            all: false,
            ..asked
        };
        assert_ne!(without, written);
        assert_eq!(serde_json::from_str::<Asked>(&without).unwrap(), asked);
    }
}
