//! The records of a company with books, generated from a seed.

mod generator;
mod lists;
mod money;
mod tables;
mod trade;
mod vendors;

pub(crate) use self::generator::generate;
