//! Landing files: the output of an extract and the input of a load.
//!
//! They are JSON Lines, one record per line with its metadata and the untouched payload, compressed
//! with zstd or gzip if the name ends in `.zst` or `.gz`. A file is written under a temporary name and
//! renamed when it is complete, so a file under its final name always holds a complete window. Every line
//! ends with a checksum of its own, and compressed files have one more; damage is an error, not other
//! records.
//!
//! One file may also be of Parquet, for one entity, and so may the files of a directory: the same members as
//! columns, beside the typed columns of the records. It is read and written as the lines that it stands for.

mod checksum;
mod horizon;
mod in_columns;
mod layout;
mod line;
mod masking;
mod merge;
mod page_parts;
mod parquet_lines;
mod parquet_pages;
mod parquet_writer;
mod parts;
mod reader;
mod rejects;
mod sink;
mod source;
mod spool;
mod writer;

pub use in_columns::read_columns;
pub use layout::{LandingFile, LandingTarget, find_files, is_parquet};
pub use line::{LandingLine, PageLines, RejectedLine};
pub use merge::{check, merge};
pub use reader::LandingReader;
pub use rejects::{LandedReject, landed_rejects};
pub use sink::{LandingSink, LandingWindow};
pub use source::LandingSource;
pub use writer::LandingWriter;
pub(crate) use writer::archive_exists;
