//! This process, as others can recognise it, and whether another one has ended.

use std::sync::LazyLock;

/// This process.
pub(crate) static ME: LazyLock<Process> = LazyLock::new(Process::this);

/// A process, as others can recognise it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub host: String,
    pub owner: String,
}

impl Process {
    fn this() -> Self {
        let of_linux = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host = of_linux
            .or_else(|| std::env::var("HOSTNAME").ok())
            .or_else(|| std::env::var("COMPUTERNAME").ok())
            .unwrap_or_default();
        Self {
            host: host.trim().to_owned(),
            owner: crate::chance::unique_id().to_string(),
        }
    }

    /// Returns the id of the process. A forked one has another id and the same owner.
    pub(crate) fn pid() -> i64 {
        i64::from(std::process::id())
    }
}

/// Returns whether a process of this machine exists and has not ended.
#[cfg(unix)]
pub(crate) fn is_running(pid: i64) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // One that has ended and that nobody has asked for its exit code.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    !is_zombie && test_kill_process(process) != Err(Errno::SRCH)
}

#[cfg(not(unix))]
pub(crate) fn is_running(_pid: i64) -> bool {
    true
}
