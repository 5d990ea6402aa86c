//! Records as columns with types, in the memory format of Apache Arrow.
//!
//! Every entity has one schema, made from the field table, so that a column has the same name and
//! type whatever the records look like. Values are parsed from the bytes of the payload, numbers
//! digit by digit and never as floats. What has no column, and what does not fit its column, stays
//! as JSON text in the column `extra`, so that nothing is lost.

mod batch;
mod draft;
mod elements;
mod number;
mod properties;
mod schema;
mod shape;
mod value;

pub use self::batch::{ColumnsBuilder, Row};
pub use self::number::{DECIMALS, DIGITS};
pub use self::schema::EntityColumns;
pub use self::shape::Shape;

#[cfg(test)]
mod tests;
