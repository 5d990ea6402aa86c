//! The directories of the user for what outlives a process (XDG Base Directory Specification).

use std::path::PathBuf;

use super::non_empty;
use crate::durable::user_id;

/// The user's directories, where the environment names them.
#[derive(Debug, Clone, Default)]
pub(super) struct Directories {
    /// State that outlives a process and the machine's restart.
    pub state: Option<PathBuf>,
    /// Files that only this user may read, until the user logs out.
    pub runtime: Option<PathBuf>,
    /// Temporary files of this user, below the directory of everybody's. Another user may have made it
    /// first.
    pub temporary: Option<PathBuf>,
}

impl Directories {
    /// Finds the directories through `lookup`, usually the environment. None of them need exist.
    pub(super) fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let absolute = |name: &str| {
            let path = PathBuf::from(non_empty(&lookup(name)?)?);
            path.is_absolute().then_some(path)
        };
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/state")))
            .or_else(|| absolute("LOCALAPPDATA"));
        let temporary = absolute("TMPDIR").unwrap_or_else(std::env::temp_dir);
        Self {
            state: state.map(|base| base.join("qbo_rs")),
            runtime: absolute("XDG_RUNTIME_DIR").map(|base| base.join("qbo_rs")),
            temporary: Some(temporary.join(format!("qbo_rs-{}", user_id()))),
        }
    }
}
