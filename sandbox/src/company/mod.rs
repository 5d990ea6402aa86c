//! A company: its records, and the changes that users of QuickBooks make to them.

mod accounting;
mod availability;
mod books;
mod change;
mod collection;
mod defect;
mod event;
mod fields;
mod misposting;
mod misread;
mod plan;
mod plant;
mod record_files;
mod records;
mod sample;
mod saved;
mod size;
mod view;

pub(crate) use self::accounting::MAX_BOOKS;
pub use self::change::ChangeError;
pub(crate) use self::collection::Row;
pub use self::defect::Blemish;
pub(crate) use self::event::{Event, Operation};
pub(crate) use self::fields::Fields;
pub(crate) use self::plan::Closure;
pub use self::plan::Refusal;
pub(crate) use self::plant::PLANTS;
pub use self::record_files::RecordsError;
pub use self::records::Company;
pub(crate) use self::records::Poison;
pub(crate) use self::saved::SavedCompany;
pub use self::size::CompanySize;
pub(crate) use self::view::{Include, IncludeAnswer, View};
