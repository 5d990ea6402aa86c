//! Landing files: the output of an extract and the input of a load.
//!
//! They are JSON Lines, one record per line with its metadata and the untouched payload, compressed
//! with zstd or gzip if the name ends in `.zst` or `.gz`. A file is written under a temporary name and
//! renamed when it is complete, so a file under its final name always holds a complete window.

mod file;
mod layout;
mod line;
mod rejects;
mod sink;
mod source;

pub use file::{LandingReader, LandingWriter, check, ensure_window, merge, split};
pub use layout::{LandingFile, LandingTarget, WRITE_MARGIN, find_files};
pub use line::{LandingLine, PageLines, RejectedLine};
pub use rejects::{LandedReject, landed_rejects};
pub use sink::{LandingSink, LandingWindow};
pub use source::LandingSource;
